"""From input columns and a bundle to scores as columns, n customers at a time."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from churn.bundle import Bundle
from churn.columns import UNSEEN
from churn.compiled import Booleans, Codes, Floats
from churn.events import Feed
from churn.features import POSITION, FeatureSettings, mask_absent_feeds
from churn.scores import STATUSES, MatrixScores

T = TypeVar("T", bound=np.generic)
SCORED, LAPSED, INSUFFICIENT = range(len(STATUSES))
_SILENCE = POSITION["days_since_last_purchase"]
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


class MatrixScorer:
    """Scores rows of input columns; immutable, safe to share between threads.

    Parameters
    ----------
    bundle : Bundle
        A verified model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.schema = schema = bundle.model.schema
        manifest = bundle.manifest
        self.settings = FeatureSettings(manifest.observation_window_days, manifest.horizon_days)
        self.feeds = frozenset(manifest.feeds)
        self.coded = tuple(
            schema.first_extra + at
            for at, column in enumerate(schema.extras)
            if column.kind == "categorical"
        )

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
        if is_scored.all():
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
        )

    def unseen(self, X: Floats) -> dict[str, int]:
        """How many of n rows have a category that training did not meet, by name of the column."""
        counts = {self.schema.names[at]: int((X[:, at] == UNSEEN).sum()) for at in self.coded}
        return {name: n for name, n in counts.items() if n}

    def _scored(
        self, known: Floats, feeds: frozenset[Feed] | None, contributions: bool
    ) -> _Numbers:
        model = self.bundle.model
        columns = model.columns(known)
        explained = base = None
        if contributions:
            margin, explained = model.trees.explain(columns)
            base = np.full(len(known), model.trees.expected_margin)
            present = self.feeds if feeds is None else feeds & self.feeds
            for family, feed in enumerate(self.schema.feeds):
                if feed is not None and feed not in present:
                    # What the absence itself says belongs to the starting point, not to a reason.
                    base += explained[:, family]
                    explained[:, family] = 0.0
        else:
            margin = model.trees.margin(columns)
        probability = model.calibration.apply(margin)
        curve = model.curve.probabilities(margin, probability)
        interval = model.reliability.interval(probability, self._is_one_time(known))
        limits = self.bundle.manifest.thresholds
        band = (probability >= limits.medium).astype(np.int8) + (probability >= limits.high)
        return _Numbers(probability, margin, curve, interval, band, explained, base)

    def _status(self, known: Floats) -> Codes:
        status = np.full(len(known), INSUFFICIENT, dtype=np.int8)
        if not self.schema.loop:
            enough = self.bundle.manifest.minimum_features
            status[np.count_nonzero(known == known, axis=1) >= enough] = SCORED
            return status
        silence = known[:, _SILENCE]
        status[silence <= self.bundle.manifest.inactivity_days] = SCORED
        status[silence > self.bundle.manifest.inactivity_days] = LAPSED
        return status

    def _is_one_time(self, known: Floats) -> Booleans:
        if not self.schema.loop:
            return np.zeros(len(known), dtype=np.bool_)
        return np.asarray(known[:, _ONE_TIME] == 1.0)

    def _masked(self, X: Floats, feeds: frozenset[Feed] | None) -> Floats:
        """The features that both the model and the caller have; the others are missing."""
        known = np.array(X, dtype=np.float64)
        if self.schema.loop:
            mask_absent_feeds(known, self.feeds if feeds is None else feeds & self.feeds)
        return known
