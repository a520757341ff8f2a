"""From input columns and a bundle to scores as columns, n customers at a time."""

from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from churn.bundle import Bundle
from churn.columns import UNSEEN
from churn.compiled import Booleans, Codes, Floats, Integers, compiled
from churn.events import Feed
from churn.features import POSITION, FeatureSettings
from churn.scores import STATUSES, MatrixScores

T = TypeVar("T", bound=np.generic)
SCORED, LAPSED, INSUFFICIENT = range(len(STATUSES))
SILENCE = POSITION["days_since_last_purchase"]
_ONE_TIME = POSITION["is_one_time_buyer"]


class _Numbers(NamedTuple):
    """The columns of `MatrixScores` but the status, of rows that all have a probability."""

    probability: Floats
    margin: Floats
    curve: Floats
    interval: Floats
    band: Codes
    contributions: Floats | None
    base: Floats | None
    value: Floats
    segment: Codes
    category: Codes


class MatrixScorer:
    """Scores rows of input columns; immutable, safe to share between threads.

    Parameters
    ----------
    bundle : Bundle
        A verified model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.schema = bundle.model.schema
        manifest = bundle.manifest
        self.settings = FeatureSettings(manifest.observation_window_days, manifest.horizon_days)
        self.feeds = frozenset(manifest.feeds)
        self._expected = bundle.model.expected_margin
        # Requests repeat a few sets of feeds; which families these silence is found once.
        self._absent = lru_cache(maxsize=256)(self._absent_with)

    def score_matrix(
        self,
        X: Floats,
        *,
        feeds: frozenset[Feed] | None = None,
        contributions: bool = True,
    ) -> MatrixScores:
        """Score n customers.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Columns as in `schema.names`; left as it is.
        feeds : frozenset of Feed, optional
            What the caller records; the model's feeds by default.
        contributions : bool
            Whether to explain as well.
        """
        known = self._masked(X, feeds)
        status = self._status(known)
        is_scored = status == SCORED
        if np.count_nonzero(is_scored) == len(known):
            return MatrixScores(status, *self._scored(known, feeds, contributions))
        found = self._scored(known[is_scored], feeds, contributions)

        def spread(part: NDArray[T], otherwise: float = np.nan) -> NDArray[T]:
            whole: NDArray[T] = np.full((len(known), *part.shape[1:]), otherwise, dtype=part.dtype)
            whole[is_scored] = part
            return whole

        return MatrixScores(
            status=status,
            probability=spread(found.probability),
            margin=spread(found.margin),
            curve=spread(found.curve),
            interval=spread(found.interval),
            band=spread(found.band, -1),
            contributions=None if found.contributions is None else spread(found.contributions, 0.0),
            base=None if found.base is None else spread(found.base),
            value=spread(found.value),
            segment=spread(found.segment, -1),
            category=spread(found.category, -1),
        )

    def unseen(self, X: Floats) -> dict[str, int]:
        """How many of n rows have a category that training did not meet, by name of the column."""
        counts = {
            self.schema.names[at]: int((X[:, at] == UNSEEN).sum()) for at in self.schema.coded
        }
        return {name: n for name, n in counts.items() if n}

    def _scored(
        self, known: Floats, feeds: frozenset[Feed] | None, contributions: bool
    ) -> _Numbers:
        model = self.bundle.model
        columns = model.columns(known)
        explained = base = None
        if contributions:
            margin, explained = model.explain(columns)
            base = np.empty(len(known), dtype=np.float64)
            absent = self._absent(self.feeds if feeds is None else feeds & self.feeds)
            _begin(base, self._expected, explained, absent)
        else:
            margin = model.margin(columns)
        probability = model.calibration.apply(margin)
        curve = model.curve.probabilities(margin, probability)
        interval = model.reliability.interval(probability, self._is_one_time(known))
        band = np.empty(len(known), dtype=np.int8)
        limits = self.bundle.manifest.thresholds
        _bands(probability, limits.medium, limits.high, band)
        value, segment, category = self._worth(known)
        return _Numbers(
            probability, margin, curve, interval, band, explained, base, value, segment, category
        )

    def _worth(self, known: Floats) -> tuple[Floats, Codes, Codes]:
        """What is at stake with customers, and what kind of loss they would be."""
        model = self.bundle.model
        if model.value is None:
            value, segment = np.full(len(known), np.nan), _none(len(known))
        else:
            value, segment = model.value.value(known)
        category = _none(len(known)) if model.loss is None else model.loss.categories(known)
        return value, segment, category

    def _absent_with(self, present: frozenset[Feed]) -> Integers:
        return np.array(
            [
                family
                for family, feed in enumerate(self.schema.feeds)
                if feed is not None and feed not in present
            ],
            dtype=np.int64,
        )

    def _status(self, known: Floats) -> Codes:
        status = np.empty(len(known), dtype=np.int8)
        manifest = self.bundle.manifest
        if self.schema.loop:
            _by_silence(known, SILENCE, manifest.inactivity_days, status)
        else:
            _by_count(known, manifest.minimum_features, status)
        return status

    def _is_one_time(self, known: Floats) -> Booleans:
        if not self.schema.loop:
            return np.zeros(len(known), dtype=np.bool_)
        return np.asarray(known[:, _ONE_TIME] == 1.0)

    def _masked(self, X: Floats, feeds: frozenset[Feed] | None) -> Floats:
        """The features that both the model and the caller have; the others are missing."""
        known = np.array(X, dtype=np.float64)
        self.schema.mask_absent(known, self.feeds if feeds is None else feeds & self.feeds)
        return known


def _none(n: int) -> Codes:
    return np.full(n, -1, dtype=np.int8)


@compiled
def _begin(base: Floats, expected: float, explained: Floats, absent: Integers) -> None:
    """Where each row starts from: what the absence of a feed itself says, which is no reason."""
    for row in range(len(base)):
        base[row] = expected
        for at in range(len(absent)):
            base[row] += explained[row, absent[at]]
            explained[row, absent[at]] = 0.0


@compiled
def _bands(probability: Floats, medium: float, high: float, band: Codes) -> None:
    for row in range(len(probability)):
        band[row] = 0
        if probability[row] >= high:
            band[row] = 2
        elif probability[row] >= medium:
            band[row] = 1


@compiled
def _by_silence(known: Floats, at: int, inactivity_days: int, status: Codes) -> None:
    for row in range(len(known)):
        silence = known[row, at]
        status[row] = INSUFFICIENT
        if silence <= inactivity_days:
            status[row] = SCORED
        elif silence > inactivity_days:
            status[row] = LAPSED


@compiled
def _by_count(known: Floats, enough: int, status: Codes) -> None:
    for row in range(len(known)):
        count = 0
        for at in range(known.shape[1]):
            if known[row, at] == known[row, at]:
                count += 1
        status[row] = SCORED if count >= enough else INSUFFICIENT


@compiled
def any_outside(X: Floats, low: Floats, high: Floats) -> bool:
    """Whether any number lies below or above what its column may hold."""
    for row in range(len(X)):
        for at in range(X.shape[1]):
            if X[row, at] < low[at] or X[row, at] > high[at]:
                return True
    return False
