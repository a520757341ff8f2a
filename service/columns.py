"""Many customers scored by column: the same answers as row by row, at a third of the cost."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.columns import UNSEEN
from churn.compiled import Booleans, Floats, Integers
from churn.events import MICROSECONDS_PER_DAY, Feed
from churn.policy.advise_many import ManyActions
from churn.policy.contacts import RecentContacts
from churn.policy.situation import MOST_REASONS
from churn.policy.why_many import whys
from churn.reasons import Direction
from churn.reasons_by_column import ManyReasons, many_reasons
from churn.scores import STATUSES, MatrixScores
from churn.scoring import Scorer
from churn.words import Language
from service.answers import MODE_BATCH
from service.metrics import Metrics


class Told(NamedTuple):
    """How the answers are to be told, for all rows."""

    max_reasons: int
    direction: Direction
    language: Language
    feeds: frozenset[Feed] | None


class Customers(NamedTuple):
    """Who is scored, as of when, and what is known of each beside the numbers.

    Attributes
    ----------
    customer_id : sequence of str, length n
        Opaque identifiers.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    channels : sequence of frozenset of str or None, length n, or None
        The channels that each allows; None where nobody was asked.
    contacts : RecentContacts or None
        What was delivered to each lately; None where nothing is known of that.
    """

    customer_id: Sequence[str]
    as_of: Integers
    channels: Sequence[frozenset[str] | None] | None = None
    contacts: RecentContacts | None = None


class Answers(NamedTuple):
    """Scores of n customers.

    `numbers` has what the model read; `next_purchase` instants in microseconds since 1970 UTC,
    shape (n, 3): median, earliest, latest, NaN where there is none; `unseen` which rows have a
    category that training did not meet, by name of the column; `warned` what there is to be said of
    each customer's channels, None where nothing is; `why` the sentences about the actions, None
    where no reasons are asked for.
    """

    scores: MatrixScores
    numbers: Floats
    reasons: ManyReasons
    action: ManyActions
    next_purchase: Floats
    unseen: dict[str, Booleans]
    warned: list[tuple[str, ...]] | None
    why: NDArray[np.object_] | None


def score(scorer: Scorer, customers: Customers, numbers: Floats, told: Told) -> Answers:
    """Score checked input columns, shape (n, n_inputs), as `Scorer.score_rows` does their rows."""
    return score_settled(scorer, customers, scorer.rows.settled(numbers), told)


def score_settled(scorer: Scorer, customers: Customers, X: Floats, told: Told) -> Answers:
    """Score the numbers of rows that `Scorer.rows` made; they are written to."""
    scorer.schema.mask_absent(X, told.feeds)
    scores = scorer.score_matrix(X, feeds=told.feeds)
    assert scores.contributions is not None
    schema = scorer.schema
    manifest = scorer.bundle.manifest
    reasons = partial(
        many_reasons,
        X,
        scores.contributions,
        schema=schema,
        language=told.language,
        currency=manifest.currency,
    )
    # An action goes by the main reasons that raise the risk, whatever is shown.
    raising = reasons(max_reasons=told.max_reasons and max(told.max_reasons, MOST_REASONS))
    shown = raising.first(told.max_reasons)
    if told.direction != "raises":
        shown = reasons(max_reasons=told.max_reasons, direction=told.direction)
    days = scorer.days_until_purchase(scores.curve)
    action = scorer.advise_matrix(
        X,
        scores,
        raising.main_families,
        days[:, 1],
        customers.customer_id,
        customers.as_of,
        channels=customers.channels,
        contacts=customers.contacts,
        alternatives=True,
    )
    why = None
    if told.max_reasons:
        why = whys(scorer.advisor, action, scores.band, raising, schema.families, told.language)
    lead = manifest.lead_time_days * MICROSECONDS_PER_DAY
    start = (customers.as_of + lead).astype(np.float64)
    until = np.trunc(days * MICROSECONDS_PER_DAY)
    unseen = {schema.names[at]: X[:, at] == UNSEEN for at in scorer.schema.coded}
    warned = None
    if customers.channels is not None:
        warned = [scorer.answers.channel_warnings(channels) for channels in customers.channels]
    return Answers(scores, X, shown, action, start[:, None] + until, unseen, warned, why)


def count(
    metrics: Metrics, scorer: Scorer, numbers: Floats, told: Told, answers: Answers, seconds: float
) -> None:
    """Tell the metrics of all answers, as each would be told of alone."""
    scores = answers.scores
    for at, n in enumerate(np.bincount(scores.status, minlength=len(STATUSES)).tolist()):
        if n:
            metrics.predict_rows[MODE_BATCH, STATUSES[at]].inc(n)
    histogram = metrics.probability[scorer.bundle.version]
    for probability in scores.probability[scores.band >= 0].tolist():
        histogram.observe(probability)
    clues = answers.reasons.clues
    for at, n in enumerate(np.bincount(answers.reasons.clue, minlength=len(clues)).tolist()):
        if n:
            metrics.reasons[clues[at].code].inc(n)
    for withheld, label in ((False, "false"), (True, "true")):
        suggested = answers.action.code[answers.action.holdout == withheld]
        for at, n in enumerate(np.bincount(suggested[suggested >= 0]).tolist()):
            if n:
                metrics.actions[answers.action.codes[at], label].inc(n)
    missing = scorer.rows.inputs.missing_counts(numbers, told.feeds)
    count_features(metrics, scorer, missing, answers.numbers)
    metrics.batch_rows.observe(len(numbers))
    metrics.predict_duration_seconds[MODE_BATCH].observe(seconds)


def count_features(metrics: Metrics, scorer: Scorer, missing: Mapping[str, int], X: Floats) -> None:
    """Tell the metrics what there is to be said of scored customers' features.

    Parameters
    ----------
    metrics : Metrics
        What is told.
    scorer : Scorer
        What scored them.
    missing : mapping of str to int
        How many lack a column that was expected, by name of the column.
    X : ndarray of float64, shape (n, n_inputs)
        What the model read.
    """
    for name, n in missing.items():
        metrics.feature_missing[name].inc(n)
    for name, n in scorer.outside(X).items():
        metrics.feature_out_of_range[name].inc(n)
    for at in scorer.schema.coded:
        n = int(np.count_nonzero(X[:, at] == UNSEEN))
        if n:
            metrics.feature_unseen[scorer.schema.names[at]].inc(n)


def timed_score(
    metrics: Metrics, scorer: Scorer, customers: Customers, numbers: Floats, told: Told
) -> Answers:
    """Score and count."""
    started = time.perf_counter()
    answers = score(scorer, customers, numbers, told)
    count(metrics, scorer, numbers, told, answers, time.perf_counter() - started)
    return answers
