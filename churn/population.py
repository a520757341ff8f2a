"""What only the population can tell: the second transform, applied after the loop.

Fitted in training on the eligible customers at the training date (their features, no label),
stored in the bundle, applied row by row. It adds two kinds of columns, each in the reason family
of the feature it comes from:

- the customer's rhythm shrunk towards the population's, so that one or two own gaps already say
  something but not too much;
- each column's percentile rank among the eligible customers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churn.bounds import MOST_DAYS, are_sane, is_sane
from churn.compiled import Floats, Integers, compiled
from churn.errors import BundleCorrupt
from churn.features import FEATURES, POSITION, Family
from churn.rhythm import RHYTHM_NAMES, Rhythm

_GRID = 200  # quantiles kept per column: ranks are exact to half a percent
_RECENT_GAPS = tuple(POSITION[f"gap_{k}_days"] for k in (1, 2, 3, 4))


@dataclass(frozen=True, slots=True)
class Population:
    """The fitted transform.

    Attributes
    ----------
    gaps : ndarray of float64, shape (n_gaps,)
        A sorted sample of the population's gaps between purchase days.
    quantiles : ndarray of float64, shape (n_loop + n_rhythm + n_ranked, _GRID)
        Ascending reference values of each column; NaN throughout where a column is never known.
    horizon_days : float
        Length of the outcome window.
    ranked : ndarray of int64, shape (n_ranked,)
        Where the columns of the user's own lie that are ranked as well, beyond the loop's.

    Raises
    ------
    BundleCorrupt
        Arrays of other types or shapes, or a gap that is none.
    """

    gaps: Floats
    quantiles: Floats
    horizon_days: float
    ranked: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rhythm: Rhythm = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (
            _is_table(self.gaps, 1)
            and len(self.gaps) > 0
            and are_sane(self.gaps)
            and (self.gaps > 0).all()
            and _is_table(self.quantiles, 2)
            and isinstance(self.ranked, np.ndarray)
            and self.ranked.dtype == np.int64
            and len(self.quantiles) == len(UNRANKED) + len(self.ranked)
            and self.quantiles.shape[1] > 0
            and is_sane(self.horizon_days)
            and 0 < self.horizon_days <= MOST_DAYS
        ):
            raise BundleCorrupt("the model's population is damaged; publish the bundle again")
        object.__setattr__(self, "rhythm", Rhythm.of(self.gaps, self.horizon_days))

    @classmethod
    def fit(cls, X: Floats, horizon_days: float, ranked: Sequence[int] = ()) -> "Population":
        """Fit on the features of the eligible customers at one instant.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_loop + n_extras)
            Columns as in `churn.features.FEATURES`, then the user's own.
        horizon_days : float
            Length of the outcome window.
        ranked : sequence of int
            Which of the latter are ranked: positions in X.
        """
        gaps = X[:, _RECENT_GAPS].ravel()
        gaps = np.sort(gaps[~np.isnan(gaps)])
        if len(gaps) > 2000:
            gaps = gaps[np.linspace(0, len(gaps) - 1, 2000).round().astype(np.int64)]
        if len(gaps) == 0:
            gaps = np.array([horizon_days], dtype=np.float64)  # nobody came back yet
        rhythm = Rhythm.of(gaps, float(horizon_days)).columns(X)
        own = np.array(ranked, dtype=np.int64)
        every = np.hstack([X[:, :N_LOOP], rhythm, X[:, own]])
        quantiles = np.full((every.shape[1], _GRID), np.nan)
        for column in range(every.shape[1]):
            known = np.sort(every[:, column][~np.isnan(every[:, column])])
            if len(known):
                at = np.linspace(0, len(known) - 1, _GRID).round().astype(np.int64)
                quantiles[column] = known[at]
        return cls(gaps, quantiles, float(horizon_days), own)

    def transform(self, X: Floats) -> Floats:
        """Append the rhythm and the ranks.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_loop + n_extras)
            Loop features, then columns of the user's own; NaN is missing, and its rank too.

        Returns
        -------
        ndarray of float64, shape (n, 2 * (n_loop + n_rhythm) + n_extras + n_ranked)
            Columns as in `MODEL_COLUMNS`, then the user's own and the ranks of some of them.
        """
        n_extras = X.shape[1] - N_LOOP
        n, end = len(UNRANKED), 2 * len(UNRANKED)
        out = np.empty((len(X), end + n_extras + len(self.ranked)), dtype=np.float64)
        out[:, :N_LOOP] = X if n_extras == 0 else X[:, :N_LOOP]
        self.rhythm.write(X, out[:, N_LOOP:n])
        rank(out[:, :n], self.quantiles[:n], out[:, n:end])
        if n_extras:
            out[:, end : end + n_extras] = X[:, N_LOOP:]
            own = np.take(X, self.ranked, axis=1)
            rank(own, self.quantiles[n:], out[:, end + n_extras :])
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `Population(**d)` restores them."""
        return {
            "gaps": self.gaps,
            "quantiles": self.quantiles,
            "horizon_days": self.horizon_days,
            "ranked": self.ranked,
        }


N_LOOP = len(FEATURES)
UNRANKED = (*(feature.name for feature in FEATURES), *RHYTHM_NAMES)
MODEL_COLUMNS: tuple[str, ...] = (*UNRANKED, *(f"{name}_rank" for name in UNRANKED))
_UNRANKED_FAMILIES = (
    *(feature.family for feature in FEATURES),
    *(Family.SILENCE,) * len(RHYTHM_NAMES),
)
MODEL_FAMILIES: tuple[Family, ...] = _UNRANKED_FAMILIES * 2


def _is_table(array: object, dimensions: int) -> bool:
    return isinstance(array, np.ndarray) and array.dtype == np.float64 and array.ndim == dimensions


@compiled
def rank(X: Floats, quantiles: Floats, out: Floats) -> None:
    """Middle rank of each value among the column's reference values, in [0, 1]."""
    size = quantiles.shape[1]
    for row in range(X.shape[0]):
        for column in range(X.shape[1]):
            number = X[row, column]
            if number != number or quantiles[column, 0] != quantiles[column, 0]:
                out[row, column] = math.nan
                continue
            low = 0
            high = size
            while low < high:
                middle = (low + high) // 2
                if quantiles[column, middle] < number:
                    low = middle + 1
                else:
                    high = middle
            below = low
            high = size
            while low < high:
                middle = (low + high) // 2
                if quantiles[column, middle] <= number:
                    low = middle + 1
                else:
                    high = middle
            out[row, column] = (below + low) / (2.0 * size)
