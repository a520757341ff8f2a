"""From the margin (log-odds) to a calibrated probability."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from churn.bounds import is_sane
from churn.compiled import Floats, compiled
from churn.errors import BundleCorrupt

Method = Literal["none", "platt", "beta", "isotonic"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A rising map from margins to probabilities.

    "none", "platt" and "beta" are ``sigmoid(above * softplus(m) - below * softplus(-m) +
    intercept)``: the slope may differ above and below even odds. Without a map the slopes are 1,
    Platt's has one slope, the beta map two. "isotonic" joins the points (`margins`, `log_odds`) by
    straight lines, level beyond the ends. A season's shift is in the intercept or in `log_odds`.

    Raises
    ------
    BundleCorrupt
        The method is unknown, a number is none or the map falls.

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines"; Kull, Silva Filho, Flach
    (2017), "Beta calibration"; Zadrozny, Elkan (2002), "Transforming classifier scores into
    accurate multiclass probability estimates".
    """

    method: Method = "none"
    above: float = 1.0
    below: float = 1.0
    intercept: float = 0.0
    margins: tuple[float, ...] = ()
    log_odds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (
            self.method in get_args(Method)
            and isinstance(self.margins, tuple)
            and isinstance(self.log_odds, tuple)
            and all(
                map(
                    is_sane, (self.above, self.below, self.intercept, *self.margins, *self.log_odds)
                )
            )
            and min(self.above, self.below) >= 0.0
            and len(self.margins) == len(self.log_odds)
            and (len(self.margins) > 0) == (self.method == "isotonic")
            and (np.diff(self.margins) > 0).all()
            and (np.diff(self.log_odds) >= 0).all()
        ):
            raise BundleCorrupt("the model's calibration is damaged; publish the bundle again")

    def apply(self, margin: Floats) -> Floats:
        """Probability of churn in (0, 1) for margins of shape (n,)."""
        out = np.empty(len(margin), dtype=np.float64)
        if self.method == "isotonic":
            sigmoid(np.interp(margin, self.margins, self.log_odds), 1.0, 1.0, 0.0, out)
        else:
            sigmoid(margin, self.above, self.below, self.intercept, out)
        return out

    def shifted(self, by: float) -> "Calibration":
        """The same map with all log-odds higher by `by`."""
        if self.method == "isotonic":
            return replace(self, log_odds=tuple(number + by for number in self.log_odds))
        return replace(self, intercept=self.intercept + by)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `Calibration(**d)` restores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@compiled
def sigmoid(margin: Floats, above: float, below: float, intercept: float, out: Floats) -> None:
    """Write probabilities, by scalar `exp`: NumPy's vector form may differ in the last bit."""
    for row in range(len(margin)):
        m = margin[row]
        if above == below:
            z = above * m + intercept
        else:
            tail = math.log1p(math.exp(-abs(m)))
            z = above * (max(m, 0.0) + tail) - below * (max(-m, 0.0) + tail) + intercept
        if z >= 0.0:
            out[row] = 1.0 / (1.0 + math.exp(-z))
        else:
            e = math.exp(z)
            out[row] = e / (1.0 + e)
