"""Which dates are learnt from, and whether the log is long enough for that.

Every training label ends by the date the model is made for (`made_at`), so that what is measured
on later dates was unknown when the model was fitted.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY
from training.config import Config
from training.ingest import Ingested

MAX_SNAPSHOTS = 24  # the latest ones: what customers did years ago says little of now
CALIBRATION_DATES = 3  # two verdicts: one date alone misleads
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


@dataclass(frozen=True, slots=True)
class Calendar:
    """The dates of one log under one configuration; all in microseconds since 1970 UTC."""

    first_event: int
    complete_until: int
    window: int
    step: int
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
            step=config.snapshot_every_days * day,
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
        # Enough for the booster as of `made_at` and for those that judge calibrations.
        most = MAX_SNAPSHOTS + CALIBRATION_DATES * -(-self.window // self.step)
        dates = [latest - k * self.step for k in range(most) if latest - k * self.step >= earliest]
        if not dates:
            short = -(-(earliest - latest) // MICROSECONDS_PER_DAY)
            raise TooLittleData(
                f"the log is {_days(short)} too short to learn from: it begins on "
                f"{date_of(self.first_event, self.zone)} and labels must end by "
                f"{date_of(made_at, self.zone)}; choose a smaller [problem] horizon_days or "
                "bring a longer history"
            )
        return dates[::-1]

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
