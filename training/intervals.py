"""How sure a measured quality is: bootstrap intervals over customers.

One test date is one draw of customers; two models are compared on the *same* customers, because
most of the noise is theirs in common and cancels in a paired difference.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.metrics import checked


class Interval(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Resampled ROC AUC and log loss of several models, all on the same resamples.

    Parameters
    ----------
    is_churn : array_like of bool or 0/1, shape (n,)
    probabilities : mapping of str to array_like, shape (n,)
        Churn probabilities of each model for the same customers.
    seed : int
    repeats : int
        Resamples of customers with replacement.

    References
    ----------
    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval).
    """

    def __init__(
        self,
        is_churn: ArrayLike,
        probabilities: Mapping[str, ArrayLike],
        *,
        seed: int,
        repeats: int = 1000,
    ) -> None:
        pairs = [checked(is_churn, row) for row in probabilities.values()]
        n = len(pairs[0][0])
        rankings = [_Ranking(y, p) for y, p in pairs]
        losses = np.stack([_row_losses(y, p) for y, p in pairs])
        rng = np.random.default_rng(seed)
        self._column = {name: i for i, name in enumerate(probabilities)}
        # Row 0 is the sample itself, the others are its resamples.
        self._auc = np.empty((repeats + 1, len(pairs)))
        self._loss = np.empty((repeats + 1, len(pairs)))
        for i in range(repeats + 1):
            weight = np.ones(n)
            if i:
                weight = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
            self._auc[i] = [ranking.auc(weight) for ranking in rankings]
            self._loss[i] = losses @ weight / n

    def of(self, name: str) -> dict[str, Interval | None]:
        """Return ``{"roc_auc", "log_loss"}`` of one model; no ROC AUC where one class only."""
        i = self._column[name]
        return {
            "roc_auc": _interval(self._auc[:, i]),
            "log_loss": _interval(self._loss[:, i]),
        }

    def difference(self, a: str, b: str) -> dict[str, Interval | None]:
        """Return the same of a minus b: a positive ROC AUC or a negative log loss speaks for a."""
        i, j = self._column[a], self._column[b]
        return {
            "roc_auc": _interval(self._auc[:, i] - self._auc[:, j]),
            "log_loss": _interval(self._loss[:, i] - self._loss[:, j]),
        }


def compare(
    is_churn: ArrayLike, p_a: ArrayLike, p_b: ArrayLike, *, seed: int, repeats: int = 1000
) -> dict[str, Interval | None]:
    """Paired bootstrap intervals of the difference a - b in ROC AUC and log loss.

    An interval that holds zero decides nothing. See `Bootstrap`.

    Returns
    -------
    dict
        ``{"roc_auc": Interval | None, "log_loss": Interval}``; no ROC AUC where one class only.
    """
    models = {"a": p_a, "b": p_b}
    return Bootstrap(is_churn, models, seed=seed, repeats=repeats).difference("a", "b")


def intervals(
    is_churn: ArrayLike, probability: ArrayLike, *, seed: int, repeats: int = 1000
) -> dict[str, Interval | None]:
    """Bootstrap intervals of one model's ROC AUC and log loss. See `Bootstrap`."""
    return Bootstrap(is_churn, {"a": probability}, seed=seed, repeats=repeats).of("a")


def _interval(figures: NDArray[np.float64]) -> Interval | None:
    """Interval of a figure from its value and resamples.

    A resample of one class has no AUC and is left out; this happens in tiny samples only.
    """
    value, resampled = float(figures[0]), figures[1:]
    if np.isnan(value):
        return None
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
