"""Snapshots: the eligible customers' features at past dates, and what became of them.

A customer is eligible at `as_of` with a purchase in ``[as_of - inactivity, as_of)`` that was known
before `as_of`. The label says whether no purchase happened in
``[as_of + lead_time, as_of + lead_time + horizon)``; it exists only where the log is complete to
the end of that window.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from churn.columns import Column
from churn.compiled import Booleans, Codes, Floats, Integers, compiled
from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, EventLog, Kind
from churn.features import POSITION, FeatureSettings, feature_rows, mask_absent_feeds
from training.config import Problem
from training.ingest import Ingested
from training.progress import Progress, Silent

PURCHASE = KIND_CODES[Kind.PURCHASE]
_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Rows of one or more snapshots, one per customer and date.

    Attributes
    ----------
    X : ndarray of float64, shape (n, n_inputs)
        Loop features, then the user's own `columns`; NaN is missing.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    is_churn : ndarray of bool, shape (n,)
        The label; meaningless where the window reaches past `complete_until`.
    next_purchase_days : ndarray of float64, shape (n,)
        Days from the end of the lead time to the next purchase; infinite where none is known of.
    customer_id : ndarray of object, shape (n,)
        Identifiers.
    columns : tuple of Column
        What the columns beyond the loop's are; a category's number is its code here.
    """

    X: Floats
    as_of: Integers
    is_churn: Booleans
    next_purchase_days: Floats
    customer_id: NDArray[np.object_]
    columns: tuple[Column, ...] = ()

    def __len__(self) -> int:
        return len(self.as_of)

    @property
    def dates(self) -> list[int]:
        """The distinct `as_of`, ascending."""
        return [int(date) for date in np.unique(self.as_of)]

    @property
    def is_one_time(self) -> Booleans:
        """Whether the customer had bought on one day only."""
        return np.asarray(self.X[:, POSITION["is_one_time_buyer"]] == 1.0)

    def where(self, chosen: Booleans | Integers, /) -> Self:
        """The chosen rows, by a mask or by positions."""
        return type(self)(
            self.X[chosen],
            self.as_of[chosen],
            self.is_churn[chosen],
            self.next_purchase_days[chosen],
            self.customer_id[chosen],
            self.columns,
        )

    def at(self, as_of: int) -> "Snapshots":
        """The rows of one date."""
        return self.where(self.as_of == as_of)


def collect(
    ingested: Ingested,
    as_ofs: Sequence[int],
    problem: Problem,
    *,
    known_until: int | None = None,
    everyone: bool = False,
    max_rows: int | None = None,
    seed: int = 7,
    progress: Progress | None = None,
) -> Snapshots:
    """Compute the snapshots at the given dates.

    Parameters
    ----------
    ingested : Ingested
        The log in buckets.
    as_ofs : sequence of int
        Microseconds since 1970-01-01 UTC.
    problem : Problem
        Horizon, lead time, inactivity, observation window.
    known_until : int, optional
        Labels see only purchases known before this instant, as a model made then would have.
    everyone : bool
        Take every customer who ever bought, the lapsed ones too.
    max_rows : int, optional
        Keep a random part of the rows if there are more.
    seed : int
        Of that choice.
    progress : Progress, optional
        Told of each bucket.
    """
    progress = progress or Silent()
    share = 1.0
    if max_rows is not None:
        progress.stage("counting eligible customers", ingested.n_buckets)
        wanted = np.array(sorted(as_ofs), dtype=np.int64)
        total = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for rows in pool.map(
                lambda k: len(
                    eligible_pairs(ingested.bucket(k), wanted, problem, everyone, None)[0]
                ),
                range(ingested.n_buckets),
            ):
                total += rows
                progress.advance()
        share = min(1.0, max_rows / max(total, 1))
    parts = list(
        by_bucket(
            ingested, as_ofs, problem,
            known_until=known_until, everyone=everyone, share=share, seed=seed, progress=progress,
        )
    )  # fmt: skip
    columns = (
        np.concatenate([part.as_of for part in parts]),
        np.concatenate([part.is_churn for part in parts]),
        np.concatenate([part.next_purchase_days for part in parts]),
        np.concatenate([part.customer_id for part in parts]),
    )
    own = parts[0].columns
    X = np.empty((len(columns[0]), parts[0].X.shape[1]), dtype=np.float64)
    at = len(X)
    while parts:  # a part is given back once it is copied, so the matrix is never held twice
        part = parts.pop()
        at -= len(part)
        X[at : at + len(part)] = part.X
    return Snapshots(X, *columns, own)


