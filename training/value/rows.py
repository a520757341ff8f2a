"""What customers ordered after a date: the rows that value is learnt from and checked on."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from churn.compiled import Booleans, Codes, Floats, Integers, compiled
from churn.events import MICROSECONDS_PER_DAY
from churn.features import FeatureSettings, feature_rows, mask_absent_feeds
from training.config import Problem
from training.ingest import Ingested
from training.snapshots import PURCHASE, eligible_pairs

_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ValueRows:
    """Eligible customers at one or more dates, and what they then ordered.

    Attributes
    ----------
    X : ndarray of float64, shape (n, n_loop)
        Loop features; NaN is missing.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    within_orders, within_spend : ndarray of float64, shape (n,)
        Orders within the horizon, counted from the end of the lead time, and what they came to.
    later_orders, later_spend : ndarray of float64, shape (n,)
        The same from there to the end of the window.
    last_orders : ndarray of float64, shape (n,)
        Of the later orders those of the second half of that time.
    customer_id : ndarray of object, shape (n,)
        Identifiers.
    """

    X: Floats
    as_of: Integers
    within_orders: Floats
    within_spend: Floats
    later_orders: Floats
    later_spend: Floats
    last_orders: Floats
    customer_id: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.as_of)

    def where(self, chosen: Integers, /) -> Self:
        """The chosen rows, by position."""
        return type(self)(*(getattr(self, one.name)[chosen] for one in fields(self)))

    @property
    def came_back(self) -> Booleans:
        """Whether the customer bought within the horizon."""
        return np.asarray(self.within_orders > 0.0)

    @property
    def orders(self) -> Floats:
        """Orders of the whole window."""
        return self.within_orders + self.later_orders

    @property
    def spend(self) -> Floats:
        """What they came to."""
        return self.within_spend + self.later_spend


def collect_value(
    ingested: Ingested,
    as_ofs: Sequence[int],
    problem: Problem,
    *,
    window_days: int,
    known_until: int | None = None,
    share: float = 1.0,
    seed: int = 7,
) -> ValueRows:
    """Compute features at the given dates, and orders after them.

    Parameters
    ----------
    ingested : Ingested
        The log in buckets.
    as_ofs : sequence of int
        Microseconds since 1970-01-01 UTC.
    problem : Problem
        Horizon, lead time, inactivity, observation window.
    window_days : int
        Orders are counted for so long after the lead time; at least the horizon.
    known_until : int, optional
        Only purchases known before this instant are counted.
    share : float
        Keep this random part of the rows, in (0, 1].
    seed : int
        Of that choice.
    """
    settings = FeatureSettings(problem.observation_window_days, problem.horizon_days)
    wanted = np.array(sorted(as_ofs), dtype=np.int64)
    day = MICROSECONDS_PER_DAY

    def one(k: int) -> ValueRows:
        log = ingested.bucket(k)
        customers, dates, _ = eligible_pairs(log, wanted, problem, False, known_until)
        if share < 1.0:
            kept = np.random.default_rng([seed, k]).random(len(customers)) < share
            customers, dates = customers[kept], dates[kept]
        X = feature_rows(log, customers, dates, settings)
        mask_absent_feeds(X, ingested.feeds)
        counts = np.zeros((5, len(customers)))
        _count(
            log.time, log.known_at, log.kind, log.amount, log.order, log.offsets, customers, dates,
            problem.lead_time_days * day, problem.horizon_days * day, window_days * day,
            _FOREVER if known_until is None else known_until, counts,
        )  # fmt: skip
        within, within_spend, later, later_spend, last = counts
        ids = log.customer_ids[customers]
        return ValueRows(X, dates, within, within_spend, later, later_spend, last, ids)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(one, range(ingested.n_buckets)))
    return ValueRows(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(ValueRows))
    )


@compiled
def _count(
    time: Integers, known_at: Integers, kind: Codes, amount: Floats, order: Integers,
    offsets: Integers, customers: Integers, as_ofs: Integers, lead: int, horizon: int, window: int,
    known_until: int, counts: Floats,
) -> None:  # fmt: skip
    """Count orders as the features do: consecutive lines of one `order_id` are one."""
    for row in range(len(customers)):
        begin = as_ofs[row] + lead
        current = -1
        for i in range(offsets[customers[row]], offsets[customers[row] + 1]):
            t = time[i]
            if t >= begin + window:
                break
            if t < begin or kind[i] != PURCHASE or known_at[i] >= known_until:
                continue
            part = 0 if t < begin + horizon else 2
            if order[i] < 0 or order[i] != current:
                counts[part, row] += 1.0
                if t >= begin + (horizon + window) // 2:
                    counts[4, row] += 1.0
            current = order[i]
            if amount[i] == amount[i]:
                counts[part + 1, row] += amount[i]
