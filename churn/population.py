"""What only the population can tell: the second transform, applied after the loop.

Fitted in training on the eligible customers at the training date (their features, no label),
stored in the bundle, applied row by row. It adds two kinds of columns, each in the reason family
of the feature it comes from:

- the customer's rhythm shrunk towards the population's, so that one or two own gaps already say
  something but not too much;
- each column's percentile rank among the eligible customers.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.compiled import compiled
from churn.features import FEATURES, POSITION, Family

RHYTHM_NAMES = (
    "shrunk_log_gap",
    "shrunk_gap_days",
    "silence_over_shrunk_gap",
    "rhythm_z",
    "rhythm_z_horizon",
    "gap_survival",
    "gap_survival_horizon",
)
_GRID = 200  # quantiles kept per column: ranks are exact to half a percent
_RECENT_GAPS = tuple(POSITION[f"gap_{k}_days"] for k in (1, 2, 3, 4))


@dataclass(frozen=True, slots=True)
class Population:
    """The fitted transform.

    Attributes
    ----------
    gaps : ndarray of float64, shape (n_gaps,)
        A sorted sample of the population's gaps between purchase days.
    quantiles : ndarray of float64, shape (n_loop + n_rhythm, _GRID)
        Ascending reference values of each column; NaN throughout where a column is never known.
    horizon_days : float
        Length of the outcome window.
    """

    gaps: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    horizon_days: float

    @classmethod
    def fit(cls, X: NDArray[np.float64], horizon_days: float) -> "Population":
        """Fit on the loop features of the eligible customers at one instant.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_loop)
            Columns as in `churn.features.FEATURES`.
        horizon_days : float
            Length of the outcome window.
        """
        gaps = X[:, _RECENT_GAPS].ravel()
        gaps = np.sort(gaps[~np.isnan(gaps)])
        if len(gaps) > 2000:
            gaps = gaps[np.linspace(0, len(gaps) - 1, 2000).round().astype(np.int64)]
        if len(gaps) == 0:
            gaps = np.array([horizon_days], dtype=np.float64)  # nobody came back yet
        unranked = cls(gaps, np.empty((0, _GRID)), float(horizon_days))
        with_rhythm = np.hstack([X, unranked.rhythm(X)])
        quantiles = np.full((with_rhythm.shape[1], _GRID), np.nan)
        for column in range(with_rhythm.shape[1]):
            known = np.sort(with_rhythm[:, column][~np.isnan(with_rhythm[:, column])])
            if len(known):
                at = np.linspace(0, len(known) - 1, _GRID).round().astype(np.int64)
                quantiles[column] = known[at]
        return cls(gaps, quantiles, float(horizon_days))

    def rhythm(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The customer's rhythm, shrunk; shape (n, len(RHYTHM_NAMES)), NaN without a purchase."""
        out = np.empty((len(X), len(RHYTHM_NAMES)), dtype=np.float64)
        logs = np.log(self.gaps)
        _rhythm(
            X, self.gaps, float(logs.mean()), max(float(logs.std()), 0.1),
            float(self.gaps.mean()), self.horizon_days, *_RHYTHM_INPUTS, out,
        )  # fmt: skip
        return out

    def transform(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Append the rhythm and the ranks.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_loop)
            Loop features; NaN is missing, and its rank is missing too.

        Returns
        -------
        ndarray of float64, shape (n, 2 * (n_loop + n_rhythm))
            Columns as in `MODEL_COLUMNS`.
        """
        known = np.hstack([X, self.rhythm(X)])
        out = np.empty((len(X), 2 * known.shape[1]), dtype=np.float64)
        out[:, : known.shape[1]] = known
        _rank(known, self.quantiles, out[:, known.shape[1] :])
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `Population(**d)` restores them."""
        return {
            "gaps": self.gaps,
            "quantiles": self.quantiles,
            "horizon_days": self.horizon_days,
        }


_UNRANKED = (*(feature.name for feature in FEATURES), *RHYTHM_NAMES)
MODEL_COLUMNS: tuple[str, ...] = (*_UNRANKED, *(f"{name}_rank" for name in _UNRANKED))
_UNRANKED_FAMILIES = (
    *(feature.family for feature in FEATURES),
    *(Family.SILENCE,) * len(RHYTHM_NAMES),
)
MODEL_FAMILIES: tuple[Family, ...] = _UNRANKED_FAMILIES * 2
_RHYTHM_INPUTS = tuple(
    POSITION[name]
    for name in (
        "days_since_last_purchase",
        "purchase_days_total",
        "average_gap_days",
        "mean_log_gap",
        "deviation_log_gap",
        "share_of_gaps_over_silence",
        "share_of_gaps_over_horizon",
    )
)


@compiled
def _survival(gaps, days):
    """Share of the sorted `gaps` that are longer than `days`."""
    low = 0
    high = len(gaps)
    while low < high:
        middle = (low + high) // 2
        if gaps[middle] > days:
            high = middle
        else:
            low = middle + 1
    return (len(gaps) - low) / len(gaps)


@compiled
def _rhythm(
    X, gaps, log_mean, log_deviation, mean, horizon,
    at_silence, at_days, at_mean, at_log_mean, at_log_deviation, at_over_silence, at_over_horizon,
    out,
):  # fmt: skip
    """Shrink with the weight of two population gaps (three for the spread)."""
    for row in range(len(X)):
        silence = X[row, at_silence]
        days = X[row, at_days]
        if silence != silence or days != days:
            for column in range(out.shape[1]):
                out[row, column] = math.nan
            continue
        # A caller may send features that no log could give: never out of the logarithm's domain.
        silence = max(silence, 0.0)
        n = max(days - 1.0, 0.0)
        total = 0.0
        log_total = 0.0
        log_squares = 0.0
        over_silence = 0.0
        over_horizon = 0.0
        if X[row, at_mean] == X[row, at_mean] and X[row, at_log_mean] == X[row, at_log_mean]:
            total = X[row, at_mean] * n
            log_total = X[row, at_log_mean] * n
            if X[row, at_log_deviation] == X[row, at_log_deviation]:
                log_squares = X[row, at_log_deviation] * X[row, at_log_deviation] * n
            if X[row, at_over_silence] == X[row, at_over_silence]:
                over_silence = X[row, at_over_silence] * n
            if X[row, at_over_horizon] == X[row, at_over_horizon]:
                over_horizon = X[row, at_over_horizon] * n
        else:
            n = 0.0
        shrunk_log_gap = (log_total + 2.0 * log_mean) / (n + 2.0)
        off = 0.0
        if n > 0.0:
            off = log_total / n - shrunk_log_gap
        variance = (log_squares + n * off * off + 3.0 * log_deviation * log_deviation) / (n + 3.0)
        deviation = math.sqrt(variance)
        shrunk_gap = (total + 2.0 * mean) / (n + 2.0)
        survival = _survival(gaps, silence)
        survival_horizon = _survival(gaps, silence + horizon)
        out[row, 0] = shrunk_log_gap
        out[row, 1] = shrunk_gap
        out[row, 2] = silence / shrunk_gap
        out[row, 3] = (math.log(silence + 0.5) - shrunk_log_gap) / deviation
        out[row, 4] = (math.log(silence + horizon) - shrunk_log_gap) / deviation
        out[row, 5] = (over_silence + 2.0 * survival + 0.02) / (n + 2.0)
        out[row, 6] = (over_horizon + 2.0 * survival_horizon + 0.25) / (
            over_silence + 2.0 * survival + 0.5
        )


@compiled
def _rank(X, quantiles, out):
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
