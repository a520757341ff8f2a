"""Choose the calibration by evidence on later dates; "none" is a candidate, and often the best.

For each of the latest labelled dates, a booster is fitted on labels that had ended by then and
scores that date: rows that fitted nothing. Platt's map fitted on one such date must beat no map at
all on the next. If it does, the published booster leaves the last date out and the map is fitted
on it; if not, the booster learns from everything and its probabilities are left as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from churn.calibration import Calibration
from churn.compiled import Booleans
from training.calendar import CALIBRATION_DATES, moment
from training.snapshots import Snapshots

MIN_ROWS = 500

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Dated:
    """An earlier date, predicted by a booster whose labels had ended by then.

    Attributes
    ----------
    as_of : int
        Microseconds since 1970-01-01 UTC.
    is_churn, is_one_time : ndarray of bool, shape (n,)
        What became of the customers, and whether they had bought on one day only.
    probability : ndarray of float64, shape (n,)
        Before any calibration.
    customer_id : ndarray of object, shape (n,)
        Identifiers.
    """

    as_of: int
    is_churn: Booleans
    is_one_time: Booleans
    probability: Floats
    customer_id: NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen calibration.

    Attributes
    ----------
    calibration : Calibration
        The map.
    held_out : frozenset of int
        Snapshot dates whose rows fitted the map and must not fit the booster.
    labels_end_by : int
        The booster may learn from labels that end by then.
    evidence : str
        Why, with the figures.
    earlier : tuple of Dated
        The dates that told, newest first.
    """

    calibration: Calibration
    held_out: frozenset[int]
    labels_end_by: int
    evidence: str
    earlier: tuple[Dated, ...] = field(default=(), compare=False)


def choose(
    snapshots: Snapshots,
    window: int,
    margins: Callable[[int, Snapshots], Floats],
    *,
    seed: int,
) -> Choice:
    """Choose between no map and Platt's.

    Parameters
    ----------
    snapshots : Snapshots
        Labelled rows.
    window : int
        Lead time and horizon together, in microseconds.
    margins : callable
        Given a date and rows, their log-odds by a booster whose labels had ended by that date.
    seed : int
        Of the bootstrap.
    """
    everything = max(snapshots.dates) + window
    none = Choice(Calibration(), frozenset(), everything, "")
    held: list[tuple[int, Floats, NDArray[np.bool_]]] = []
    earlier: list[Dated] = []
    date = max(snapshots.dates)
    for _ in range(CALIBRATION_DATES):
        before = snapshots.where(snapshots.as_of + window <= date)
        there = snapshots.at(date)
        if min(len(before), len(there)) < MIN_ROWS or _one_sided(before) or _one_sided(there):
            break
        margin = margins(date, there)
        held.append((date, margin, there.is_churn))
        earlier.append(
            Dated(
                date,
                there.is_churn,
                there.is_one_time,
                Calibration().apply(margin),
                there.customer_id,
            )
        )
        ended = [known for known in snapshots.dates if known + window <= date]
        date = max(ended)
    none = replace(none, earlier=tuple(earlier))
    if len(held) < CALIBRATION_DATES:
        return _because(none, "none: too few labelled dates to compare calibrations on")

    # Newest first: each date but the oldest is judged with the map of the one before it.
    gains = []
    for (_, margin, is_churn), (_, past_margin, past_is_churn) in pairwise(held):
        mapped = _platt(past_margin, past_is_churn)
        gains.append(_losses(margin, is_churn, Calibration()) - _losses(margin, is_churn, mapped))
    gain = float(np.mean([part.mean() for part in gains]))
    rng = np.random.default_rng(seed)
    resampled = [
        float(np.mean([part[rng.integers(len(part), size=len(part))].mean() for part in gains]))
        for _ in range(500)
    ]
    low = float(np.quantile(resampled, 0.025))
    figures = (
        f"on {len(gains)} later date(s) Platt's map changed the log loss by {-gain:+.4f} "
        f"(at 95% by {-low:+.4f} or better)"
    )
    if gain <= 0.0:
        return _because(none, f"none: {figures}, no gain")
    if low <= 0.0:
        return _because(none, f"none: {figures}, which may be chance")
    worse = [date for (date, _, _), part in zip(held, gains, strict=False) if part.mean() <= 0.0]
    if worse:
        dates = ", ".join(f"{moment(date):%Y-%m-%d}" for date in sorted(worse))
        return _because(none, f"none: {figures}, but raised it on {dates}")
    latest, margin, is_churn = held[0]
    return Choice(
        _platt(margin, is_churn),
        frozenset({latest}),
        latest,
        f"Platt: {figures}, and lowered it on each",
        tuple(earlier),
    )


def _because(choice: Choice, evidence: str) -> Choice:
    return replace(choice, evidence=evidence)


def _one_sided(rows: Snapshots) -> bool:
    return bool(rows.is_churn.all() or not rows.is_churn.any())


def _platt(margin: Floats, is_churn: NDArray[np.bool_]) -> Calibration:
    model = LogisticRegression(C=np.inf).fit(margin[:, None], is_churn)
    return Calibration("platt", float(model.coef_[0, 0]), float(model.intercept_[0]))


def _losses(margin: Floats, is_churn: NDArray[np.bool_], calibration: Calibration) -> Floats:
    p = calibration.apply(margin)
    return -np.log(np.maximum(np.where(is_churn, p, 1.0 - p), 1e-15))
