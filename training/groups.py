"""Quality on a part of the customers: a stage, a category, a date."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval, intervals
from training.metrics import Metrics, evaluate, wilson

FEWEST_OF_PART = 30
"""Customers of a part that a plot may speak of; a table tells of all."""

MOST_REPEATS, FEWEST_REPEATS, ROWS = 300, 100, 10_000_000
"""Resamples: a large group needs fewer, its interval is narrow anyway."""


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the customers, and how good the model is there.

    Attributes
    ----------
    name : str
    metrics : Metrics
    roc_auc : Interval or None
        With its 95% bootstrap interval; None where one class only is present.
    log_loss : Interval
        Likewise.
    churn_rate : Interval
        Share that left, with its 95% Wilson interval.
    predicted : float
        Mean churn probability.
    """

    name: str
    metrics: Metrics
    roc_auc: Interval | None
    log_loss: Interval | None
    churn_rate: Interval
    predicted: float

    @property
    def miss(self) -> float:
        """Mean probability minus the share that left: above 0 the model was too gloomy."""
        return self.predicted - self.churn_rate.value

    @property
    def misses(self) -> bool:
        """Whether chance does not explain the miss."""
        return not self.churn_rate.low <= self.predicted <= self.churn_rate.high


def group(
    name: str, is_churn: NDArray[np.bool_], probability: NDArray[np.float64], seed: int
) -> Group:
    """Judge the model on one or more customers."""
    left, n = int(is_churn.sum()), len(is_churn)
    repeats = max(FEWEST_REPEATS, min(MOST_REPEATS, ROWS // n))
    figures = intervals(is_churn, probability, seed=seed, repeats=repeats)
    return Group(
        name=name,
        metrics=evaluate(is_churn, probability),
        roc_auc=figures["roc_auc"],
        log_loss=figures["log_loss"],
        churn_rate=Interval(left / n, *wilson(left, n)),
        predicted=float(probability.mean()),
    )
