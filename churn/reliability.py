"""How far a probability may be off: an interval from what earlier dates taught.

What a model of the past cannot know is how the next months differ: a shift of everybody's odds. On
each earlier date one can see by how much the odds were off, for one-time buyers and for others.
The interval reaches as far as such a shift is likely to, judging by those.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from churn.compiled import Booleans, Floats
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
            if width is not None and not (
                isinstance(width, float) and math.isfinite(width) and width >= 0.0
            ):
                raise BundleCorrupt("the model's reliability is damaged; publish the bundle again")

    def interval(self, probability: Floats, is_one_time: Booleans) -> Floats:
        """Lower and upper end, shape (n, 2), in [0, 1]; NaN where nothing is known."""
        unknown = [math.nan if width is None else width for width in (self.one_time, self.repeat)]
        width = np.where(is_one_time, *unknown)
        # p / (p + (1 - p) exp(w)) is the probability whose odds are those of p times exp(-w).
        low = probability / (probability + (1.0 - probability) * np.exp(width))
        high = probability / (probability + (1.0 - probability) * np.exp(-width))
        return np.column_stack([low, high])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `Reliability(**d)` restores them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
