"""Fit the maps from margin to probability that compete in `training.calibrate`.

Each is given the margins and the outcomes of several dates, a list of arrays each.
"""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from churn.calibration import Calibration
from churn.compiled import Booleans, Floats
from training.shift import shift

Fit = Callable[[Sequence[Floats], Sequence[Booleans]], Calibration]


def none(margins: Sequence[Floats], is_churn: Sequence[Booleans]) -> Calibration:
    """No map: the booster's own probability."""
    return Calibration()


def slope(margins: Sequence[Floats], is_churn: Sequence[Booleans]) -> Calibration:
    """Platt's map after each date's own shift of the odds is taken out.

    It spreads the probabilities or draws them together, and leaves the base rate to the booster: a
    date's rate is its own, while too few trees are too few on every date.
    """
    level = [
        margin + shift(Calibration().apply(margin), churned)
        for margin, churned in zip(margins, is_churn, strict=True)
    ]
    return platt(level, is_churn)


def platt(margins: Sequence[Floats], is_churn: Sequence[Booleans]) -> Calibration:
    """One slope and an intercept, by maximum likelihood."""
    return _platt(np.concatenate(margins), np.concatenate(is_churn))


def _platt(margin: Floats, is_churn: Booleans) -> Calibration:
    model = LogisticRegression(C=np.inf).fit(margin[:, None], is_churn)
    slope = max(float(model.coef_[0, 0]), 0.0)
    return Calibration("platt", slope, slope, float(model.intercept_[0]))


def beta(margins: Sequence[Floats], is_churn: Sequence[Booleans]) -> Calibration:
    """A slope above even odds, another below, and an intercept; Platt's where one would fall."""
    margin, churned = np.concatenate(margins), np.concatenate(is_churn)
    sides = np.column_stack([np.logaddexp(0.0, margin), -np.logaddexp(0.0, -margin)])
    model = LogisticRegression(C=np.inf).fit(sides, churned)
    above, below = (float(slope) for slope in model.coef_[0])
    if min(above, below) <= 0.0:
        return _platt(margin, churned)
    return Calibration("beta", above, below, float(model.intercept_[0]))


def isotonic(margins: Sequence[Floats], is_churn: Sequence[Booleans]) -> Calibration:
    """Any rising map: blocks of equal rate, joined at their mean margins."""
    margin, churned = np.concatenate(margins), np.concatenate(is_churn).astype(np.float64)
    rate = IsotonicRegression().fit_transform(margin, churned)
    order = np.argsort(margin, kind="stable")
    starts = np.flatnonzero(np.diff(rate[order], prepend=-1.0) > 0.0)
    sizes = np.diff(np.append(starts, len(order)))
    centres = np.add.reduceat(margin[order], starts) / sizes
    # Half a customer on either side: no block of a few is ever certain.
    rates = (np.add.reduceat(churned[order], starts) + 0.5) / (sizes + 1.0)
    kept = np.append(np.diff(centres) > 0.0, True)
    log_odds = np.maximum.accumulate(np.log(rates / (1.0 - rates)))
    return Calibration(
        "isotonic", margins=tuple(centres[kept].tolist()), log_odds=tuple(log_odds[kept].tolist())
    )


# Simplest first: a richer map has to beat the simpler one, not only no map at all.
MAPS: dict[str, Fit] = {
    "none": none,
    "slope": slope,
    "platt": platt,
    "beta": beta,
    "isotonic": isotonic,
}
