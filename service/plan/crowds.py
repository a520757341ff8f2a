"""From rows that are ready to be scored to what a plan may choose from, and remembers."""

from collections.abc import Callable

from churn.policy.contacts import recent_of_each
from churn.policy.situation import MOST_REASONS
from churn.reasons_by_column import many_reasons
from churn.scores import MatrixScores
from churn.scoring import Scorer
from service.jobs.prepared import Block
from service.plan.noted import Noted, noted
from service.plan.options import Options, options_of


def options_of_block(
    scorer: Scorer,
    block: Block,
    *,
    record: bool,
    seen: Callable[[Block, MatrixScores], object],
) -> tuple[Options, Noted | None]:
    """Score a block of rows and weigh what may be done about each; its numbers are written to.

    `seen` is told of the block, whose numbers are then what the model read, and of its scores.

    Returns
    -------
    Options
        What may be done.
    Noted or None
        What is to be remembered, if the plan is to be recorded.
    """
    X, told = block.numbers, block.told
    sent = X.copy() if record else X
    scorer.schema.mask_absent(X, told.feeds)
    scores = scorer.score_matrix(X, feeds=told.feeds)
    assert scores.contributions is not None
    seen(block, scores)
    why = many_reasons(
        X,
        scores.contributions,
        schema=scorer.schema,
        max_reasons=MOST_REASONS if record else 0,
        language=told.language,
        currency=scorer.bundle.manifest.currency,
    )
    contacts = None
    if block.contacts is not None:
        contacts = recent_of_each(scorer.policy, block.contacts, block.as_of)
    crowd = scorer.crowd(
        X,
        scores,
        why.main_families,
        scorer.days_until_purchase(scores.curve)[:, 1],
        block.customer_id,
        block.as_of,
        channels=block.channels,
        contacts=contacts,
    )
    options = options_of(scorer.advisor, crowd)
    if not record:
        return options, None
    return options, noted(scorer, sent, crowd, options.situation, why, told.language)
