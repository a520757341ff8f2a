"""Fit the risk curve: how the outcome at other horizons follows from the margin.

One booster knows one horizon. Customers seen long enough tell, for its margin, how many of those
silent at one point stay silent until the next: a logistic regression a point, on that number and
its square.
"""

from itertools import pairwise

import numpy as np
from sklearn.linear_model import LogisticRegression

from churn.compiled import Booleans, Floats
from churn.curve import SHOWN_DAYS, RiskCurve

EARLY_DAYS = (7, 14)  # for the date of the next purchase: most who come back come back early
MIN_ROWS = 500
MIN_OF_EACH = 50
LEVEL_BEYOND = (0.005, 0.995)  # quantiles of the margin: a parabola is not to be extended


def wanted_days(horizon_days: int) -> list[int]:
    """Points of the curve, in days, ascending."""
    return sorted({*EARLY_DAYS, *SHOWN_DAYS, horizon_days})


def fit_curve(
    margin: Floats, next_purchase_days: Floats, observed_days: Floats, horizon_days: int
) -> RiskCurve:
    """Fit the shares between neighbouring points.

    Parameters
    ----------
    margin : ndarray of float64, shape (n,)
        Log-odds before calibration.
    next_purchase_days : ndarray of float64, shape (n,)
        Days from the end of the lead time to the next purchase, infinite where none is known of.
    observed_days : ndarray of float64, shape (n,)
        For how many days after the lead time the log tells of purchases.
    horizon_days : int
        Horizon of the margin.

    Returns
    -------
    RiskCurve
        Without the points that too few rows were observed for.
    """
    wanted = wanted_days(horizon_days)
    at_horizon = wanted.index(horizon_days)
    low, high = (float(q) for q in np.quantile(margin, LEVEL_BEYOND))
    margin = np.clip(margin, low, high)
    steps: dict[int, tuple[float, float, float]] = {horizon_days: (0.0, 0.0, 0.0)}
    for nearer, day in pairwise(wanted[at_horizon:]):
        silent = (observed_days >= day) & (next_purchase_days >= nearer)
        step = _share(margin[silent], next_purchase_days[silent] >= day)
        if step is None:
            break
        steps[day] = step
    for nearer, day in pairwise(wanted[at_horizon::-1]):
        bought = (observed_days >= nearer) & (next_purchase_days < nearer)
        step = _share(margin[bought], next_purchase_days[bought] < day)
        if step is None:
            break
        steps[day] = step
    days = sorted(steps)
    curvature, slope, intercept = np.array([steps[day] for day in days], dtype=np.float64).T.copy()
    return RiskCurve(
        np.array(days, dtype=np.int64),
        days.index(horizon_days),
        curvature,
        slope,
        intercept,
        low,
        high,
    )


def _share(margin: Floats, holds: Booleans) -> tuple[float, float, float] | None:
    """Curvature, slope and intercept of the log-odds of `holds`, None where too few rows tell."""
    of_each = min(int(holds.sum()), int((~holds).sum()))
    if len(holds) < MIN_ROWS or of_each < MIN_OF_EACH:
        return None
    model = LogisticRegression().fit(np.column_stack([margin * margin, margin]), holds)
    curvature, slope = (float(number) for number in model.coef_[0])
    return curvature, slope, float(model.intercept_[0])
