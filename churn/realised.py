"""How well a model did, once it is known who left.

Customers may count more or less than once: one from whom an action was withheld stands for those
who got it.
"""

from dataclasses import dataclass

import numpy as np

from churn.compiled import Booleans, Floats

_BINS = 10


@dataclass(frozen=True, slots=True)
class Realised:
    """What became of customers, and what had been said of them.

    Attributes
    ----------
    churn_rate : float
        Share who left.
    roc_auc : float or None
        How well leavers were told from stayers; None where all did the same.
    log_loss : float
        In nats.
    calibration_ratio : float
        Leavers over those expected: above 1 where more left than was said.
    calibration_error : float
        Mean distance of the probability from the share who left, over ten equal-count bins.
    """

    churn_rate: float
    roc_auc: float | None
    log_loss: float
    calibration_ratio: float
    calibration_error: float


def realised(is_churn: Booleans, probability: Floats, weight: Floats) -> Realised:
    """Hold probabilities against outcomes.

    Parameters
    ----------
    is_churn : ndarray of bool, shape (n,)
        Who left; n > 0.
    probability : ndarray of float64, shape (n,)
        What had been said, in (0, 1).
    weight : ndarray of float64, shape (n,)
        How often each counts; above 0.

    Examples
    --------
    >>> found = realised(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]),
    ...                  np.ones(4))
    >>> found.roc_auc, round(found.calibration_ratio, 3)
    (0.75, 1.212)
    """
    p, whose = np.unique(probability, return_inverse=True)
    every = np.asarray(np.bincount(whose, weight), dtype=np.float64)
    left = np.asarray(np.bincount(whose, weight * is_churn), dtype=np.float64)
    total, leavers = float(every.sum()), float(left.sum())
    stayed = every - left
    pairs = leavers * (total - leavers)
    won = float((left * (np.cumsum(stayed) - stayed / 2.0)).sum())
    expected = float((every * p).sum())
    sure = np.clip(p, 1e-12, 1.0 - 1e-12)
    loss = -float((left * np.log(sure) + stayed * np.log1p(-sure)).sum())
    return Realised(
        churn_rate=leavers / total,
        roc_auc=won / pairs if pairs > 0.0 else None,
        log_loss=loss / total,
        calibration_ratio=leavers / expected,
        calibration_error=_error(every, left, every * p),
    )


def _error(every: Floats, left: Floats, expected: Floats) -> float:
    """Bins are cut through customers of one probability as if each were spread evenly."""
    upto = np.concatenate([[0.0], np.cumsum(every)])
    edges = np.linspace(0.0, upto[-1], _BINS + 1)
    gap = np.concatenate([[0.0], np.cumsum(left - expected)])
    return float(np.abs(np.diff(np.interp(edges, upto, gap))).sum() / upto[-1])
