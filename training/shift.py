"""By how much the odds of a whole group were off."""

import numpy as np
from scipy.optimize import brentq

from churn.compiled import Booleans, Floats

MOST_SHIFT = 5.0  # in log-odds; nobody's


def shift(probability: Floats, is_churn: Booleans) -> float:
    """By how much the log-odds of all were off: realised minus predicted, on average."""
    log_odds = np.log(probability / (1.0 - probability))

    def excess(by: float) -> float:
        return float((1.0 / (1.0 + np.exp(-log_odds - by))).mean() - is_churn.mean())

    if excess(-MOST_SHIFT) > 0.0 or excess(MOST_SHIFT) < 0.0:
        return float(np.sign(is_churn.mean() - probability.mean())) * MOST_SHIFT
    return float(brentq(excess, -MOST_SHIFT, MOST_SHIFT))
