"""What a bucket of events adds to the data-usability report: counts that can be added up.

Days are UTC days; a gap is the number of days between a customer's consecutive purchase days.
Gaps, and the days since which customers are silent, know nothing of what happened once the log is
no longer complete: a purchase after that would be a glimpse of the future.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from churn.events import (
    FEED_COLUMNS,
    FEED_KINDS,
    KIND_CODES,
    MICROSECONDS_PER_DAY,
    EventLog,
    Feed,
    Kind,
)

_PURCHASE = KIND_CODES[Kind.PURCHASE.value]
_FOREVER = np.iinfo(np.int64).max


@dataclass(slots=True)
class Span:
    """How many events of a kind, or values of a column, and when the first and last happened."""

    events: int
    first_us: int
    last_us: int

    def add(self, other: "Span") -> None:
        """Add another bucket's share."""
        self.events += other.events
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)


@dataclass(slots=True)
class Tally:
    """What one bucket, or many together, add to the report.

    Attributes
    ----------
    gaps, first_gaps : Counter of int
        Completed gaps in days, and those of them that followed a first purchase.
    own_gaps : Counter of int
        The median gap of each customer who has one.
    silent_once, silent_repeat : Counter of int
        Days (since 1970) of the last purchase of customers who bought on one day, and on more.
    recorded : dict of str to Span
        Kinds of events, and columns of purchases, that there is anything of.
    """

    events: int = 0
    customers: int = 0
    buyers: int = 0
    one_time_buyers: int = 0
    first_us: int | None = None
    last_us: int | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    gaps: Counter[int] = field(default_factory=Counter)
    first_gaps: Counter[int] = field(default_factory=Counter)
    own_gaps: Counter[int] = field(default_factory=Counter)
    silent_once: Counter[int] = field(default_factory=Counter)
    silent_repeat: Counter[int] = field(default_factory=Counter)
    recorded: dict[str, Span] = field(default_factory=dict)

    @property
    def feeds(self) -> frozenset[Feed]:
        """The feeds that there is any event, or value, of."""
        of_kinds = [f for f, kinds in FEED_KINDS.items() if any(k in self.recorded for k in kinds)]
        of_columns = [feed for feed, name in FEED_COLUMNS.items() if name in self.recorded]
        return frozenset([*of_kinds, *of_columns])

    def add(self, other: "Tally") -> None:
        """Add another bucket's figures to these."""
        self.events += other.events
        self.customers += other.customers
        self.buyers += other.buyers
        self.one_time_buyers += other.one_time_buyers
        firsts = [us for us in (self.first_us, other.first_us) if us is not None]
        lasts = [us for us in (self.last_us, other.last_us) if us is not None]
        self.first_us = min(firsts, default=None)
        self.last_us = max(lasts, default=None)
        self.kinds.update(other.kinds)
        self.months.update(other.months)
        self.gaps.update(other.gaps)
        self.first_gaps.update(other.first_gaps)
        self.own_gaps.update(other.own_gaps)
        self.silent_once.update(other.silent_once)
        self.silent_repeat.update(other.silent_repeat)
        for name, span in other.recorded.items():
            if name in self.recorded:
                self.recorded[name].add(span)
            else:
                self.recorded[name] = replace(span)


def tally(log: EventLog, until_us: int = _FOREVER) -> Tally:
    """Count what a bucket holds.

    Parameters
    ----------
    log : EventLog
        Sorted and without duplicates.
    until_us : int
        Gaps end, and silences begin, before this time; microseconds since 1970-01-01 UTC.
    """
    if log.n_events == 0:
        return Tally()
    customer = np.repeat(np.arange(log.n_customers), np.diff(log.offsets))
    bought = log.kind == _PURCHASE
    buyer, day = _purchase_days(customer[bought], log.time[bought])
    days_per_buyer = np.bincount(buyer, minlength=log.n_customers)
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    kinds = np.bincount(log.kind, minlength=len(KIND_CODES))
    total = Tally(
        events=log.n_events,
        customers=log.n_customers,
        buyers=int(np.count_nonzero(days_per_buyer)),
        one_time_buyers=int(np.count_nonzero(days_per_buyer == 1)),
        first_us=int(log.time.min()),
        last_us=int(log.time.max()),
        kinds=Counter({kind: int(kinds[code]) for kind, code in KIND_CODES.items() if kinds[code]}),
        months=Counter({str(np.datetime64(m, "M")): n for m, n in _counted(months).items()}),
        recorded=_recorded(log, bought),
    )
    seen = bought & (log.time < until_us)
    _add_gaps(total, *_purchase_days(customer[seen], log.time[seen]))
    return total


def _purchase_days(
    buyer: NDArray[np.int64], time: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the customer and the day of each purchase day, for purchases in order."""
    day = time // MICROSECONDS_PER_DAY
    new_day = np.ones(len(day), dtype=bool)
    new_day[1:] = (buyer[1:] != buyer[:-1]) | (day[1:] != day[:-1])
    return buyer[new_day], day[new_day]


def _add_gaps(total: Tally, buyer: NDArray[np.int64], day: NDArray[np.int64]) -> None:
    again = buyer[1:] == buyer[:-1]
    is_first, is_last = np.r_[True, ~again][: len(buyer)], np.r_[~again, True][: len(buyer)]
    gap, whose = np.diff(day)[again], buyer[1:][again]
    total.gaps.update(_counted(gap))
    total.first_gaps.update(_counted(gap[is_first[:-1][again]]))
    total.own_gaps.update(_counted(_median_by(gap, whose)))
    total.silent_once.update(_counted(day[is_first & is_last]))
    total.silent_repeat.update(_counted(day[~is_first & is_last]))


def _recorded(log: EventLog, bought: NDArray[np.bool_]) -> dict[str, Span]:
    rows = {kind: log.kind == code for kind, code in KIND_CODES.items()} | {
        "amount": bought & ~np.isnan(log.amount),
        "discount": bought & ~np.isnan(log.discount),
        "category": bought & (log.category >= 0),
    }
    return {
        name: Span(int(here.sum()), int(log.time[here].min()), int(log.time[here].max()))
        for name, here in rows.items()
        if here.any()
    }


def _median_by(values: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Upper median of the values of each group."""
    if len(values) == 0:
        return values
    order = np.lexsort((values, group))
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    sizes = np.diff(np.r_[starts, len(values)])
    middle: NDArray[np.int64] = values[order][starts + sizes // 2]
    return middle


def _counted(values: NDArray[np.int64]) -> dict[int, int]:
    """How often each value, zero or more, occurs."""
    counts = np.bincount(values) if len(values) else np.zeros(0, dtype=np.int64)
    found = np.flatnonzero(counts)
    return dict(zip(found.tolist(), counts[found].tolist(), strict=True))
