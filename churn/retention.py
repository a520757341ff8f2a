"""Management figures of a period: who was kept and lost, what customers bring, how cohorts fare.

Everything is counted customer by customer and added up, so a log of any length is told a part at a
time. Each figure has its definition beside it: these words mean something else in every firm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, Kind

Integers = NDArray[np.int64]
COHORTS = 12
_PURCHASE = KIND_CODES[Kind.PURCHASE]
_BACK = (KIND_CODES[Kind.RETURN], KIND_CODES[Kind.CANCELLATION])


class Sales(Protocol):
    """Customers with what they bought: an `EventLog`, or as much of one."""

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Customer i owns events ``offsets[i]:offsets[i + 1]``."""

    @property
    def time(self) -> NDArray[np.int64]:
        """Microseconds since 1970-01-01 UTC, ascending within a customer."""

    @property
    def kind(self) -> NDArray[np.int8]:
        """Position in `Kind`."""

    @property
    def amount(self) -> NDArray[np.float64]:
        """Money; NaN where not given."""


class Period(NamedTuple):
    """What is asked about.

    Attributes
    ----------
    start, end : int
        Microseconds since 1970-01-01 UTC; half-open.
    inactivity_days : int
        A customer is one at an instant who bought within so many days before it.
    """

    start: int
    end: int
    inactivity_days: int

    @property
    def days(self) -> float:
        """Its length."""
        return (self.end - self.start) / MICROSECONDS_PER_DAY


@dataclass(slots=True)
class Tally:
    """Counts that parts of a log are added up by.

    Attributes
    ----------
    at_start, at_end : int
        Customers at the period's start and end.
    acquired, returned : int
        Customers at the end who were none at the start: with their first purchase in the period,
        and back after a longer silence.
    lost : int
        Customers at the start who were none at the end.
    buyers, repeat_buyers : int
        Who bought in the period, and of these who had bought on another day before.
    revenue : float
        Purchases of the period less what went back in it, in currency.
    cohort_size : ndarray of int64, shape (COHORTS,)
        Customers by the month of their first purchase; the last is the month the period ends in.
    cohort_buyers : ndarray of int64, shape (COHORTS, COHORTS)
        Of each, who bought so many months after that one.
    """

    at_start: int = 0
    at_end: int = 0
    acquired: int = 0
    returned: int = 0
    lost: int = 0
    buyers: int = 0
    repeat_buyers: int = 0
    revenue: float = 0.0
    cohort_size: Integers = field(default_factory=lambda: np.zeros(COHORTS, np.int64))
    cohort_buyers: Integers = field(default_factory=lambda: np.zeros((COHORTS, COHORTS), np.int64))

    def add(self, other: "Tally") -> None:
        """Count another part of the customers too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def tally(log: Sales, period: Period) -> Tally:
    """Count the customers of a log, or of a part of it that has them whole.

    Parameters
    ----------
    log : Sales
        Sorted by customer and time.
    period : Period
        Later events are not looked at.
    """
    n = len(log.offsets) - 1
    owner = np.repeat(np.arange(n), np.diff(log.offsets))
    seen = log.time < period.end
    bought = seen & (log.kind == _PURCHASE)
    who, at = owner[bought], log.time[bought]
    start = _latest(who, at, n, period.start)
    end = _latest(who, at, n, period.end)
    look_back = period.inactivity_days * MICROSECONDS_PER_DAY
    is_start, is_end = start >= period.start - look_back, end >= period.end - look_back
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, who, at)
    new = is_end & ~is_start
    buys = end >= period.start
    day = at // MICROSECONDS_PER_DAY
    last_day = np.full(n, -1, dtype=np.int64)
    np.maximum.at(last_day, who, day)
    result = Tally(
        at_start=int(is_start.sum()),
        at_end=int(is_end.sum()),
        acquired=int((new & (first >= period.start)).sum()),
        returned=int((new & (first < period.start)).sum()),
        lost=int((is_start & ~is_end).sum()),
        buyers=int(buys.sum()),
        repeat_buyers=int((buys & (first // MICROSECONDS_PER_DAY < last_day)).sum()),
        revenue=_revenue(log, seen & (log.time >= period.start)),
    )
    _cohorts(result, who, at, first, period)
    return result


def is_lost(log: Sales, period: Period) -> NDArray[np.bool_]:
    """Which customers of a log were there at the period's start and not at its end."""
    n = len(log.offsets) - 1
    bought = (log.time < period.end) & (log.kind == _PURCHASE)
    who, at = np.repeat(np.arange(n), np.diff(log.offsets))[bought], log.time[bought]
    look_back = period.inactivity_days * MICROSECONDS_PER_DAY
    was = _latest(who, at, n, period.start) >= period.start - look_back
    return was & ~(_latest(who, at, n, period.end) >= period.end - look_back)


