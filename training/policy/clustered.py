"""Means and differences with intervals that know whose the rows are.

Two decisions about one customer are not two customers. Every figure here is a ratio of sums; its
interval comes from each customer's influence on it, all of the customer's rows together.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from training.intervals import Interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


class Influence:
    """A figure and how much each cluster moves it; linear figures of the same rows can be added.

    Attributes
    ----------
    value : float
    by_cluster : ndarray, shape (n_clusters,)
        The figure's change per cluster; they sum to 0.
    independent : float
        How many equally weighty clusters it rests on.
    """

    def __init__(self, value: float, by_cluster: Floats, independent: float) -> None:
        self.value = value
        self.by_cluster = by_cluster
        self.independent = independent

    def __sub__(self, other: "Influence") -> "Influence":
        return Influence(
            self.value - other.value,
            self.by_cluster - other.by_cluster,
            min(self.independent, other.independent),
        )

    @property
    def variance(self) -> float:
        """Of the figure, as far as the clusters tell."""
        n = len(self.by_cluster)
        return float(self.by_cluster @ self.by_cluster) * n / max(n - 1, 1)

    def interval(self, least_variance: float = 0.0) -> Interval:
        """The figure with its 95% interval, Student's, on as many degrees as clusters count."""
        degrees = max(self.independent - 1.0, 1.0)
        z = float(student.ppf(0.5 + CONFIDENCE / 2.0, degrees))
        half = z * math.sqrt(max(self.variance, least_variance))
        return Interval(self.value, self.value - half, self.value + half)


def codes(names: ArrayLike) -> NDArray[np.int64]:
    """Number the clusters from 0."""
    return np.asarray(np.unique(np.asarray(names), return_inverse=True)[1], dtype=np.int64)


def ratio(numerator: Floats, denominator: Floats, cluster: NDArray[np.int64]) -> Influence:
    """Sum of one over the sum of the other.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (n,)
        A mean has weights in the denominator, and the weighted figure in the numerator.
    cluster : ndarray of int64, shape (n,)
        Whose row it is, numbered from 0; a cluster of no weight counts for nothing.
    """
    total = float(denominator.sum())
    value = float(numerator.sum()) / total
    moved = summed(cluster, (numerator - value * denominator) / total)
    return Influence(value, moved, effective(summed(cluster, np.abs(denominator))))


def summed(cluster: NDArray[np.int64], column: Floats) -> Floats:
    """The sum of a column by cluster."""
    return np.asarray(np.bincount(cluster, column), dtype=np.float64)


def effective(weight: Floats) -> float:
    """How many equal weights are as good as these (Kish): their sum squared over their squares'."""
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares > 0.0 else 0.0


def difference(
    outcome: Floats,
    treated: NDArray[np.bool_],
    cluster: NDArray[np.int64],
    stratum: NDArray[np.int64] | None = None,
) -> tuple[Influence, Influence]:
    """Mean outcome of the treated, and of the others made alike to them in strata.

    Where the share of those left out has changed over time, the two groups come from different
    times; the untreated are weighted to the treated's mix of strata. Both have to be of one
    length: subtract them.

    Parameters
    ----------
    outcome : ndarray, shape (n,)
    treated : ndarray of bool, shape (n,)
        At least one of each kind shares a stratum.
    cluster : ndarray of int64, shape (n,)
    stratum : ndarray of int64, shape (n,), optional
        Rows of a stratum that has one kind only are left out.
    """
    weight = balance(treated, np.zeros_like(cluster) if stratum is None else stratum)
    with_it, without = weight * treated, weight * ~treated
    return (
        ratio(outcome * with_it, with_it, cluster),
        ratio(outcome * without, without, cluster),
    )


def balance(treated: NDArray[np.bool_], stratum: NDArray[np.int64]) -> Floats:
    """Weights that give the untreated the treated's mix of strata; 0 where one kind is missing."""
    n_treated = np.bincount(stratum, treated)
    n_others = np.bincount(stratum, ~treated)
    both = (n_treated > 0) & (n_others > 0)
    other = np.where(both, n_treated / np.maximum(n_others, 1), 0.0)
    return np.asarray(np.where(treated, both[stratum], other[stratum]), dtype=np.float64)
