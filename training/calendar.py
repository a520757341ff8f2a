"""Which dates are learnt from, and whether the log is long enough for that.

Every training label ends by the date the model is made for (`made_at`), so that what is measured
on later dates was unknown when the model was fitted.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import count

from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY
from training.config import Config
from training.ingest import Ingested

MAX_SNAPSHOTS = 24  # the latest ones: what customers did years ago says little of now
CALIBRATION_DATES = 3  # two verdicts: one date alone misleads
SHORTEST_MONTH, MONTH = 28, 30.4  # days
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(moment: datetime) -> int:
    """Microseconds since 1970-01-01 UTC of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(instant: int) -> datetime:
    """The UTC datetime of microseconds since 1970-01-01 UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def date_of(instant: int, zone: tzinfo) -> date:
    """The date in a time zone, as people name it, of microseconds since 1970-01-01 UTC."""
    return moment(instant).astimezone(zone).date()


def months_before(instant: int, months: int, zone: tzinfo) -> int:
    """The same time of day on the same day of an earlier month, or on that month's last day."""
    there = moment(instant).astimezone(zone)
    year, month = divmod(there.year * 12 + there.month - 1 - months, 12)
    last = monthrange(year, month + 1)[1]
    earlier = there.replace(year=year, month=month + 1, day=min(there.day, last))
    return (earlier - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The dates of one log under one configuration; all in microseconds since 1970 UTC."""

    first_event: int
    complete_until: int
    window: int
    horizon_days: int
    every_days: int | None
    history: int
    zone: tzinfo

    @classmethod
    def of(cls, config: Config, ingested: Ingested) -> "Calendar":
        """The calendar of an ingested log."""
        problem = config.problem
        day = MICROSECONDS_PER_DAY
        return cls(
            first_event=ingested.first_event,
            complete_until=ingested.complete_until,
            window=(problem.lead_time_days + problem.horizon_days) * day,
            horizon_days=problem.horizon_days,
            every_days=config.training.snapshot_every_days,
            # Before a horizon's worth of history has passed, everybody looks like a newcomer.
            history=problem.horizon_days * day,
            zone=config.events.zone,
        )

    def training_dates(self, made_at: int) -> list[int]:
        """Snapshots whose labels are complete by `made_at`, ascending.

        Raises
        ------
        TooLittleData
            There is none; the message says how many days are missing.
        """
        latest = made_at - self.window
        earliest = self.first_event + self.history
        dates: list[int] = []
        judging = CALIBRATION_DATES * self.window
        for as_of in self._back_from(made_at):
            # Enough for the booster as of `made_at` and for those that judge calibrations.
            recent = [one for one in dates if one < latest - judging]
            if as_of < earliest or len(recent) == MAX_SNAPSHOTS:
                break
            if as_of <= latest:
                dates.append(as_of)
        if not dates:
            short = -(-(earliest - latest) // MICROSECONDS_PER_DAY)
            raise TooLittleData(
                f"the log is {_days(short)} too short to learn from: it begins on "
                f"{date_of(self.first_event, self.zone)} and labels must end by "
                f"{date_of(made_at, self.zone)}; choose a smaller [problem] horizon_days or "
                "bring a longer history"
            )
        return dates[::-1]

    def _back_from(self, made_at: int) -> Iterator[int]:
        """Dates before `made_at` at the same phase of the month, or of the week, or as told.

        Half a horizon apart or so. Paydays, campaigns and deliveries come by the month, and a
        window that holds one more of them than the windows learnt from would look like less churn.
        """
        day = MICROSECONDS_PER_DAY
        if self.every_days is not None:
            latest = made_at - self.window
            yield from (latest - k * self.every_days * day for k in count())
        elif self.horizon_days < SHORTEST_MONTH:
            weeks = max(1, round(self.horizon_days / 2 / 7))
            yield from (made_at - k * weeks * 7 * day for k in count(1))
        else:
            months = max(1, round(self.horizon_days / 2 / MONTH))
            yield from (months_before(made_at, k * months, self.zone) for k in count(1))

    def last_test_date(self) -> int:
        """The last date that leaves a whole horizon inside the log, for judging the model.

        Raises
        ------
        TooLittleData
            No training snapshot is left before that date.
        """
        date = self.complete_until - self.window
        latest_label = date - self.window
        short = self.first_event + self.history - latest_label
        if short > 0:
            span = (self.complete_until - self.first_event) // MICROSECONDS_PER_DAY
            need = (self.history + 2 * self.window) // MICROSECONDS_PER_DAY
            raise TooLittleData(
                f"the log spans {_days(span)}, but learning and judging a horizon of "
                f"{_days(self.window // MICROSECONDS_PER_DAY)} needs {_days(need)}: it is "
                f"{_days(-(-short // MICROSECONDS_PER_DAY))} too short; choose a smaller "
                "[problem] horizon_days or bring a longer history"
            )
        return date

    def check_test_date(self, as_of: int) -> None:
        """Refuse a test date whose labels the log does not hold.

        Raises
        ------
        TooLittleData
            The outcome window reaches past the log's end, or nothing lies before it.
        """
        if as_of + self.window > self.complete_until:
            last = date_of(self.complete_until - self.window, self.zone)
            raise TooLittleData(
                f"--as-of {date_of(as_of, self.zone)}: its outcome window ends after the log "
                f"(complete until {date_of(self.complete_until, self.zone)}); "
                f"the last possible date is {last}"
            )
        self.training_dates(as_of)


def _days(n: int) -> str:
    return f"{n} day" if n == 1 else f"{n} days"
