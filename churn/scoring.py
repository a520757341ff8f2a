"""From rows and a bundle to scores with words: the path that requests, batches and files share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from churn.answering import LOSSES, Answers
from churn.bundle import Bundle
from churn.columns import Raw
from churn.compiled import Floats, Integers
from churn.events import Event, Feed
from churn.features import absent_features
from churn.few_rows import RowNumbers, RowScorer
from churn.matrix import LAPSED, SCORED, SILENCE, MatrixScorer, any_outside
from churn.policy.advise import Advisor
from churn.policy.advise_many import ManyActions, advise_many
from churn.policy.contacts import RecentContacts
from churn.policy.crowd import Crowd
from churn.policy.default import default_policy
from churn.policy.policy import Policy
from churn.reasons import Direction, Reason
from churn.reasons_by_column import Columns
from churn.rows import CustomerRow, Rows
from churn.scores import BANDS, STATUSES, CustomerScore, MatrixScores
from churn.words import Language

__all__ = ["BANDS", "STATUSES", "CustomerRow", "CustomerScore", "MatrixScores", "Scorer"]

NEXT_PURCHASE_COVERAGE = 0.8
_TAIL = (1.0 - NEXT_PURCHASE_COVERAGE) / 2.0
_SILENT = (0.5, 1.0 - _TAIL, _TAIL)
_NONE = np.empty(0, dtype=np.int64)


class Scorer(MatrixScorer):
    """Scores with one bundle; immutable, safe to share between threads.

    Parameters
    ----------
    bundle : Bundle
        A verified model.
    policy : Policy, optional
        What may be done about customers; by default the one that comes with the package.

    Attributes
    ----------
    rows : Rows
        Makes the rows that `score_rows` takes.
    policy : Policy
        Whose actions are suggested.
    advisor : Advisor
        Suggests them.
    answers : Answers
        Puts what it finds of one customer into words.
    """

    def __init__(self, bundle: Bundle, policy: Policy | None = None) -> None:
        super().__init__(bundle)
        names = self.schema.names
        self.rows = Rows(self.schema, bundle.manifest)
        self.policy = default_policy() if policy is None else policy
        self.advisor = Advisor(self.policy, self.schema, bundle.manifest)
        references = {entry.name: entry.reference for entry in bundle.manifest.features}
        self._low = np.array([_or_nan(references, name, "minimum") for name in names])
        self._high = np.array([_or_nan(references, name, "maximum") for name in names])
        self._few = RowScorer(bundle, _SILENT) if RowScorer.is_for(bundle) else None
        self.answers = Answers(bundle, self.policy, self.advisor)

    def with_policy(self, policy: Policy) -> "Scorer":
        """The same model with another policy."""
        return self if policy is self.policy else Scorer(self.bundle, policy)

    def score_events(
        self, customer_id: str, events: Sequence[Event], as_of: int, **how: Any
    ) -> CustomerScore:
        """Score one customer from events: `Rows.of_events`, scored."""
        return self.score_rows([self.rows.of_events(customer_id, events, as_of, **how)])[0]

    def score_features(
        self, customer_id: str, named: Mapping[str, Raw], as_of: int, **how: Any
    ) -> CustomerScore:
        """Score one customer from ready features: `Rows.of_features`, scored."""
        return self.score_rows([self.rows.of_features(customer_id, named, as_of, **how)])[0]

    def score_rows(self, rows: Sequence[CustomerRow]) -> list[CustomerScore]:
        """Score customers, all of one set of feeds in one block; answers in the rows' order."""
        if len(rows) == 1:
            return self._of_same_feeds(rows)
        together: dict[frozenset[Feed] | None, list[int]] = {}
        for at, row in enumerate(rows):
            together.setdefault(row.feeds, []).append(at)
        if len(together) == 1:
            return self._of_same_feeds(rows)
        scores: dict[int, CustomerScore] = {}
        for places in together.values():
            found = self._of_same_feeds([rows[at] for at in places])
            scores.update(zip(places, found, strict=True))
        return [scores[at] for at in range(len(rows))]

    def unknown(self, customer_id: str, as_of: int) -> CustomerScore:
        """Answer for a customer of whom nothing is stored: no probability."""
        return self.answers.unknown(customer_id, as_of)

    def days_until_purchase(self, curve: Floats) -> Floats:
        """Median, earliest and latest day of the next purchase, shape (n, 3).

        Counted from the end of the lead time; NaN beyond the curve's end.
        """
        return self.bundle.model.curve.days_until(curve, *_SILENT)

    def outside(self, X: Floats) -> dict[str, int]:
        """How many of n rows lie beyond training's range, by name of the column."""
        counts = np.count_nonzero((X < self._low) | (X > self._high), axis=0).tolist()
        return {name: n for name, n in zip(self.schema.names, counts, strict=True) if n}

    def crowd(
        self,
        X: Floats,
        scores: MatrixScores,
        main_families: Integers,
        earliest: Floats,
        customer_id: Sequence[str],
        as_of: Integers,
        *,
        channels: Sequence[frozenset[str] | None] | None = None,
        contacts: RecentContacts | None = None,
    ) -> Crowd:
        """What is known of n scored customers who are to be advised.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns.
        scores : MatrixScores
            What `score_matrix` gave for them.
        main_families : ndarray of int64, shape (n, 3)
            As in `churn.reasons_by_column.ManyReasons`.
        earliest : ndarray of float64, shape (n,)
            The second column of `days_until_purchase`.
        customer_id : sequence of str, length n
            Identifiers.
        as_of : ndarray of int64, shape (n,)
            Microseconds since 1970-01-01 UTC.
        channels, contacts
            As in `churn.policy.crowd.Crowd`.
        """
        return Crowd(
            customer_id=customer_id,
            as_of=as_of,
            columns=Columns(X, self.schema.position),
            probability=scores.probability,
            earliest=earliest,
            band=scores.band,
            is_lapsed=scores.status == LAPSED,
            families=self.schema.families,
            main=main_families,
            value=scores.value,
            segment=scores.segment,
            categories=LOSSES,
            category=scores.category.astype(np.int64) % len(LOSSES),
            channels=channels,
            contacts=contacts,
        )

    def advise_matrix(self, *arguments: Any, alternatives: bool = False, **how: Any) -> ManyActions:
        """Suggest what to do about n scored customers: what each would be told alone.

        Takes what `crowd` takes, and `alternatives` as `advise_many`.
        """
        crowd = self.crowd(*arguments, **how)
        return advise_many(self.advisor, crowd, alternatives=alternatives)

    def explain_row(
        self,
        row: Floats,
        contributions: Floats,
        *,
        max_reasons: int,
        language: Language,
        direction: Direction = "raises",
    ) -> tuple[Reason, ...]:
        """Reasons for one scored row of input columns."""
        named = dict(zip(self.schema.names, row.tolist(), strict=True))
        listed = contributions.tolist()
        return self.answers.reasons(named, listed, max_reasons, direction, language)

    def _of_same_feeds(self, rows: Sequence[CustomerRow]) -> list[CustomerScore]:
        """Score rows of the same feeds."""
        feeds = rows[0].feeds
        X = np.array([row.numbers for row in rows])
        self.schema.mask_absent(X, feeds)
        listed: list[list[float]] = X.tolist()
        present = self.feeds if feeds is None else feeds & self.feeds
        have = [self._has_probability(numbers, present) for numbers in listed]
        if self._few is None or not all(have):
            return self._block(rows, X, listed)
        missing = absent_features(present) if self.schema.loop else _NONE
        found = self._few.score(X, missing, self._absent(present))
        beyond = self._beyond(X)
        medium, high = self.bundle.manifest.thresholds.medium, self.bundle.manifest.thresholds.high
        return [
            self.answers.answer(
                row,
                numbers,
                SCORED,
                (one.probability >= medium) + (one.probability >= high),
                one,
                beyond.get(at, ()),
            )
            for at, (row, numbers, one) in enumerate(zip(rows, listed, found, strict=True))
        ]

    def _has_probability(self, numbers: Sequence[float], present: frozenset[Feed]) -> bool:
        """Whether a row is neither of a lapsed customer nor of one too little is known of."""
        manifest = self.bundle.manifest
        if self.schema.loop:
            return Feed.ORDERS in present and numbers[SILENCE] <= manifest.inactivity_days
        return len(numbers) - sum(map(math.isnan, numbers)) >= manifest.minimum_features

    def _block(
        self, rows: Sequence[CustomerRow], X: Floats, listed: Sequence[list[float]]
    ) -> list[CustomerScore]:
        """Score rows of the same feeds, whatever they and the model are like."""
        # What the model never saw moves no probability, but an open complaint is acted on.
        scores = self.score_matrix(X, feeds=rows[0].feeds)
        beyond = self._beyond(X)
        assert scores.contributions is not None
        found = map(
            RowNumbers,
            scores.probability.tolist(),
            scores.value.tolist(),
            scores.segment.tolist(),
            scores.category.tolist(),
            scores.interval.tolist(),
            scores.curve.tolist(),
            self.days_until_purchase(scores.curve).tolist(),
            scores.contributions.tolist(),
        )
        told = zip(rows, listed, scores.status.tolist(), scores.band.tolist(), found, strict=True)
        return [self.answers.answer(*one, beyond.get(at, ())) for at, one in enumerate(told)]

    def _beyond(self, X: Floats) -> dict[int, list[int]]:
        """Which numbers of which rows lie beyond training's range."""
        beyond: dict[int, list[int]] = {}
        if any_outside(X, self._low, self._high):
            found = ((X < self._low) | (X > self._high)).nonzero()
            for at, where in zip(*(places.tolist() for places in found), strict=True):
                beyond.setdefault(at, []).append(where)
        return beyond


def _or_nan(references: Mapping[str, object], name: str, bound: str) -> float:
    number = getattr(references.get(name), bound, None)
    return float("nan") if number is None else float(number)
