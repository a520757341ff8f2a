"""The data-usability report: what the log holds, what was set aside, and what it can answer."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from churn.advice import nearest
from churn.errors import ConfigError, DataError
from churn.events import KIND_CODES, MICROSECONDS_PER_DAY
from training.config import Config, Problem
from training.gaps import Gaps
from training.quarantine import Rejected
from training.recorded import partly_recorded
from training.rules import ADVICE, DUPLICATE
from training.suggestions import Suggestion, missing, span_needed, suggest
from training.tally import Tally

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MANY_REPEATS = 0.05
"""A larger share of repeated rows is rather a mapping that lost what told them apart."""


_FEWEST_BUYERS = 100
"""Fewer customers are too few to learn from."""

_YEAR_DAYS = 365


@dataclass(frozen=True, slots=True)
class Usability:
    """What the log holds and what it can answer.

    Attributes
    ----------
    rows, accepted : int
        Rows that the query gave, and those that are events.
    quarantined : mapping of str to int
        Rejected rows by reason, most frequent first.
    notes : tuple of str
        What else the analyst should know: unknown kinds, unused columns.
    total : Tally
        Counts of what was accepted.
    first_event, last_event, complete_until : int
        Microseconds since 1970-01-01 UTC; the last is exclusive.
    gaps : Gaps
        How soon customers come back.
    problem : Problem
        What the configuration asks of the log.
    zone : tzinfo
        The log's time zone, in which dates are named.
    """

    rows: int
    accepted: int
    quarantined: Mapping[str, int]
    notes: tuple[str, ...]
    total: Tally
    first_event: int
    last_event: int
    complete_until: int
    gaps: Gaps
    problem: Problem
    zone: tzinfo = UTC

    @property
    def span_days(self) -> float:
        """Days from the first event to where the log is complete."""
        return (self.complete_until - self.first_event) / MICROSECONDS_PER_DAY

    @property
    def one_time_share(self) -> float:
        """Share of buyers who bought on one day only, in [0, 1]."""
        return self.total.one_time_buyers / self.total.buyers

    @property
    def shortfall_days(self) -> int:
        """By how many days the log is too short for the problem; 0 if it is long enough."""
        needed = span_needed(self.problem.horizon_days, self.problem.lead_time_days)
        return max(0, -int((self.span_days - needed) // 1))

    def suggestions(self) -> tuple[Suggestion, ...]:
        """Horizon, lead time and inactivity that the gaps between purchases speak for."""
        return suggest(self.gaps, self.span_days, self.problem)

    def warnings(self) -> tuple[str, ...]:
        """What makes the configured problem hard to answer from this log."""
        found: list[str] = []
        if self.total.buyers < _FEWEST_BUYERS:
            found.append(
                f"too few customers to learn from (buyers: {self.total.buyers}); "
                f"bring at least {_FEWEST_BUYERS}"
            )
        if self.shortfall_days:
            found.append(
                f"the log of {self.span_days:.0f} days is {self.shortfall_days} days too short for "
                f"a horizon of {self.problem.horizon_days} days and a lead time of "
                f"{self.problem.lead_time_days}"
            )
        lacking = missing(self.gaps, self.span_days, self.problem)
        if lacking:
            found.append(lacking)
        median = self.gaps.after_any.quantile(0.5)
        if self.problem.horizon_days < median:
            found.append(
                f"horizon_days ({self.problem.horizon_days}) is shorter than the median gap "
                f"between purchases ({median} days): most loyal customers would count as lost"
            )
        if self.span_days < _YEAR_DAYS:
            found.append(
                f"the log of {self.span_days:.0f} days is younger than a year: no season has been "
                "seen twice, and a change of the churn rate cannot be told from a season"
            )
        found += partly_recorded(self.total.recorded, self.first_event, self.last_event, self.zone)
        repeats = self.quarantined.get(DUPLICATE, 0)
        if repeats > _MANY_REPEATS * self.rows:
            found.append(
                f"{repeats / self.rows:.0%} of the rows are duplicates: if they are lines of one "
                "order, map something that tells them apart, such as category or event_id"
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        total = self.total
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "quarantined": dict(self.quarantined),
            "advice": {reason: ADVICE[reason] for reason in self.quarantined},
            "customers": total.customers,
            "buyers": total.buyers,
            "one_time_buyers": total.one_time_buyers,
            "one_time_share": self.one_time_share,
            "kinds": dict(total.kinds.most_common()),
            "first_event": _iso(self.first_event),
            "last_event": _iso(self.last_event),
            "complete_until": _iso(self.complete_until),
            "span_days": self.span_days,
            "horizon_days": self.problem.horizon_days,
            "shortfall_days": self.shortfall_days,
            "gap_days": self.gaps.raw,
            "gaps": self.gaps.to_dict(),
            "recorded": {
                name: {
                    "events": span.events,
                    "first": _iso(span.first_us),
                    "last": _iso(span.last_us),
                }
                for name, span in sorted(total.recorded.items())
            },
            "purchase_days_by_month": dict(sorted(total.months.items())),
            "suggestions": {
                item.key: {
                    "days": item.days,
                    "why": item.why,
                    "configured": item.configured,
                    "change": item.change,
                    "now": item.now,
                }
                for item in self.suggestions()
            },
            "warnings": list(self.warnings()),
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """Return the report for a terminal, a fact per line."""
        total = self.total
        return [
            f"{self.rows:,} rows: {self.accepted:,} events of {total.customers:,} customers, "
            f"{self.rows - self.accepted:,} quarantined",
            *self._quarantine_lines(),
            f"from {_iso(self.first_event)[:10]} to {_iso(self.last_event)[:10]}: "
            f"{self.span_days:.0f} days, complete until {_iso(self.complete_until)}",
            "kinds: " + ", ".join(f"{kind} {n:,}" for kind, n in total.kinds.most_common()),
            f"{total.buyers:,} buyers, {self.one_time_share:.0%} of them on one day only",
            *self.gaps.sentences(),
            *(suggestion.line for suggestion in self.suggestions()),
            *(f"note: {note}" for note in self.notes),
            *(f"warning: {warning}" for warning in self.warnings()),
        ]

    def _quarantine_lines(self) -> Iterator[str]:
        for reason, count in self.quarantined.items():
            yield f"  {count:,} {reason} ({ADVICE[reason]})"


def assess(
    total: Tally, rows: int, rejected: Rejected, unused: list[str], config: Config, now_us: int
) -> Usability:
    """Make the report, or say why there is nothing to report on.

    Raises
    ------
    DataError
        No row is usable, or nobody bought anything.
    ConfigError
        `complete_until` lies in the future or before the first event.
    """
    quarantined = dict(rejected.reasons.most_common())
    notes = [
        f"kind {kind!r} (rows: {count:,}) is unknown{nearest(kind, KIND_CODES)}"
        for kind, count in rejected.unknown_kinds.most_common()
    ] + unused
    if total.first_us is None or total.last_us is None:
        reason = next(iter(quarantined))
        hint = f"; {notes[0]}" if reason == "kind_unknown" else ""
        raise DataError(
            f"{config.path}: none of the {rows:,} rows that [events] query gives is usable: "
            f"{quarantined[reason]:,} are {reason}{hint}; {ADVICE[reason]}"
        )
    if total.buyers == 0:
        raise DataError(
            f"{config.path}: [events] query gives {total.events:,} events but no usable purchase; "
            "map sales to the kind 'purchase'"
        )
    complete_until = _complete_until(config, total.first_us, total.last_us, now_us)
    return Usability(
        rows=rows,
        accepted=total.events,
        quarantined=quarantined,
        notes=tuple(notes),
        total=total,
        first_event=total.first_us,
        last_event=total.last_us,
        complete_until=complete_until,
        gaps=Gaps.of(total, complete_until, config.problem.observation_window_days),
        problem=config.problem,
        zone=config.events.zone,
    )


def latest_end(config: Config, now_us: int) -> int:
    """Return the time (exclusive) by which the log is complete at the latest, in microseconds."""
    # Today is not over: its silence is not yet silence.
    chosen = config.complete_until_us
    return _midnight(config, now_us) if chosen is None else chosen


def _complete_until(config: Config, first_us: int, last_us: int, now_us: int) -> int:
    chosen = config.complete_until_us
    if chosen is None:
        return min(_midnight(config, last_us, days_later=1), latest_end(config, now_us))
    if chosen > now_us:
        raise ConfigError(
            f"{config.path}: [events] complete_until ({_iso(chosen)}) lies in the future; "
            "give the day on which the log was exported, or leave it out"
        )
    if chosen <= first_us:
        raise ConfigError(
            f"{config.path}: [events] complete_until ({_iso(chosen)}) lies before the first event "
            f"({_iso(first_us)})"
        )
    return chosen


def _midnight(config: Config, us: int, days_later: int = 0) -> int:
    """Start of the day, in the log's time zone, that a time falls on."""
    local = (_EPOCH + timedelta(microseconds=us)).astimezone(config.events.zone)
    day = local.date() + timedelta(days=days_later)
    start = datetime(day.year, day.month, day.day, tzinfo=config.events.zone)
    return (start - _EPOCH) // timedelta(microseconds=1)


def _iso(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")
