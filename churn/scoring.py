"""From features and a bundle to scores: the one path that requests, batches and files share."""

import difflib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from churn.actions import Action, suggest
from churn.bundle import Bundle
from churn.columns import UNSEEN, Raw
from churn.errors import RequestError, UnknownFeature
from churn.events import MICROSECONDS_PER_DAY, Event, Feed, customer_log
from churn.features import FEATURES, POSITION, FeatureSettings, features, mask_absent_feeds
from churn.reasons import Reason, reasons
from churn.scores import BANDS, STATUSES, CustomerScore, MatrixScores, NextPurchase
from churn.words import Language

__all__ = ["BANDS", "STATUSES", "CustomerScore", "MatrixScores", "Scorer"]

NEXT_PURCHASE_COVERAGE = 0.8
_SILENCE = POSITION["days_since_last_purchase"]
_ONE_TIME = POSITION["is_one_time_buyer"]
# Ratings may count from below zero, and logarithms do; nothing else that is counted or measured.
_SIGNED = frozenset(f.name for f in FEATURES if f.unit in ("rating", "log days"))


class Scorer:
    """Scores with one bundle; immutable, safe to share between threads.

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
        references = {entry.name: entry.reference for entry in manifest.features}
        self._low = np.array([_or_nan(references, name, "minimum") for name in schema.names])
        self._high = np.array([_or_nan(references, name, "maximum") for name in schema.names])
        self._coded = tuple(
            schema.first_extra + at
            for at, column in enumerate(schema.extras)
            if column.kind == "categorical"
        )
        self._used = tuple(name for name in schema.names if name in references)

    def score_matrix(
        self,
        X: NDArray[np.float64],
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
        scored = np.flatnonzero(status == STATUSES.index("scored"))

        model = self.bundle.model
        columns = model.columns(known[scored])
        margin = np.full(len(X), np.nan)
        explained = np.zeros((len(X), len(self.schema.families))) if contributions else None
        base = np.full(len(X), np.nan) if contributions else None
        if explained is not None and base is not None:
            margin[scored], explained[scored] = model.trees.explain(columns)
            base[scored] = model.trees.expected_margin
            present = self.feeds if feeds is None else feeds & self.feeds
            for family, feed in enumerate(self.schema.feeds):
                if feed is not None and feed not in present:
                    # What the absence itself says belongs to the starting point, not to a reason.
                    base += explained[:, family]
                    explained[:, family] = 0.0
        else:
            margin[scored] = model.trees.margin(columns)
        probability = np.full(len(X), np.nan)
        probability[scored] = model.calibration.apply(margin[scored])
        curve = np.full((len(X), len(model.curve.days)), np.nan)
        curve[scored] = model.curve.probabilities(margin[scored], probability[scored])
        interval = np.full((len(X), 2), np.nan)
        interval[scored] = model.reliability.interval(
            probability[scored], self._is_one_time(known[scored])
        )
        band = np.full(len(X), -1, dtype=np.int8)
        limits = self.bundle.manifest.thresholds
        band[scored] = np.searchsorted(
            [limits.medium, limits.high], probability[scored], side="right"
        )
        return MatrixScores(status, probability, margin, curve, interval, band, explained, base)

    def score_events(
        self,
        customer_id: str,
        events: Sequence[Event],
        as_of: int,
        *,
        own: Mapping[str, Raw] | None = None,
        feeds: frozenset[Feed] | None = None,
        max_reasons: int = 3,
        language: Language = "en",
    ) -> CustomerScore:
        """Score one customer from the history in the observation window.

        Parameters
        ----------
        customer_id : str
            Opaque identifier.
        events : sequence of Event
            In any order; repeats are dropped, events at or after `as_of` are not seen.
        as_of : int
            Microseconds since 1970-01-01 UTC.
        own : mapping of str to float, str or None, optional
            The columns that no event tells: those of the user's own.
        feeds, max_reasons, language
            What the caller records; how many reasons; their language.

        Raises
        ------
        RequestError
            A column in `own` that the model does not have or that events tell, or a wrong value;
            or the model reads no events.
        """
        if not self.schema.loop:
            raise RequestError(
                "this model was made of a ready feature table and reads no events; send "
                "`features` instead, as GET /v1/model names them",
                pointer="/events",
                code="events_not_read",
            )
        X = self._row(own or {})
        told = [name for name in own or {} if name in POSITION]
        if told:
            raise RequestError(
                f"{told[0]} is computed from the events; beside events send only your own columns",
                pointer=f"/features/{told[0]}",
                code="computed_from_events",
            )
        log = customer_log(customer_id, events)
        X[:, : len(FEATURES)] = features(log, as_of, self.settings)
        missing = tuple(
            column.name for column in self.schema.extras if np.isnan(X[0, self._at(column.name)])
        )
        warnings = _missing(missing)
        later = sum(
            event.occurred_at >= as_of or (event.known_at is not None and event.known_at >= as_of)
            for event in events
        )
        if later:
            warnings.append(f"{later} events at or after as_of, or known only then, were not seen")
        return self._customer(
            customer_id, X, as_of, feeds, max_reasons, language, warnings, missing
        )

    def score_features(
        self,
        customer_id: str,
        named: Mapping[str, Raw],
        as_of: int,
        *,
        feeds: frozenset[Feed] | None = None,
        max_reasons: int = 3,
        language: Language = "en",
    ) -> CustomerScore:
        """Score one customer from features that the caller computed.

        Raises
        ------
        UnknownFeature
            A name that the model does not have.
        RequestError
            A number below zero that no history could give, text for a number, or the reverse.
        """
        X = self._row(named)
        expected = self.feeds if feeds is None else feeds & self.feeds
        missing = tuple(
            name
            for name in self._used
            if np.isnan(X[0, self._at(name)])
            and (self.schema.extra(name) is not None or FEATURES[POSITION[name]].feed in expected)
        )
        warnings = _missing(missing)
        ignored = [name for name in named if name not in self._used]
        if ignored:
            warnings.append(f"features that this model does not use: {', '.join(ignored)}")
        too_few = np.count_nonzero(~np.isnan(X)) < self.bundle.manifest.minimum_features
        if too_few and self.schema.loop:
            X[0, _SILENCE] = np.nan  # too little to say anything
        return self._customer(
            customer_id, X, as_of, feeds, max_reasons, language, warnings, missing
        )

    def unseen(self, X: NDArray[np.float64]) -> dict[str, int]:
        """How many of n rows have a category that training did not meet, by name of the column."""
        counts = {self.schema.names[at]: int((X[:, at] == UNSEEN).sum()) for at in self._coded}
        return {name: n for name, n in counts.items() if n}

    def _row(self, named: Mapping[str, Raw]) -> NDArray[np.float64]:
        """Named values as one row of input columns, shape (1, n_inputs)."""
        X = np.full((1, len(self.schema)), np.nan)
        for name, value in named.items():
            if name not in self.schema.position:
                near = difflib.get_close_matches(name, self.schema.names, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UnknownFeature(
                    f"no such feature{hint} GET /v1/model lists the features",
                    pointer=f"/features/{name.replace('~', '~0').replace('/', '~1')}",
                    code="unknown_feature",
                )
            X[0, self._at(name)] = self._number(name, value)
        return X

    def _number(self, name: str, value: Raw) -> float:
        column = self.schema.extra(name)
        is_text = column is not None and column.kind == "categorical"
        if value is not None and isinstance(value, str) is not is_text:
            raise RequestError(
                f"{name} must be {'a string' if is_text else 'a number'}; leave it out if unknown",
                pointer=f"/features/{name}",
                code="not_a_string" if is_text else "not_a_number",
            )
        if column is not None:
            return column.encode(value)
        if value is not None and float(value) < 0 and name not in _SIGNED:
            raise RequestError(
                f"{name} must be at least 0; leave it out if unknown",
                pointer=f"/features/{name}",
                code="too_small",
            )
        return float("nan") if value is None else float(value)

    def _at(self, name: str) -> int:
        return self.schema.position[name]

    def _customer(
        self,
        customer_id: str,
        X: NDArray[np.float64],
        as_of: int,
        feeds: frozenset[Feed] | None,
        max_reasons: int,
        language: Language,
        warnings: list[str],
        missing: tuple[str, ...],
    ) -> CustomerScore:
        if feeds is not None:
            X = np.array(X)
            mask_absent_feeds(X, feeds)
        unseen = tuple(self.unseen(X))
        if unseen:
            warnings = [*warnings, f"categories not seen in training: {', '.join(unseen)}"]
        # What the model never saw moves no probability, but an open complaint is acted on.
        scores = self.score_matrix(X, feeds=feeds)
        status = STATUSES[scores.status[0]]
        why: tuple[Reason, ...] = ()
        action = None
        curve: tuple[tuple[int, float], ...] = ()
        expected = None
        if status == "scored" and scores.contributions is not None:
            curve = self.risk_curve(scores.curve[0])
            expected = self.next_purchase(scores.curve, as_of)
            why, action = self.explain_row(
                X[0],
                scores.contributions[0],
                BANDS[scores.band[0]],
                max_reasons=max_reasons,
                language=language,
            )
        return CustomerScore(
            customer_id=customer_id,
            status=status,
            churn_probability=float(scores.probability[0]) if status == "scored" else None,
            interval=_known_interval(scores.interval[0]),
            risk_band=BANDS[scores.band[0]] if status == "scored" else None,
            risk_curve=curve,
            next_purchase=expected,
            horizon_days=self.bundle.manifest.horizon_days,
            reasons=why,
            action=action,
            model_version=self.bundle.version,
            as_of=as_of,
            warnings=tuple(warnings),
            features_missing=missing,
            features_out_of_range=tuple(
                self.schema.names[at]
                for at in np.flatnonzero((X[0] < self._low) | (X[0] > self._high))
            ),
            features_unseen=unseen,
        )

    def risk_curve(self, curve: NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
        """Days and probability of no purchase until then, of one row of `MatrixScores.curve`."""
        layer = self.bundle.model.curve
        return tuple((int(layer.days[at]), float(curve[at])) for at in layer.shown)

    def next_purchase(self, curve: NDArray[np.float64], as_of: int) -> NextPurchase:
        """When the next purchase is expected, for one row of `MatrixScores.curve`, shape (1, k)."""
        start = as_of + self.bundle.manifest.lead_time_days * MICROSECONDS_PER_DAY

        def instant(silent: float) -> int | None:
            days = float(self.bundle.model.curve.days_until(curve, silent)[0])
            return None if math.isnan(days) else start + int(days * MICROSECONDS_PER_DAY)

        tail = (1.0 - NEXT_PURCHASE_COVERAGE) / 2.0
        return NextPurchase(instant(0.5), instant(1.0 - tail), instant(tail))

    def explain_row(
        self,
        row: NDArray[np.float64],
        contributions: NDArray[np.float64],
        band: str,
        *,
        max_reasons: int,
        language: Language,
    ) -> tuple[tuple[Reason, ...], Action]:
        """Reasons and a suggestion for one scored row of input columns."""
        named = dict(zip(self.schema.names, row.tolist(), strict=True))
        found = reasons(
            named,
            contributions.tolist(),
            schema=self.schema,
            max_reasons=len(self.schema.families),
            language=language,
            currency=self.bundle.manifest.currency,
        )
        # The suggestion looks at the three main reasons however few the caller wants to read.
        return found[:max_reasons], suggest(named, band, found[:3], language)

    def _status(self, known: NDArray[np.float64]) -> NDArray[np.int8]:
        status = np.full(len(known), STATUSES.index("insufficient_history"), dtype=np.int8)
        if not self.schema.loop:
            enough = self.bundle.manifest.minimum_features
            status[(~np.isnan(known)).sum(axis=1) >= enough] = STATUSES.index("scored")
            return status
        silence = known[:, _SILENCE]
        status[silence <= self.bundle.manifest.inactivity_days] = STATUSES.index("scored")
        status[silence > self.bundle.manifest.inactivity_days] = STATUSES.index("lapsed")
        return status

    def _is_one_time(self, known: NDArray[np.float64]) -> NDArray[np.bool_]:
        if not self.schema.loop:
            return np.zeros(len(known), dtype=np.bool_)
        return np.asarray(known[:, _ONE_TIME] == 1.0)

    def _masked(self, X: NDArray[np.float64], feeds: frozenset[Feed] | None) -> NDArray[np.float64]:
        """The features that both the model and the caller have; the others are missing."""
        known = np.array(X, dtype=np.float64)
        if self.schema.loop:
            mask_absent_feeds(known, self.feeds if feeds is None else feeds & self.feeds)
        return known


def _known_interval(ends: NDArray[np.float64]) -> tuple[float, float] | None:
    return None if np.isnan(ends).any() else (float(ends[0]), float(ends[1]))


def _missing(names: Sequence[str]) -> list[str]:
    return [f"missing features: {', '.join(names)}"] if names else []


def _or_nan(references: Mapping[str, object], name: str, bound: str) -> float:
    number = getattr(references.get(name), bound, None)
    return float("nan") if number is None else float(number)
