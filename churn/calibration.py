"""From the margin (log-odds) to a calibrated probability."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from churn.compiled import compiled

Method = Literal["none", "platt"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """``sigmoid(slope * margin + intercept)``; the method "none" has slope 1 and intercept 0.

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines".
    """

    method: Method = "none"
    slope: float = 1.0
    intercept: float = 0.0

    def apply(self, margin: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of churn in (0, 1) for margins of shape (n,)."""
        out = np.empty(len(margin), dtype=np.float64)
        _sigmoid(margin, self.slope, self.intercept, out)
        return out


@compiled
def _sigmoid(margin, slope, intercept, out):
    """Run scalar `exp`: NumPy's vector form may differ from it in the last bit."""
    for row in range(len(margin)):
        z = slope * margin[row] + intercept
        if z >= 0.0:
            out[row] = 1.0 / (1.0 + math.exp(-z))
        else:
            e = math.exp(z)
            out[row] = e / (1.0 + e)
