"""Leakage: a column that knows what was not known yet.

What is known in time is a trace of the past. So of each input column alone it is asked:

- does it tell leavers from stayers among customers whose purchases promise the same, better than
  anything known in time does?
- does it know the coming window better than the one that has just ended, and better than it knew
  the coming one a window ago? Honest columns know the past best; a leak knows the future best.
- does it know *when* those who come back will come?
- is it the same at every date, and yet tells who leaves? Then it is as of today.

The columns that are computed from the times of purchases alone are not asked the first and the
third: they see what is before `as_of` by construction, and where purchases are as regular as a
subscription's they may honestly know that much.
"""

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from churn.events import Feed
from churn.features import FEATURE_NAMES, FEATURES
from training.separation import (
    Floats,
    Rates,
    Separation,
    added_separation,
    separation,
)
from training.snapshots import Snapshots

MAX_ROWS = 30_000
SOON_SHARES = (1 / 6, 1 / 3)
PURCHASE_TIMES_MODEL = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}
OWN = "your own column"
SOURCES = {
    Feed.CHEQUES: "from `amount`",
    Feed.DISCOUNTS: "from `discount`",
    Feed.CATEGORIES: "from `category`",
    Feed.FEEDBACK: "from reviews and surveys and their `value`",
    Feed.COMPLAINTS: "from complaints and their `value`",
    Feed.RETURNS: "from returns and cancellations",
    Feed.VISITS: "from visits and abandoned carts",
}

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much a column knows the coming window better than is honest, and its error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one column knows.

    Attributes
    ----------
    name : str
    source : str or None
        Where its values come from; None for what is computed from the times of purchases alone.
    coming : Separation or None
        Of who leaves in the coming window.
    added : Separation or None
        The same among customers whose purchases promise the same: what it adds to their times.
    excess : Excess or None
        AUC of the coming window, among customers known a window earlier, less the better of its
        AUC of the window that has just ended and its AUC of the coming one a window earlier. The
        latter does not count where it never changes.
    timing : Separation or None
        Of who comes back soon rather than late, among those who come back.
    never_changes : bool
        Whether it is the user's own and each customer has one value of it at all dates.
    """

    name: str
    source: str | None
    coming: Separation | None
    added: Separation | None
    excess: Excess | None
    timing: Separation | None
    never_changes: bool


def inspect(
    snapshots: Snapshots,
    test_date: int,
    *,
    window: int,
    horizon_days: int,
    seed: int,
) -> list[Evidence]:
    """Ask every column of the snapshots that is not empty; none if no earlier outcome had ended.

    Parameters
    ----------
    snapshots : Snapshots
        Labelled rows: the test date's and earlier ones.
    test_date : int
        Microseconds since 1970-01-01 UTC; later rows are not looked at.
    window : int
        Lead time and horizon together, in microseconds.
    horizon_days : int
        Length of the outcome window.
    seed : int
        Of the choice of rows where there are many.

    Raises
    ------
    ValueError
        There are no rows at the test date.
    """
    rng = np.random.default_rng(seed)
    learnt = _some(np.flatnonzero(snapshots.as_of + window <= test_date), rng)
    test = _some(np.flatnonzero(snapshots.as_of == test_date), rng)
    if len(test) == 0:
        raise ValueError("the snapshots have no rows at the test date, so no column can be asked")
    if len(learnt) == 0:
        return []
    earlier = _same_customers(snapshots, test, test_date - window)
    known = earlier >= 0
    ended = earlier[known]
    repeated = _repeated(snapshots, np.concatenate([learnt, test]))
    label = snapshots.is_churn
    expected = _by_purchase_times(snapshots, learnt, test, seed)
    evidence = []
    names = (*FEATURE_NAMES, *(column.name for column in snapshots.columns))
    for at, name in enumerate(names):
        column = snapshots.X[:, at]
        now = column[test]
        if np.isnan(now).all() and np.isnan(column[learnt]).all():
            continue
        source = _source(at)
        never_changes = source == OWN and _never_changes(column, *repeated)
        rates = Rates.of(column[learnt], label[learnt])
        evidence.append(
            Evidence(
                name,
                source,
                separation(rates, now, label[test]),
                added_separation(now, label[test], expected) if source is not None else None,
                _excess(
                    separation(rates, now[known], label[test][known]),
                    separation(None, now[known], label[ended]),
                    None if never_changes else separation(rates, column[ended], label[test][known]),
                ),
                _timing(column, snapshots.next_purchase_days, learnt, test, horizon_days),
                never_changes,
            )
        )
    return evidence


def inspect_model(
    test: Snapshots, probability: Floats, earlier: dict[str, tuple[float, bool]]
) -> Excess | None:
    """Ask the model's own probabilities what each column is asked of time.

    Parameters
    ----------
    test : Snapshots
        The rows at the test date.
    probability : ndarray of float64, shape (n,)
        Theirs.
    earlier : dict
        By customer: the probability one window earlier, and what became of it.
    """
    before = [earlier.get(customer) for customer in test.customer_id.tolist()]
    known = np.array([one is not None for one in before], dtype=np.bool_)
    scored = np.array([one[0] for one in before if one is not None], dtype=np.float64)
    ended = np.array([one[1] for one in before if one is not None], dtype=np.bool_)
    label = test.is_churn[known]
    return _excess(
        separation(None, probability[known], label),
        separation(None, probability[known], ended),
        separation(None, scored, label),
    )


def _by_purchase_times(snapshots: Snapshots, learnt: Rows, test: Rows, seed: int) -> Floats:
    """What the times of purchases alone promise the test rows: a small model of them."""
    times = np.array([at for at in range(len(FEATURES)) if _source(at) is None])
    booster = lgb.train(
        PURCHASE_TIMES_MODEL | {"seed": seed},
        lgb.Dataset(snapshots.X[np.ix_(learnt, times)], snapshots.is_churn[learnt]),
        num_boost_round=80,
    )
    return np.asarray(booster.predict(snapshots.X[np.ix_(test, times)], num_threads=2))


def _source(at: int) -> str | None:
    return OWN if at >= len(FEATURES) else SOURCES.get(FEATURES[at].feed)


def _some(rows: Rows, rng: np.random.Generator) -> Rows:
    if len(rows) > MAX_ROWS:
        rows = np.sort(rng.choice(rows, MAX_ROWS, replace=False))
    return rows


def _same_customers(snapshots: Snapshots, rows: Rows, by: int) -> Rows:
    """The row of each one's customer at the latest date up to `by`; -1 where there is none."""
    latest = max(date for date in snapshots.dates if date <= by)
    there = np.flatnonzero(snapshots.as_of == latest)
    at = dict(zip(snapshots.customer_id[there].tolist(), there.tolist(), strict=True))
    found = [at.get(customer, -1) for customer in snapshots.customer_id[rows].tolist()]
    return np.array(found, dtype=np.int64)


