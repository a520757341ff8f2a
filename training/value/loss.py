"""Fit the limits of the loss rules on the eligible customers."""

import math

import numpy as np

from churn.compiled import Floats
from churn.features import POSITION
from churn.loss import LossRules

HIGH_CHEQUE_SHARE = 0.2
"""Share of customers whose average cheque counts as high."""
ACTIVE_SHARE = 1.0 / 3.0
"""Share of repeat buyers who count as active."""
LATE_SHARE = 0.5
"""Share of repeat buyers who are late at most: nobody is who is silent for less than their gap."""


def fit_loss(X: Floats) -> LossRules:
    """The limits that these customers teach.

    Parameters
    ----------
    X : ndarray of float64, shape (n, n_inputs)
        Input columns of the eligible customers, the loop's first.
    """
    repeat = X[X[:, POSITION["is_one_time_buyer"]] == 0.0]
    return LossRules(
        late=max(1.0, _least(repeat, "silence_over_own_gap", LATE_SHARE, 1.0)),
        high_cheque=_least(X, "average_cheque", HIGH_CHEQUE_SHARE, math.inf),
        active=_least(repeat, "purchases_per_month", ACTIVE_SHARE, math.inf),
    )


def _least(X: Floats, name: str, share: float, otherwise: float) -> float:
    """The least number that this share of the customers reach."""
    known = X[:, POSITION[name]]
    known = known[known > 0.0]
    return float(np.quantile(known, 1.0 - share)) if len(known) else otherwise
