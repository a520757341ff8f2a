"""Fit the maps from margin to probability that compete in `training.calibrate`."""

from collections.abc import Callable

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from churn.calibration import Calibration
from churn.compiled import Booleans, Floats

Fit = Callable[[Floats, Booleans], Calibration]


def none(margin: Floats, is_churn: Booleans) -> Calibration:
    """No map: the booster's own probability."""
    return Calibration()


def platt(margin: Floats, is_churn: Booleans) -> Calibration:
    """One slope and an intercept, by maximum likelihood."""
    model = LogisticRegression(C=np.inf).fit(margin[:, None], is_churn)
    slope = max(float(model.coef_[0, 0]), 0.0)
    return Calibration("platt", slope, slope, float(model.intercept_[0]))


def beta(margin: Floats, is_churn: Booleans) -> Calibration:
    """A slope above even odds, another below, and an intercept; Platt's where one would fall."""
    sides = np.column_stack([np.logaddexp(0.0, margin), -np.logaddexp(0.0, -margin)])
    model = LogisticRegression(C=np.inf).fit(sides, is_churn)
    above, below = (float(slope) for slope in model.coef_[0])
    if min(above, below) <= 0.0:
        return platt(margin, is_churn)
    return Calibration("beta", above, below, float(model.intercept_[0]))


def isotonic(margin: Floats, is_churn: Booleans) -> Calibration:
    """Any rising map: blocks of equal rate, joined at their mean margins."""
    rate = IsotonicRegression().fit_transform(margin, is_churn.astype(np.float64))
    order = np.argsort(margin, kind="stable")
    starts = np.flatnonzero(np.diff(rate[order], prepend=-1.0) > 0.0)
    sizes = np.diff(np.append(starts, len(order)))
    margins = np.add.reduceat(margin[order], starts) / sizes
    # Half a customer on either side: no block of a few is ever certain.
    rates = (np.add.reduceat(is_churn[order].astype(np.float64), starts) + 0.5) / (sizes + 1.0)
    kept = np.append(np.diff(margins) > 0.0, True)
    log_odds = np.maximum.accumulate(np.log(rates / (1.0 - rates)))
    return Calibration(
        "isotonic", margins=tuple(margins[kept].tolist()), log_odds=tuple(log_odds[kept].tolist())
    )


# Simplest first: a richer map has to beat the simpler one, not only no map at all.
MAPS: dict[str, Fit] = {"none": none, "platt": platt, "beta": beta, "isotonic": isotonic}
