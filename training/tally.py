"""What a bucket of events adds to the data-usability report: counts that can be added up.

Days are UTC days; a gap is the number of days between a customer's consecutive purchase days.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, EventLog, Kind

_PURCHASE = KIND_CODES[Kind.PURCHASE.value]


@dataclass(slots=True)
class Tally:
    """What one bucket, or many together, add to the report."""

    events: int = 0
    customers: int = 0
    buyers: int = 0
    one_time_buyers: int = 0
    first_us: int | None = None
    last_us: int | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    months: Counter[str] = field(default_factory=Counter)
    gaps: Counter[int] = field(default_factory=Counter)
    own_gaps: Counter[int] = field(default_factory=Counter)

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
        self.own_gaps.update(other.own_gaps)


def tally(log: EventLog) -> Tally:
    """Count what a bucket holds.

    Parameters
    ----------
    log : EventLog
        Sorted and without duplicates.
    """
    if log.n_events == 0:
        return Tally()
    customer = np.repeat(np.arange(log.n_customers), np.diff(log.offsets))
    bought = log.kind == _PURCHASE
    buyer, day = customer[bought], log.time[bought] // MICROSECONDS_PER_DAY
    new_day = np.ones(len(day), dtype=bool)
    new_day[1:] = (buyer[1:] != buyer[:-1]) | (day[1:] != day[:-1])
    buyer, day = buyer[new_day], day[new_day]
    again = buyer[1:] == buyer[:-1]
    gap, whose = np.diff(day)[again], buyer[1:][again]
    days_per_buyer = np.bincount(buyer, minlength=log.n_customers)
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    kinds = np.bincount(log.kind, minlength=len(KIND_CODES))
    return Tally(
        events=log.n_events,
        customers=log.n_customers,
        buyers=int(np.count_nonzero(days_per_buyer)),
        one_time_buyers=int(np.count_nonzero(days_per_buyer == 1)),
        first_us=int(log.time.min()),
        last_us=int(log.time.max()),
        kinds=Counter({kind: int(kinds[code]) for kind, code in KIND_CODES.items() if kinds[code]}),
        months=Counter({str(np.datetime64(m, "M")): n for m, n in _counted(months).items()}),
        gaps=Counter(_counted(gap)),
        own_gaps=Counter(_counted(_median_by(gap, whose))),
    )


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