def by_bucket(
    ingested: Ingested,
    as_ofs: Sequence[int],
    problem: Problem,
    *,
    known_until: int | None = None,
    everyone: bool = False,
    share: float = 1.0,
    seed: int = 7,
    progress: Progress | None = None,
) -> Iterator[Snapshots]:
    """Compute the snapshots bucket by bucket, for what need not hold them all at once.

    Parameters
    ----------
    ingested, as_ofs, problem, known_until, everyone, seed, progress
        As `collect`.
    share : float
        Keep this random part of the rows, in (0, 1].
    """
    progress = progress or Silent()
    settings = FeatureSettings(problem.observation_window_days, problem.horizon_days)
    wanted = np.array(sorted(as_ofs), dtype=np.int64)

    def one(k: int) -> Snapshots:
        log = ingested.bucket(k)
        customers, dates, days = eligible_pairs(log, wanted, problem, everyone, known_until)
        if share < 1.0:
            kept = np.random.default_rng([seed, k]).random(len(customers)) < share
            customers, dates, days = customers[kept], dates[kept], days[kept]
        X = feature_rows(log, customers, dates, settings)
        mask_absent_feeds(X, ingested.feeds)
        own: tuple[Column, ...] = ()
        if ingested.own is not None:
            own = ingested.own.columns
            X = np.hstack([X, ingested.own.joined(k, log.customer_ids, customers, dates)])
        is_churn = days >= problem.horizon_days
        return Snapshots(X, dates, is_churn, days, log.customer_ids[customers], own)

    progress.stage("computing features", ingested.n_buckets)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(one, range(ingested.n_buckets)):
            progress.advance()
            yield part


def count_outcomes(
    ingested: Ingested,
    as_ofs: Sequence[int],
    problem: Problem,
    *,
    known_until: int | None = None,
    progress: Progress | None = None,
) -> tuple[dict[int, tuple[int, int]], int]:
    """Count who is eligible and who leaves, without computing a feature.

    Parameters
    ----------
    ingested, as_ofs, problem, known_until, progress
        As `collect`.

    Returns
    -------
    dict of int to (int, int)
        Eligible customers, and churners among them, by date.
    int
        Different customers on all dates together.
    """
    progress = progress or Silent()
    wanted = np.array(sorted(as_ofs), dtype=np.int64)
    eligible, churned = np.zeros((2, len(wanted)), dtype=np.int64)
    customers = 0

    def one(k: int) -> tuple[Integers, Integers, Floats]:
        return eligible_pairs(ingested.bucket(k), wanted, problem, False, known_until)

    progress.stage("counting who comes back", ingested.n_buckets)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for who, dates, days in pool.map(one, range(ingested.n_buckets)):
            at = np.searchsorted(wanted, dates)
            eligible += np.bincount(at, minlength=len(wanted))
            churned += np.bincount(at[days >= problem.horizon_days], minlength=len(wanted))
            customers += len(np.unique(who))
            progress.advance()
    counts = zip(eligible.tolist(), churned.tolist(), strict=True)
    return dict(zip(wanted.tolist(), counts, strict=True)), customers


def eligible_pairs(
    log: EventLog, as_ofs: Integers, problem: Problem, everyone: bool, known_until: int | None
) -> tuple[Integers, Integers, Floats]:
    """The (customer, date) pairs to look at, and the days to their next purchases.

    Parameters
    ----------
    log : EventLog
        Events of some customers.
    as_ofs : ndarray of int64
        Dates, microseconds since 1970-01-01 UTC.
    problem, everyone, known_until
        As in `collect`.

    Returns
    -------
    customers, dates : ndarray of int64, shape (n,)
        Positions in the log, and the dates.
    days : ndarray of float64, shape (n,)
        From the end of the lead time to the next purchase; infinite where none is known of.
    """
    day = MICROSECONDS_PER_DAY
    eligible = np.zeros((log.n_customers, len(as_ofs)), dtype=np.bool_)
    days = np.full((log.n_customers, len(as_ofs)), np.inf)
    look_back = problem.observation_window_days if everyone else problem.inactivity_days
    _look(
        log.time, log.known_at, log.kind, log.offsets, as_ofs,
        look_back * day, problem.lead_time_days * day,
        _FOREVER if known_until is None else known_until,
        eligible, days,
    )  # fmt: skip
    customers, dates = np.nonzero(eligible)
    return customers.astype(np.int64), as_ofs[dates], days[customers, dates]


@compiled
def _look(
    time: Integers, known_at: Integers, kind: Codes, offsets: Integers, as_ofs: Integers,
    look_back: int, lead: int, known_until: int, eligible: Booleans, days: Floats,
) -> None:  # fmt: skip
    """Who bought within `look_back`, and how long after the lead time they bought again."""
    for customer in range(len(offsets) - 1):
        for at in range(len(as_ofs)):
            as_of = as_ofs[at]
            for i in range(offsets[customer], offsets[customer + 1]):
                if kind[i] != PURCHASE:
                    continue
                t = time[i]
                if t < as_of:
                    if t >= as_of - look_back and known_at[i] < as_of:
                        eligible[customer, at] = True
                elif t >= as_of + lead and known_at[i] < known_until:
                    days[customer, at] = (t - as_of - lead) / MICROSECONDS_PER_DAY
                    break
