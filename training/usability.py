"""The data-usability report: what the log holds, what was set aside, and what it can answer."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from churn.errors import ConfigError, DataError
from churn.events import KIND_CODES, MICROSECONDS_PER_DAY
from training.advice import nearest
from training.config import Config
from training.quarantine import Rejected
from training.rules import ADVICE, DUPLICATE
from training.tally import Tally

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUANTILES = (0.25, 0.5, 0.75, 0.9, 0.95)
_HORIZON_SHARE, _INACTIVITY_SHARE = 0.75, 0.95
_WINDOWS = 3
"""A history to look back on, a window to learn from and a later one to be judged on."""


_MANY_REPEATS = 0.05
"""A larger share of repeated rows is rather a mapping that lost what told them apart."""


_FEWEST_BUYERS, _FEWEST_GAPS = 100, 30
"""Fewer customers are too few to learn from, fewer gaps too few to suggest a horizon from."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A setting that the data speak for, and why."""

    key: str
    days: int
    why: str


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
    horizon_days, lead_time_days : int
        What the configuration asks of the log.
    """

    rows: int
    accepted: int
    quarantined: Mapping[str, int]
    notes: tuple[str, ...]
    total: Tally
    first_event: int
    last_event: int
    complete_until: int
    horizon_days: int
    lead_time_days: int

    @property
    def span_days(self) -> float:
        """Days from the first event to where the log is complete."""
        return (self.complete_until - self.first_event) / MICROSECONDS_PER_DAY

    @property
    def one_time_share(self) -> float:
        """Share of buyers who bought on one day only, in [0, 1]."""
        return self.total.one_time_buyers / self.total.buyers

    @property
    def gap_days(self) -> dict[str, int]:
        """Quantiles of the days between consecutive purchase days; empty if nobody returned."""
        gaps = self.total.gaps
        return {f"p{q * 100:.0f}": quantile(gaps, q) for q in _QUANTILES} if gaps else {}

    def shortfall_days(self, horizon_days: int, lead_time_days: int = 0) -> int:
        """By how many days the log is too short for a horizon; 0 if it is long enough.

        It must hold a window to learn from, a later one to be judged on, and as long a history
        before the first.
        """
        needed = _WINDOWS * (horizon_days + lead_time_days)
        return max(0, -int((self.span_days - needed) // 1))

    def suggestions(self) -> tuple[Suggestion, ...]:
        """Horizon and inactivity that the gaps between purchases speak for."""
        gaps = self.total.gaps
        if gaps.total() < _FEWEST_GAPS:
            return ()
        usual, longest = quantile(gaps, _HORIZON_SHARE), quantile(gaps, _INACTIVITY_SHARE)
        room = max(1, int(self.span_days) // _WINDOWS - self.lead_time_days)
        horizon = min(_rounded_up(usual), room)
        why = f"{_HORIZON_SHARE:.0%} of returning purchases come within {usual} days of the last"
        if horizon == room:
            why += f"; the log of {self.span_days:.0f} days has no room for a longer one"
        inactivity = max(horizon, _rounded_up(longest))
        return (
            Suggestion("horizon_days", horizon, why),
            Suggestion(
                "inactivity_days",
                inactivity,
                f"{_INACTIVITY_SHARE:.0%} of returning purchases come within {longest} days, so "
                "later ones are win-backs",
            ),
        )

    def warnings(self) -> tuple[str, ...]:
        """What makes the configured problem hard to answer from this log."""
        found: list[str] = []
        if self.total.buyers < _FEWEST_BUYERS:
            found.append(
                f"too few customers to learn from (buyers: {self.total.buyers}); "
                f"bring at least {_FEWEST_BUYERS}"
            )
        short = self.shortfall_days(self.horizon_days, self.lead_time_days)
        if short:
            found.append(
                f"the log of {self.span_days:.0f} days is {short} days too short for a horizon of "
                f"{self.horizon_days} days and a lead time of {self.lead_time_days}"
            )
        if self.gap_days and self.horizon_days < self.gap_days["p50"]:
            found.append(
                f"horizon_days ({self.horizon_days}) is shorter than the median gap between "
                f"purchases ({self.gap_days['p50']} days): most loyal customers would count as lost"
            )
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
            "horizon_days": self.horizon_days,
            "shortfall_days": self.shortfall_days(self.horizon_days, self.lead_time_days),
            "gap_days": self.gap_days,
            "purchase_days_by_month": dict(sorted(total.months.items())),
            "suggestions": {
                item.key: {"days": item.days, "why": item.why} for item in self.suggestions()
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
            *self._gap_lines(),
            *(f"suggestion: {item.key} = {item.days} ({item.why})" for item in self.suggestions()),
            *(f"note: {note}" for note in self.notes),
            *(f"warning: {warning}" for warning in self.warnings()),
        ]

    def _quarantine_lines(self) -> Iterator[str]:
        for reason, count in self.quarantined.items():
            yield f"  {count:,} {reason} ({ADVICE[reason]})"

    def _gap_lines(self) -> Iterator[str]:
        gaps = self.gap_days
        if gaps:
            yield (
                f"days between purchases: median {gaps['p50']}, half of them {gaps['p25']} to "
                f"{gaps['p75']}, 95% within {gaps['p95']}"
            )


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
    return Usability(
        rows=rows,
        accepted=total.events,
        quarantined=quarantined,
        notes=tuple(notes),
        total=total,
        first_event=total.first_us,
        last_event=total.last_us,
        complete_until=_complete_until(config, total.first_us, total.last_us, now_us),
        horizon_days=config.problem.horizon_days,
        lead_time_days=config.problem.lead_time_days,
    )


def quantile(counts: Counter[int], q: float) -> int:
    """Return the smallest value that at least a share `q` of the counted values does not exceed.

    Examples
    --------
    >>> quantile(Counter({1: 3, 10: 1}), 0.75)
    1
    """
    needed = q * counts.total()
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= needed:
            return value
    raise ValueError("no values to take a quantile of")


def _complete_until(config: Config, first_us: int, last_us: int, now_us: int) -> int:
    chosen = config.complete_until_us
    if chosen is None:
        # Today is not over: its silence is not yet silence.
        return min(_midnight(config, last_us, days_later=1), _midnight(config, now_us))
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


def _rounded_up(days: int) -> int:
    step = 1 if days < 15 else 5
    return -(-days // step) * step


def _iso(us: int) -> str:
    return (_EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")
