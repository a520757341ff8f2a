"""Risk over time: from one margin and its calibrated probability to a whole curve.

The curve is the probability of no purchase within so many days. At the horizon it is the
calibrated probability itself, so knowing the curve costs nothing there. Every further point is a
share of its neighbour: later on, of those silent so far some stay silent; earlier on, of those who
come back some come later. A share lies between 0 and 1, so the curve never rises.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.bounds import MOST_DAYS, are_sane, is_sane
from churn.compiled import Floats, Integers, compiled
from churn.errors import BundleCorrupt

SHOWN_DAYS = (30, 60, 90)


@dataclass(frozen=True, slots=True)
class RiskCurve:
    """The shares between neighbouring points, each a logistic function of the margin.

    Its log-odds are a parabola in the margin, level beyond the margins that it was learnt from.

    Attributes
    ----------
    days : ndarray of int64, shape (k,)
        Days after the lead time, ascending; the horizon is among them.
    horizon : int
        Its position in `days`.
    curvature, slope, intercept : ndarray of float64, shape (k,)
        Of the log-odds of the share. After the horizon: of those silent until the point before,
        the share that stays silent until this one. Before it: of those who buy by the point
        after, the share that buys by this one. Zero at the horizon.
    low, high : float
        Margins below and above count as these.

    Raises
    ------
    BundleCorrupt
        Arrays of other types or shapes.
    """

    days: Integers
    horizon: int
    curvature: Floats
    slope: Floats
    intercept: Floats
    low: float
    high: float

    def __post_init__(self) -> None:
        columns = (self.days, self.curvature, self.slope, self.intercept)
        if not (
            all(isinstance(c, np.ndarray) and c.ndim == 1 for c in columns)
            and self.days.dtype == np.int64
            and all(c.dtype == np.float64 and are_sane(c) for c in columns[1:])
            and len({len(c) for c in columns}) == 1
            and isinstance(self.horizon, int)
            and 0 <= self.horizon < len(self.days)
            and 0 < self.days[0] <= self.days[-1] <= MOST_DAYS
            and (np.diff(self.days) > 0).all()
            and is_sane(self.low)
            and is_sane(self.high)
            and self.low <= self.high
        ):
            raise BundleCorrupt("the model's risk curve is damaged; publish the bundle again")

    @classmethod
    def flat(cls, horizon_days: int) -> "RiskCurve":
        """The curve of a model that knows one horizon only."""
        zero = np.zeros(1)
        return cls(np.array([horizon_days], dtype=np.int64), 0, zero, zero, zero, 0.0, 0.0)

    @property
    def shown(self) -> Integers:
        """Positions of the points that a score shows: 30, 60, 90 days and the horizon."""
        return np.array(
            [
                at
                for at, days in enumerate(self.days.tolist())
                if days in SHOWN_DAYS or at == self.horizon
            ],
            dtype=np.int64,
        )

    def probabilities(self, margin: Floats, probability: Floats) -> Floats:
        """Probability of no purchase within each of `days`.

        Parameters
        ----------
        margin : ndarray of float64, shape (n,)
            Log-odds before calibration.
        probability : ndarray of float64, shape (n,)
            Calibrated probability of no purchase within the horizon.

        Returns
        -------
        ndarray of float64, shape (n, k)
            In [0, 1], never rising along a row; the horizon's column is `probability`.
        """
        out = np.empty((len(margin), len(self.days)), dtype=np.float64)
        write_curve(
            margin, self.low, self.high, probability, self.horizon,
            self.curvature, self.slope, self.intercept, out,
        )  # fmt: skip
        return out

    def days_until(self, curve: Floats, *silent: float) -> Floats:
        """Days until the probability of no purchase has fallen to each of `silent`.

        Between two points the intensity of buying is taken as constant.

        Parameters
        ----------
        curve : ndarray of float64, shape (n, k)
            As `probabilities` gives it.
        *silent : float
            In (0, 1): .5 gives the median of the days to the next purchase.

        Returns
        -------
        ndarray of float64, shape (n, number of `silent`)
            NaN where the curve ends above `silent`.
        """
        out = np.empty((len(curve), len(silent)), dtype=np.float64)
        write_days_until(curve, self.days, np.array(silent), out)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `RiskCurve(**d)` restores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@compiled
def _share(z: float) -> float:
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


@compiled
def write_curve(
    margin: Floats, low: float, high: float, probability: Floats, horizon: int, curvature: Floats,
    slope: Floats, intercept: Floats, out: Floats,
) -> None:  # fmt: skip
    """Write what `RiskCurve.probabilities` gives."""
    for row in range(len(margin)):
        m = margin[row]
        if m < low:
            m = low
        elif m > high:
            m = high
        silent = probability[row]
        out[row, horizon] = silent
        for at in range(horizon + 1, out.shape[1]):
            silent *= _share((curvature[at] * m + slope[at]) * m + intercept[at])
            out[row, at] = silent
        bought = 1.0 - probability[row]
        for at in range(horizon - 1, -1, -1):
            bought *= _share((curvature[at] * m + slope[at]) * m + intercept[at])
            # Rounding of 1 - (1 - p) must not let the curve rise by a last bit.
            out[row, at] = max(1.0 - bought, out[row, at + 1])


@compiled
def write_days_until(curve: Floats, days: Integers, silent: Floats, out: Floats) -> None:
    """Write what `RiskCurve.days_until` gives."""
    for row in range(len(curve)):
        for which in range(len(silent)):
            out[row, which] = math.nan
            before = 0.0
            p_before = 1.0
            for at in range(curve.shape[1]):
                p = curve[row, at]
                if p <= silent[which]:
                    if p <= 0.0:  # certain to have bought: the time within the step is not known
                        out[row, which] = float(days[at])
                    else:
                        part = math.log(p_before / silent[which]) / math.log(p_before / p)
                        out[row, which] = before + (days[at] - before) * part
                    break
                before = float(days[at])
                p_before = p
