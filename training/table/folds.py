"""Judging in folds that keep together what belongs together, for rows without dates.

For each fold the whole procedure runs as if its rows did not exist: capacity and calibration are
chosen on rows that fitted nothing, within the other folds.
"""

import numpy as np

from churn.compiled import Booleans, Floats, Integers
from churn.errors import TooLittleData
from training.backtest import MODEL
from training.progress import Progress
from training.table.baselines import predict_baselines
from training.table.calibrate import Decision, decide
from training.table.fit import CAPACITIES, boost, check_enough
from training.table.judged import Judged
from training.table.rows import Rows, row_numbers

FOLDS = 5
MANY_ROWS = 50_000
"""Of more rows, one fold tells enough to choose by."""


def folds_of(group: Integers, is_churn: Booleans, seed: int) -> Integers:
    """A fold for each row, in [0, FOLDS): groups stay whole, churn is spread evenly.

    Parameters
    ----------
    group : ndarray of int64, shape (n,)
        Rows of one number stay together.
    is_churn : ndarray of bool, shape (n,)
        The label.
    seed : int
        Of the shuffling.

    Examples
    --------
    >>> group, is_churn = np.array([0, 0, 1, 2, 3, 4]), np.array([True] * 3 + [False] * 3)
    >>> fold = folds_of(group, is_churn, seed=1)
    >>> bool(fold[0] == fold[1]), sorted(set(fold.tolist()))
    (True, [0, 1, 2, 3, 4])
    """
    number = np.unique(group, return_inverse=True)[1]
    size = np.bincount(number)
    churned = np.bincount(number, weights=is_churn)
    shuffled = np.random.default_rng(seed).permutation(len(size))
    # Like groups follow each other, so that dealing them in turn gives each fold as many.
    order = shuffled[np.lexsort([size[shuffled], (churned / size)[shuffled]])]
    fold = np.empty(len(size), dtype=np.int64)
    fold[order] = np.arange(len(size)) % FOLDS
    return fold[number]


class OutOfFold:
    """Margins of rows by boosters that have not seen them, each booster fitted once.

    A booster that has seen neither fold j nor fold k tells what the choices for fold k may know of
    fold j, and the reverse.
    """

    def __init__(self, rows: Rows, seed: int, progress: Progress) -> None:
        self.rows = rows
        self.fold = folds_of(rows.group, rows.is_churn, seed)
        self._seed = seed
        self._progress = progress
        self._known: dict[tuple[str, frozenset[int]], Floats] = {}

    def margins(self, capacity: str, k: int, *unseen: int) -> Floats:
        """Margins of fold k's rows by a booster that has seen neither it nor the `unseen` folds."""
        left_out = frozenset((k, *unseen))
        key = (capacity, left_out)
        if key not in self._known:
            there = np.isin(self.fold, list(left_out))
            boosted = boost(self.rows.where(~there), capacity, self._seed)
            margin = np.full(len(there), np.nan)
            margin[there] = boosted.margins(self.rows.X[there])
            self._known[key] = margin
            self._progress.advance()
        return np.asarray(self._known[key][self.fold == k])

    def decision(self, k: int | None = None) -> Decision:
        """How to make the model of all rows, or of those that are not in fold k."""
        folds = [j for j in range(FOLDS) if j != k]
        if k is not None and len(self.fold) > MANY_ROWS:
            folds = [(k + 1) % FOLDS]
        unseen = () if k is None else (k,)
        chosen = np.isin(self.fold, folds)
        told: dict[str, Floats] = {}
        for capacity in CAPACITIES:
            margin = np.empty(len(self.fold))
            for j in folds:
                margin[self.fold == j] = self.margins(capacity, j, *unseen)
            told[capacity] = margin[chosen]
        # Of one fold, its halves judge each other's map.
        part = self.fold if len(folds) > 1 else self.rows.group % 2
        return decide(told, self.rows.is_churn[chosen], part[chosen])


def in_folds(rows: Rows, seed: int, progress: Progress) -> tuple[Judged, OutOfFold]:
    """Judge in five folds; what was fitted on the way also tells how to make the model of all.

    Raises
    ------
    TooLittleData
        Too few rows or groups, or too few of one class.
    """
    check_foldable(rows)
    progress.stage(f"judging in {FOLDS} folds")
    known = OutOfFold(rows, seed, progress)
    probabilities: dict[str, Floats] = {MODEL: np.empty(len(rows))}
    learnt = np.zeros(len(rows), dtype=np.bool_)
    numbers = row_numbers(rows.X)
    for k in range(FOLDS):
        there = known.fold == k
        decision = known.decision(k)
        margin = known.margins(decision.capacity, k)
        probabilities[MODEL][there] = decision.calibration.apply(margin)
        for name, p in predict_baselines(rows.where(~there), rows.where(there), seed).items():
            probabilities.setdefault(name, np.empty(len(rows)))[there] = p
        learnt[there] = np.isin(numbers[there], numbers[~there])
    return Judged(rows, probabilities, (), None, learnt), known


def decide_in_folds(rows: Rows, seed: int, progress: Progress) -> Decision:
    """Choose by margins out of folds."""
    check_foldable(rows)
    return OutOfFold(rows, seed, progress).decision()


def check_foldable(rows: Rows) -> None:
    """Refuse rows that five folds would leave too little of.

    Raises
    ------
    TooLittleData
        Too few rows or groups, or too few of one class.
    """
    check_enough(rows)
    groups = len(np.unique(rows.group))
    if groups < 2 * FOLDS:
        raise TooLittleData(
            f"the rows are of {groups} groups only, too few for {FOLDS} folds: "
            "choose a finer [table] group"
        )