def _repeated(snapshots: Snapshots, rows: Rows) -> tuple[Rows, Rows]:
    """Pairs of rows of one customer."""
    _, who = np.unique(snapshots.customer_id[rows].astype(str), return_inverse=True)
    order = np.argsort(who, kind="stable")
    same = who[order][1:] == who[order][:-1]
    return rows[order][:-1][same], rows[order][1:][same]


def _never_changes(column: Floats, a: Rows, b: Rows) -> bool:
    """Whether each of these pairs of rows has one value; nobody knows where there is none."""
    one, other = column[a], column[b]
    return len(a) > 0 and bool(((one == other) | (np.isnan(one) & np.isnan(other))).all())


def _excess(
    coming: Separation | None, past: Separation | None, earlier: Separation | None
) -> Excess | None:
    if coming is None or past is None:
        return None
    honest = past if earlier is None or past.auc >= earlier.auc else earlier
    error = float(np.hypot(coming.error, honest.error))
    return Excess(coming.auc - honest.auc, error)


def _timing(
    column: Floats, days: Floats, learnt: Rows, test: Rows, horizon_days: int
) -> Separation | None:
    learnt, test = learnt[days[learnt] < horizon_days], test[days[test] < horizon_days]
    told = [
        separation(Rates.of(column[learnt], days[learnt] < soon), column[test], days[test] < soon)
        for soon in (share * horizon_days for share in SOON_SHARES)
    ]
    return max((one for one in told if one is not None), key=lambda one: one.auc, default=None)
