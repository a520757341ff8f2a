"""How far a probability may be off: an interval from what earlier dates taught.

What a model of the past cannot know is how the next months differ: a shift of everybody's odds. On
each earlier date one can see by how much the odds were off, for one-time buyers and for others.
The interval reaches as far as such a shift is likely to, judging by those.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.bounds import is_sane
from churn.compiled import Booleans, Floats, compiled
from churn.errors import BundleCorrupt


@dataclass(frozen=True, slots=True)
class Reliability:
    """Half widths of the 95% interval, in log-odds; None where too few dates could tell.

    Attributes
    ----------
    one_time, repeat : float or None
        For customers who bought on one day only, and for the others.

    Raises
    ------
    BundleCorrupt
        A width is negative or not finite.
    """

    one_time: float | None = None
    repeat: float | None = None

    def __post_init__(self) -> None:
        for width in (self.one_time, self.repeat):
            if width is not None and not (is_sane(width) and width >= 0.0):
                raise BundleCorrupt("the model's reliability is damaged; publish the bundle again")

    def interval(self, probability: Floats, is_one_time: Booleans) -> Floats:
        """Lower and upper end, shape (n, 2), in [0, 1]; NaN where nothing is known."""
        one_time, repeat = (
            math.nan if width is None else width for width in (self.one_time, self.repeat)
        )
        out = np.empty((len(probability), 2), dtype=np.float64)
        write_interval(probability, is_one_time, one_time, repeat, out)
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `Reliability(**d)` restores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@compiled
def write_interval(
    probability: Floats, is_one_time: Booleans, one_time: float, repeat: float, out: Floats
) -> None:
    """Write what `Reliability.interval` gives."""
    for row in range(len(probability)):
        p = probability[row]
        width = one_time if is_one_time[row] else repeat
        if width > 700.0:  # as far as an exponential goes
            width = 700.0
        # p / (p + (1 - p) exp(w)) is the probability whose odds are those of p times exp(-w).
        out[row, 0] = p / (p + (1.0 - p) * math.exp(width))
        out[row, 1] = p / (p + (1.0 - p) * math.exp(-width))
