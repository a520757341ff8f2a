"""What kind of customers were lost: by main reason, loss category and value segment."""

from collections import Counter
from collections.abc import Iterable, Sequence

from churn.compiled import Floats
from churn.events import Feed
from churn.loss import CATEGORIES
from churn.reasons_by_column import many_reasons
from churn.scoring import Scorer
from churn.value import SEGMENTS

BY = ("reason", "category", "segment")
NOT_KNOWN = "not_known"

LostBy = dict[str, Counter[str]]


def lost_by(scorer: Scorer, X: Floats, feeds: frozenset[Feed] | None = None) -> LostBy:
    """Count customers by what the model said of them before they were lost.

    Parameters
    ----------
    scorer : Scorer
        The model.
    X : ndarray of float64, shape (n, n_inputs)
        Input columns of the lost, as of the period's start.
    feeds : frozenset of Feed, optional
        What the log has.

    Returns
    -------
    dict of str to Counter
        By `BY`; ``not_known`` where the model says nothing.
    """
    scores = scorer.score_matrix(X, feeds=feeds)
    assert scores.contributions is not None
    why = many_reasons(
        X,
        scores.contributions,
        schema=scorer.schema,
        max_reasons=1,
        language="en",
        currency=scorer.bundle.manifest.currency,
    )
    return {
        "reason": _counted(scorer.schema.families, why.main_families[:, 0].tolist()),
        "category": _counted(CATEGORIES, scores.category.tolist()),
        "segment": _counted(SEGMENTS, scores.segment.tolist()),
    }


def _counted(names: Sequence[str], positions: Iterable[int]) -> Counter[str]:
    return Counter(NOT_KNOWN if at < 0 else str(names[at]) for at in positions)
