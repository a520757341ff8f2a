"""A customer's rhythm of buying, shrunk towards the population's.

One or two own gaps already say something, but not too much: the population counts as two more gaps
(three for their spread), the more own gaps the less that weighs.
"""

import math
from dataclasses import dataclass

import numpy as np

from churn.compiled import Floats, compiled
from churn.features import POSITION

RHYTHM_NAMES = (
    "shrunk_log_gap",
    "shrunk_gap_days",
    "silence_over_shrunk_gap",
    "rhythm_z",
    "rhythm_z_horizon",
    "gap_survival",
    "gap_survival_horizon",
)
INPUTS = tuple(
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
_LEAST_DEVIATION = 0.1  # of the log gaps: a population that buys like clockwork divides by it


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The population's gaps, and what is the same for every customer.

    Attributes
    ----------
    gaps : ndarray of float64, shape (n_gaps,)
        Sorted gaps between purchase days, in days, above 0.
    log_mean, log_deviation, mean : float
        Of the gaps' logarithms, and of the gaps.
    horizon_days : float
        Length of the outcome window.
    """

    gaps: Floats
    log_mean: float
    log_deviation: float
    mean: float
    horizon_days: float

    @classmethod
    def of(cls, gaps: Floats, horizon_days: float) -> "Rhythm":
        """The rhythm of a population with these gaps."""
        logs = np.log(gaps)
        deviation = max(float(logs.std()), _LEAST_DEVIATION)
        return cls(gaps, float(logs.mean()), deviation, float(gaps.mean()), horizon_days)

    @property
    def constants(self) -> tuple[float, float, float, float]:
        """What `shrink` takes after the gaps."""
        return self.log_mean, self.log_deviation, self.mean, self.horizon_days

    def columns(self, X: Floats) -> Floats:
        """The columns of `RHYTHM_NAMES` for loop features (n, n_loop); NaN without a purchase."""
        out = np.empty((len(X), len(RHYTHM_NAMES)), dtype=np.float64)
        self.write(X, out)
        return out

    def write(self, X: Floats, out: Floats) -> None:
        """Write what `columns` gives into `out`, shape (n, n_rhythm)."""
        shrink(X, self.gaps, *self.constants, out, *INPUTS)


@compiled
def _survival(gaps: Floats, days: float) -> float:
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
def shrink(
    X: Floats, gaps: Floats, log_mean: float, log_deviation: float, mean: float, horizon: float,
    out: Floats, at_silence: int, at_days: int, at_mean: int, at_log_mean: int,
    at_log_deviation: int, at_over_silence: int, at_over_horizon: int,
) -> None:  # fmt: skip
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
            total = max(X[row, at_mean], 0.0) * n
            log_total = X[row, at_log_mean] * n
            if X[row, at_log_deviation] == X[row, at_log_deviation]:
                log_squares = X[row, at_log_deviation] * X[row, at_log_deviation] * n
            if X[row, at_over_silence] == X[row, at_over_silence]:
                over_silence = max(X[row, at_over_silence], 0.0) * n
            if X[row, at_over_horizon] == X[row, at_over_horizon]:
                over_horizon = max(X[row, at_over_horizon], 0.0) * n
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