def _latest(who: Integers, at: Integers, n: int, before: int) -> Integers:
    """Each customer's last purchase before an instant; far in the past where there is none."""
    latest = np.full(n, np.iinfo(np.int64).min // 2, dtype=np.int64)
    earlier = at < before
    np.maximum.at(latest, who[earlier], at[earlier])
    return latest


def _revenue(log: Sales, rows: NDArray[np.bool_]) -> float:
    amount = np.nan_to_num(log.amount[rows])
    kind = log.kind[rows]
    return float(amount[kind == _PURCHASE].sum() - amount[np.isin(kind, _BACK)].sum())


def _month(at: Integers) -> Integers:
    return at.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _cohorts(result: Tally, who: Integers, at: Integers, first: Integers, period: Period) -> None:
    """Fill in the cohorts: months of the calendar, UTC."""
    last = int(_month(np.array([period.end - 1]))[0])
    oldest = last - COHORTS + 1
    joined = _month(first[who])
    month = _month(at)
    inside = joined >= oldest
    once = np.unique(np.column_stack([who, joined - oldest, month - joined])[inside], axis=0)
    np.add.at(result.cohort_buyers, (once[:, 1], once[:, 2]), 1)
    result.cohort_size[:] = result.cohort_buyers[:, 0]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a period; None where they would divide by nothing.

    Attributes
    ----------
    customers_at_start, customers_at_end, acquired, returned, lost, buyers : int
    retention_rate, churn_rate, repeat_purchase_rate : float or None
        In percent.
    lost_to_new : float or None
        Lost per customer won.
    revenue : float
        Of the period, in currency.
    arpu, lifetime_value : float or None
        Per customer, in currency.
    cohorts : list of dict
        ``{"month": "2026-01", "customers": n, "bought": [percent, ...]}``, from their first month.
    """

    customers_at_start: int
    customers_at_end: int
    acquired: int
    returned: int
    lost: int
    buyers: int
    retention_rate: float | None
    churn_rate: float | None
    repeat_purchase_rate: float | None
    lost_to_new: float | None
    revenue: float
    arpu: float | None
    lifetime_value: float | None
    cohorts: list[dict[str, object]]


DEFINITIONS: Mapping[str, str] = {
    "customers_at_start": "S: who bought within inactivity_days before the period's start",
    "customers_at_end": "E: who bought within inactivity_days before the period's end",
    "acquired": "customers at the end whose first purchase lies in the period",
    "returned": "customers at the end who bought before, but were none at the start",
    "lost": "customers at the start who are none at the end",
    "buyers": "who bought in the period",
    "retention_rate": "CRR = (E - N) / S x 100, N = acquired + returned",
    "churn_rate": "lost / S x 100",
    "repeat_purchase_rate": "buyers who bought on an earlier day too / buyers x 100",
    "lost_to_new": "lost / (acquired + returned)",
    "revenue": "purchases of the period less returns and cancellations in it",
    "arpu": "revenue / buyers",
    "lifetime_value": (
        "CLV: margin that a customer is expected to bring in lifetime_days, by periods such as "
        "this one: margin_rate x revenue / S, times the retention rate for each period, "
        "discounted by discount_rate a year from each period's end"
    ),
    "cohorts": (
        "by the month (UTC) of the first purchase: percent who bought in that month and in each "
        "later one"
    ),
}


def figures(
    counted: Tally,
    period: Period,
    *,
    margin_rate: float,
    lifetime_days: int = 1095,
    discount_rate: float = 0.10,
) -> Figures:
    """Turn counts into figures, as `DEFINITIONS` has them.

    Parameters
    ----------
    counted : Tally
        Of all customers.
    period : Period
    margin_rate : float
        Share of an amount that is margin.
    lifetime_days : int
        How far the lifetime value looks.
    discount_rate : float
        A year's.
    """
    won = counted.acquired + counted.returned
    kept = _share(counted.at_end - won, counted.at_start)
    return Figures(
        customers_at_start=counted.at_start,
        customers_at_end=counted.at_end,
        acquired=counted.acquired,
        returned=counted.returned,
        lost=counted.lost,
        buyers=counted.buyers,
        retention_rate=_percent(kept),
        churn_rate=_percent(_share(counted.lost, counted.at_start)),
        repeat_purchase_rate=_percent(_share(counted.repeat_buyers, counted.buyers)),
        lost_to_new=_share(counted.lost, won),
        revenue=counted.revenue,
        arpu=_share(counted.revenue, counted.buyers),
        lifetime_value=_lifetime(
            kept,
            _share(margin_rate * counted.revenue, counted.at_start),
            period.days,
            lifetime_days,
            discount_rate,
        ),
        cohorts=_told(counted, period),
    )


def _lifetime(
    kept: float | None, margin: float | None, days: float, lifetime_days: int, discount_rate: float
) -> float | None:
    """Margin of the periods to come; the last one in part."""
    if kept is None or margin is None:
        return None
    total, survives, at = 0.0, 1.0, 0.0
    while at < lifetime_days:
        part = min(1.0, (lifetime_days - at) / days)
        at += days
        survives *= kept
        total += survives * part * margin / (1.0 + discount_rate) ** (at / 365.0)
    return total


def _told(counted: Tally, period: Period) -> list[dict[str, object]]:
    last = int(_month(np.array([period.end - 1]))[0])
    told: list[dict[str, object]] = []
    for at in range(COHORTS):
        size = int(counted.cohort_size[at])
        if not size:
            continue
        month = np.datetime64(last - COHORTS + 1 + at, "M")
        bought = counted.cohort_buyers[at, : COHORTS - at]
        told.append(
            {
                "month": str(month),
                "customers": size,
                "bought": [round(100.0 * int(n) / size, 2) for n in bought],
            }
        )
    return told


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
