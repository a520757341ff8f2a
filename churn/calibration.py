"""From the margin (log-odds) to a calibrated probability."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from churn.compiled import Floats, compiled
from churn.errors import BundleCorrupt

Method = Literal["none", "platt"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``sigmoid(slope * margin + intercept)``; the method "none" has slope 1 and intercept 0.

    Raises
    ------
    BundleCorrupt
        The method is unknown or a number is not finite.

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines".
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0

    def __post_init__(self) -> None:
        numbers = (self.slope, self.intercept)
        if self.method not in get_args(Method) or not all(
            isinstance(number, float) and math.isfinite(number) for number in numbers
        ):
            raise BundleCorrupt("the model's calibration is damaged; publish the bundle again")

    def apply(self, margin: Floats) -> Floats:
        """Probability of churn in (0, 1) for margins of shape (n,)."""
        out = np.empty(len(margin), dtype=np.float64)
        _sigmoid(margin, self.slope, self.intercept, out)
        return out


@compiled
def _sigmoid(margin: Floats, slope: float, intercept: float, out: Floats) -> None:
    """Run scalar `exp`: NumPy's vector form may differ from it in the last bit."""
    for row in range(len(margin)):
        z = slope * margin[row] + intercept
        if z >= 0.0:
            out[row] = 1.0 / (1.0 + math.exp(-z))
        else:
            e = math.exp(z)
            out[row] = e / (1.0 + e)
