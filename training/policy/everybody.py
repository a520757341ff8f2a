"""Everybody of a log as a policy sees them: scored, a bucket of customers at a time."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

import numpy as np

from churn.compiled import Floats, Integers
from churn.events import EventLog
from churn.policy.contacts import Contact, RecentContacts, recent_of_each
from churn.policy.crowd import Crowd
from churn.reasons_by_column import ManyReasons, many_reasons
from churn.scoring import Scorer
from training.bulk import bucketed, contacts_of, in_threads, inputs, told_contacts
from training.config import Config
from training.progress import Progress, Silent

T = TypeVar("T")

Contacts = tuple[Contact, ...]
Join = Callable[[Sequence[str], Sequence[Contacts], int], Sequence[Contacts]]
"""Adds what else is known of contacts to what the log tells, given customers and `as_of`."""


class Scored(NamedTuple):
    """Some customers: as a policy sees them, the input columns, and the main reasons."""

    crowd: Crowd
    numbers: Floats
    reasons: ManyReasons


def scored(
    config: Config,
    scorer: Scorer,
    take: Callable[[Scored], T],
    *,
    as_of: datetime | None,
    now: datetime,
    max_reasons: int = 0,
    join: Join | None = None,
    progress: Progress | None = None,
) -> Iterator[T]:
    """What becomes of every customer of the log, in the order of the buckets.

    Parameters
    ----------
    config : Config
        The log.
    scorer : Scorer
        The model, and the policy.
    take : callable
        What to make of some customers; called in several threads.
    as_of : datetime, optional
        When the end of the log is not meant.
    now : datetime
        Later events are rejected.
    max_reasons : int, optional
        How many reasons are put into words.
    join : callable, optional
        Tells of more contacts; called in several threads.
    progress : Progress, optional
        Told of each bucket.

    Raises
    ------
    DataError
        The log cannot be used, or the model reads no events.
    """
    progress = progress or Silent()
    with bucketed(config, scorer, as_of=as_of, now=now, progress=progress) as (ingested, when):

        def one(k: int) -> T | None:
            log = ingested.bucket(k)
            if not len(log.customer_ids):
                return None
            X = inputs(ingested, k, log, when, scorer)
            scores = scorer.score_matrix(X, feeds=ingested.feeds)
            assert scores.contributions is not None
            why = many_reasons(
                X,
                scores.contributions,
                schema=scorer.schema,
                max_reasons=max_reasons,
                language="en",
                currency=scorer.bundle.manifest.currency,
            )
            as_ofs = np.full(len(X), when, dtype=np.int64)
            crowd = scorer.crowd(
                X,
                scores,
                why.main_families,
                scorer.days_until_purchase(scores.curve)[:, 1],
                log.customer_ids.tolist(),
                as_ofs,
                contacts=_contacts(log, scorer, as_ofs, join),
            )
            return take(Scored(crowd, X, why))

        for found in in_threads(one, range(ingested.n_buckets)):
            progress.advance()
            if found is not None:
                yield found


def _contacts(log: EventLog, scorer: Scorer, as_of: Integers, join: Join | None) -> RecentContacts:
    if join is None:
        return contacts_of(log, scorer.policy, as_of)
    each: list[Contacts] = [()] * len(as_of)
    row, at = told_contacts(log, as_of)
    for place, moment in zip(row.tolist(), at.tolist(), strict=True):
        each[place] = (*each[place], Contact(moment))
    joined = join(log.customer_ids.tolist(), each, int(as_of[0]))
    return recent_of_each(scorer.policy, joined, as_of)
