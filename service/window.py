"""Who was scored of late: counts of the last days, bin by bin, never the customers themselves.

Every scored row counts, of single requests, lists, jobs and plans, in one of `PARTS` pieces of the
window, and an old piece goes as a new one begins. A row costs a request no more than being put
aside: rows are counted a block at a time.
"""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from churn.compiled import Floats
from churn.drift import PROBABILITY, Reference
from churn.estimate import Estimate, log_loss, roc_auc
from churn.events import MICROSECONDS_PER_DAY, Feed
from churn.manifest import DriftEntry
from churn.rows import CustomerRow
from churn.schema import Schema
from churn.scores import CustomerScore, MatrixScores

PARTS = 28
BLOCK_ROWS = 256
LEAST_ROWS = 200
"""Of fewer rows nothing is told but how many there are."""
_STEPS = 1000
"""Of the histogram of probabilities."""

_Aside = tuple[Floats, frozenset[Feed] | None, float]


class Told(NamedTuple):
    """What is known of the window.

    Attributes
    ----------
    rows : int
        How many were scored.
    expected_churn_rate : float or None
        The mean of their probabilities.
    drift : dict of str to float
        PSI beyond chance of each feature.
    probability_drift : float or None
        The same of the probability.
    roc_auc, log_loss : Estimate or None
        What these probabilities promise.
    """

    rows: int
    expected_churn_rate: float | None = None
    drift: dict[str, float] = {}  # noqa: RUF012 - never written to
    probability_drift: float | None = None
    roc_auc: Estimate | None = None
    log_loss: Estimate | None = None


class Window:
    """Counts the customers scored by one model in the last days.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    entry : DriftEntry or None
        Whom it was made for; older bundles do not tell.
    days : float
        Length of the window.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    """

    def __init__(
        self, schema: Schema, entry: DriftEntry | None, days: float, clock: Callable[[], int]
    ) -> None:
        self._reference = None if entry is None else Reference(schema, entry)
        self._schema = schema
        self._part = max(1, int(days * MICROSECONDS_PER_DAY / PARTS))
        self._clock = clock
        self._changing = threading.Lock()
        self._aside: list[_Aside] = []
        self._parts: dict[int, _Part] = {}
        self._shape = (0, 0) if self._reference is None else self._reference.binning.shape

    def rows(self, rows: Sequence[CustomerRow], scores: Sequence[CustomerScore]) -> None:
        """Take rows that were scored one by one, each with its score."""
        scored = [
            (row.numbers, row.feeds, score.churn_probability)
            for row, score in zip(rows, scores, strict=True)
            if score.churn_probability is not None
        ]
        with self._changing:
            self._aside += scored
            is_block = len(self._aside) >= BLOCK_ROWS
        if is_block:
            self._count_aside()

    def matrix(self, X: Floats, scores: MatrixScores) -> None:
        """Take rows that were scored together.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            What the model read.
        scores : MatrixScores
            What it said.
        """
        is_scored = scores.band >= 0
        self._count(X[is_scored], scores.probability[is_scored])

    def told(self) -> Told:
        """What is known now."""
        self._count_aside()
        with self._changing:
            self._drop_old()
            parts = list(self._parts.values())
            rows = sum(part.rows for part in parts)
            if rows < LEAST_ROWS:
                return Told(rows)
            n = np.sum([part.histogram for part in parts], axis=0)
            sums = np.sum([part.sums for part in parts], axis=0)
            counts = np.sum([part.counts for part in parts], axis=0)
        drift = {} if self._reference is None else self._reference.drift(counts)
        probability_drift = drift.pop(PROBABILITY, None)
        some = n > 0
        n, mean = n[some], sums[some] / n[some]
        return Told(
            rows,
            float(sums.sum()) / rows,
            drift,
            probability_drift,
            roc_auc(n, mean),
            log_loss(n, mean),
        )

    def _count_aside(self) -> None:
        with self._changing:
            aside, self._aside = self._aside, []
        if not aside:
            return
        X = np.array([numbers for numbers, _, _ in aside])
        together: dict[frozenset[Feed], list[int]] = {}
        for at, (_, feeds, _) in enumerate(aside):
            if feeds is not None:
                together.setdefault(feeds, []).append(at)
        for feeds, places in together.items():
            known = X[places]
            self._schema.mask_absent(known, feeds)
            X[places] = known
        self._count(X, np.array([probability for _, _, probability in aside]))

    def _count(self, X: Floats, probability: Floats) -> None:
        if not len(X):
            return
        step = np.minimum((probability * _STEPS).astype(np.int64), _STEPS - 1)
        histogram = np.bincount(step, minlength=_STEPS)
        sums = np.bincount(step, probability, minlength=_STEPS)
        counts = None
        if self._reference is not None:
            counts = self._reference.binning.count(X, probability)
        with self._changing:  # a request waits for no more than these sums
            number = self._clock() // self._part
            part = self._parts.get(number)
            if part is None:
                self._drop_old()
                part = self._parts[number] = _Part(self._shape)
            part.rows += len(X)
            part.histogram += histogram
            part.sums += sums
            if counts is not None:
                part.counts += counts

    def _drop_old(self) -> None:
        oldest = self._clock() // self._part - PARTS
        for number in [number for number in self._parts if number <= oldest]:
            del self._parts[number]


class _Part:
    """What was counted in a piece of the window."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.rows = 0
        self.histogram = np.zeros(_STEPS, dtype=np.int64)
        self.sums = np.zeros(_STEPS)
        self.counts = np.zeros(shape, dtype=np.int64)
