"""How good a set of churn probabilities is: ranking, sharpness and calibration.

Every figure that Keepwell prints about a model comes from here, so that a report, a manifest and
a backtest cannot disagree. Customers with equal probabilities are exchangeable: whatever depends
on an order (calibration bins, the top decile) is averaged over the orders that ties allow, hence
no figure depends on how the rows happened to be sorted.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from churn.errors import TooLittleData

ECE_BINS = 10
Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality of one model on one set of customers.

    Attributes
    ----------
    n : int
        Customers.
    churn_rate : float
        Share that churned, in [0, 1].
    roc_auc : float or None
        Probability that a churner is ranked above a stayer; None where only one class is present.
    pr_auc : float or None
        Average precision; a random order gives `churn_rate`. None as for `roc_auc`.
    brier : float
        Mean squared error of the probability, in [0, 1].
    log_loss : float
        Mean negative log likelihood, in nats.
    ece : float
        Expected calibration error over ten equal-count bins, in [0, 1].
    top_decile_lift : float or None
        Churn rate of the riskiest tenth over `churn_rate`; None where nobody churned.
    """

    n: int
    churn_rate: float
    roc_auc: float | None
    pr_auc: float | None
    brier: float
    log_loss: float
    ece: float
    top_decile_lift: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name, ready for JSON."""
        return asdict(self)


class ReliabilityBin(NamedTuple):
    """One calibration bin: `customers` of them, their mean probability and realised churn rate.

    `low` and `high` are the 95% Wilson interval of the churn rate.
    """

    customers: int
    probability: float
    churn_rate: float
    low: float
    high: float


class EceFloor(NamedTuple):
    """Calibration error that a perfect model of this size shows by chance alone."""

    mean: float
    p95: float


def evaluate(is_churn: ArrayLike, probability: ArrayLike) -> Metrics:
    """All metrics of one model on one set of customers.

    Parameters
    ----------
    is_churn : array_like of bool or 0/1, shape (n,)
    probability : array_like of float, shape (n,)
        Churn probability in [0, 1].

    Raises
    ------
    TooLittleData
        If there is no customer.
    ValueError
        If the shapes differ, a label is not 0/1 or a probability lies outside [0, 1].

    Examples
    --------
    >>> evaluate([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).roc_auc
    0.75
    """
    y, p = checked(is_churn, probability)
    churn_rate = float(y.mean())
    both = 0 < churn_rate < 1
    return Metrics(
        n=len(y),
        churn_rate=churn_rate,
        roc_auc=float(roc_auc_score(y, p)) if both else None,
        pr_auc=float(average_precision_score(y, p)) if both else None,
        brier=float(brier_score_loss(y, p, pos_label=1)),
        log_loss=float(log_loss(y, p, labels=[0, 1])),
        ece=_ece(y, p, ECE_BINS),
        top_decile_lift=_top_decile_lift(y, p) if churn_rate > 0 else None,
    )


def reliability_bins(
    is_churn: ArrayLike, probability: ArrayLike, bins: int = ECE_BINS
) -> list[ReliabilityBin]:
    """Equal-count calibration bins with 95% Wilson intervals, lowest probability first.

    Parameters
    ----------
    is_churn : array_like of bool or 0/1, shape (n,)
    probability : array_like of float, shape (n,)
    bins : int
        At most this many; no more than there are customers.
    """
    y, p = checked(is_churn, probability)
    churners, expected, counts = _bin_sums(y, p, bins)
    out = []
    for churned, mean, count in zip(churners, expected / counts, counts, strict=True):
        rate = float(churned / count)
        out.append(ReliabilityBin(int(count), float(mean), rate, *wilson(churned, count)))
    return out


def wilson(churners: float, customers: float) -> tuple[float, float]:
    """95% interval of a churn rate, in [0, 1]; a fraction of a churner is what ties leave.

    References
    ----------
    Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> [round(end, 4) for end in wilson(0, 10)]
    [0.0, 0.2775]
    """
    rate, z2 = churners / customers, Z_95**2
    centre = (rate + z2 / (2 * customers)) / (1 + z2 / customers)
    spread = math.sqrt(rate * (1 - rate) / customers + z2 / (4 * customers**2))
    half = Z_95 / (1 + z2 / customers) * spread
    return max(0.0, centre - half), min(1.0, centre + half)


def ece_floor(probability: ArrayLike, seed: int, repeats: int | None = None) -> EceFloor:
    """ECE of a model whose every probability is exactly right, by simulation.

    An ECE below `p95` is no evidence of miscalibration: the same customers would show as much by
    chance.

    Parameters
    ----------
    probability : array_like of float, shape (n,)
    seed : int
    repeats : int, optional
        Simulated outcomes per customer; 400 by default, fewer of more than 100,000 customers, whose
        floor is all but zero.
    """
    p = np.sort(checked(np.zeros(np.shape(probability)), probability)[1])
    repeats = max(100, min(400, 40_000_000 // len(p))) if repeats is None else repeats
    rng = np.random.default_rng(seed)
    simulated = [_ece(rng.random(len(p)) < p, p, ECE_BINS, is_sorted=True) for _ in range(repeats)]
    return EceFloor(float(np.mean(simulated)), float(np.quantile(simulated, 0.95)))


def cumulative(
    y: NDArray[np.bool_], p: NDArray[np.float64], *, is_sorted: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Churners and expected churners among the k least risky, at each k where no tie is cut.

    Between those k a straight line is the mean over all orders of the tied customers.

    Returns
    -------
    k, churners, expected : ndarray, shape (distinct probabilities + 1,)
    """
    if not is_sorted:
        order = np.argsort(p)
        y, p = y[order], p[order]
    ranks = np.concatenate(([0], np.flatnonzero(np.diff(p)) + 1, [len(p)]))
    churners = np.concatenate(([0.0], np.cumsum(y, dtype=np.float64)))
    expected = np.concatenate(([0.0], np.cumsum(p)))
    return ranks, churners[ranks], expected[ranks]


def checked(
    is_churn: ArrayLike, probability: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels and probabilities as arrays of shape (n,), or an error that says what is wrong."""
    raw, p = np.asarray(is_churn), np.asarray(probability, dtype=np.float64)
    if raw.ndim != 1 or raw.shape != p.shape:
        raise ValueError(f"labels of shape {raw.shape}, probabilities of shape {p.shape}")
    if not len(raw):
        raise TooLittleData("no customer to evaluate on: choose a date with active customers")
    if not np.isin(raw, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must be within [0, 1], none missing")
    return raw.astype(np.bool_), p


def _ece(
    y: NDArray[np.bool_], p: NDArray[np.float64], bins: int, *, is_sorted: bool = False
) -> float:
    churners, expected, _ = _bin_sums(y, p, bins, is_sorted=is_sorted)
    return float(np.abs(churners - expected).sum() / len(y))


def _bin_sums(
    y: NDArray[np.bool_], p: NDArray[np.float64], bins: int, *, is_sorted: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Churners, expected churners and customers of each bin; bins as in `numpy.array_split`."""
    n = len(y)
    bins = min(bins, n)
    edges = np.concatenate(([0], np.cumsum([n // bins + (i < n % bins) for i in range(bins)])))
    ranks, churners, expected = cumulative(y, p, is_sorted=is_sorted)
    return (
        np.diff(np.interp(edges, ranks, churners)),
        np.diff(np.interp(edges, ranks, expected)),
        np.diff(edges).astype(np.float64),
    )


def _top_decile_lift(y: NDArray[np.bool_], p: NDArray[np.float64]) -> float:
    n = len(y)
    top = -(-n // 10)
    ranks, churners, _ = cumulative(y, p)
    in_top = churners[-1] - np.interp(n - top, ranks, churners)
    return float(in_top / top / (churners[-1] / n))
