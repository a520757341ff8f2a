"""How well one column alone tells two kinds of customers apart, whatever the shape of the relation.

A column is cut into bins, missing being one of them; each bin's rate is learnt on some rows and
ranks others. So a relation that rises and falls is seen, and so is a column that is missing for
those who left.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 30
MOST_OWN_BINS = 1100
"""Up to this many distinct values are a bin each: rare flags, and categories as codes."""
PRIOR_ROWS = 10
"""A bin's rate is drawn to the mean as if it had seen this many more rows of it."""
MIN_OF_EACH_KIND = 30
STRATA = 10

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Separation:
    """A ROC AUC and its standard error."""

    auc: float
    error: float


@dataclass(frozen=True, slots=True)
class Rates:
    """The rate of each bin of a column, as some rows have it.

    Attributes
    ----------
    edges : ndarray
        Ascending; between two of them lies a bin.
    rate : ndarray, shape (len(edges) + 2,)
        Of each bin; the last is what is missing.
    """

    edges: Floats
    rate: Floats

    @classmethod
    def of(cls, column: Floats, label: Booleans | Floats) -> "Rates":
        """Learn the rates of a column's bins; `label` may be any number."""
        edges = _edges(column)
        bins = _bins(column, edges)
        rows = np.bincount(bins, minlength=len(edges) + 2)
        total = np.bincount(bins, weights=label, minlength=len(edges) + 2)
        mean = float(np.mean(label)) if len(label) else 0.0
        return cls(edges, (total + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS))

    def rank(self, column: Floats) -> Floats:
        """The rate of each row's bin, shape (n,)."""
        return self.rate[_bins(column, self.edges)]


def separation(past: Rates | None, column: Floats, label: Booleans) -> Separation | None:
    """ROC AUC of a column's rates on rows that did not make them.

    The rates come from earlier rows, or from the other half of the same rows: what holds only
    today is found too. The better of the two counts.

    Parameters
    ----------
    past : Rates, optional
        Of earlier rows.
    column : ndarray of shape (n,)
    label : ndarray of bool, shape (n,)
        The rows to tell apart.

    Returns
    -------
    Separation or None
        None where there are fewer than `MIN_OF_EACH_KIND` rows of a kind.
    """
    churned = int(label.sum())
    if min(churned, len(label) - churned) < MIN_OF_EACH_KIND:
        return None
    halves = [
        _auc(Rates.of(column[learnt], label[learnt]).rank(column[rows]), label[rows])
        for learnt, rows in _halves(len(column))
    ]
    auc = float(np.mean(halves))
    if past is not None:
        auc = max(auc, _auc(past.rank(column), label))
    return Separation(auc, standard_error(auc, churned, len(label) - churned))


def added_separation(column: Floats, label: Booleans, expected: Floats) -> Separation | None:
    """ROC AUC of what a column says beyond an expectation, among rows that promise the same.

    Only pairs within a tenth of equal expectation are compared, by the mean surprise of their bins
    among the other half of the rows: a column that merely echoes the expectation gets 0.5.

    Parameters
    ----------
    column : ndarray of shape (n,)
    label : ndarray of bool, shape (n,)
    expected : ndarray of float64, shape (n,)
        The probability of the label without the column, from other rows.
    """
    churned = int(label.sum())
    if min(churned, len(label) - churned) < MIN_OF_EACH_KIND:
        return None
    limits = np.quantile(expected, np.linspace(0, 1, STRATA + 1)[1:-1])
    stratum = np.searchsorted(limits, expected)
    surprise = label - expected
    halves = [
        _auc_within(
            Rates.of(column[learnt], surprise[learnt]).rank(column[rows]),
            label[rows],
            stratum[rows],
        )
        for learnt, rows in _halves(len(column))
    ]
    auc = float(np.mean(halves))
    return Separation(auc, standard_error(auc, churned, len(label) - churned))


def _halves(n: int) -> tuple[tuple[Booleans, Booleans], tuple[Booleans, Booleans]]:
    """Every second row to learn from and the others to judge, and the other way round."""
    even = np.arange(n) % 2 == 0
    return (even, ~even), (~even, even)


def _auc_within(score: Floats, label: Booleans, stratum: NDArray[np.int64]) -> float:
    """ROC AUC over the pairs within each stratum; 0.5 where there are none."""
    won = pairs = 0.0
    for k in np.unique(stratum):
        rows = stratum == k
        churned = int(label[rows].sum())
        here = churned * (int(rows.sum()) - churned)
        won += here * _auc(score[rows], label[rows])
        pairs += here
    return won / pairs if pairs else 0.5


def _edges(column: Floats) -> Floats:
    known = column[~np.isnan(column)]
    if len(known) == 0:
        return known
    distinct = np.unique(known)
    if len(distinct) <= MOST_OWN_BINS and len(distinct) * PRIOR_ROWS <= len(known):
        return distinct
    shares = np.linspace(0, 1, BINS + 1)[1:-1]
    return np.unique(np.quantile(known, np.concatenate(([0.005], shares, [0.995]))))


def _bins(column: Floats, edges: Floats) -> NDArray[np.int64]:
    at = np.searchsorted(edges, column, side="right")
    return np.where(np.isnan(column), len(edges) + 1, at)


def _auc(score: Floats, label: Booleans) -> float:
    """Share of pairs in the right order, half a pair for a tie; 0.5 where one kind is absent."""
    _, at = np.unique(score, return_inverse=True)
    churned = np.bincount(at, weights=label)
    stayed = np.bincount(at) - churned
    below = np.cumsum(stayed) - stayed
    pairs = churned.sum() * stayed.sum()
    return float((churned * (below + stayed / 2)).sum() / pairs) if pairs else 0.5


def standard_error(auc: float, n_churned: int, n_stayed: int) -> float:
    """Standard error of a ROC AUC (Hanley & McNeil 1982)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (
        auc * (1 - auc) + (n_churned - 1) * (q1 - auc**2) + (n_stayed - 1) * (q2 - auc**2)
    )  # fmt: skip
    return float(np.sqrt(max(spread, 0.0) / (n_churned * n_stayed)))
