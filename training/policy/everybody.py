"""Everybody of a log as a policy sees them: scored, a bucket of customers at a time."""

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np

from churn.policy.crowd import Crowd
from churn.reasons_by_column import many_reasons
from churn.scoring import Scorer
from training.bulk import (
    BUCKETS,
    check_reads_events,
    contacts_of,
    in_threads,
    inputs,
    scored_as_of,
)
from training.calendar import instant
from training.config import Config
from training.ingest import ingest
from training.progress import Progress, Silent


def crowds(
    config: Config,
    scorer: Scorer,
    *,
    as_of: datetime | None,
    now: datetime,
    progress: Progress | None = None,
) -> Iterator[Crowd]:
    """Every customer of the log, ready to be advised, in the order of the buckets.

    Parameters
    ----------
    config : Config
        The log.
    scorer : Scorer
        The model, and the policy.
    as_of : datetime, optional
        When the end of the log is not meant.
    now : datetime
        Later events are rejected.
    progress : Progress, optional
        Told of each bucket.

    Raises
    ------
    DataError
        The log cannot be used, or the model reads no events.
    """
    progress = progress or Silent()
    check_reads_events(config, scorer)
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(
            config, Path(work), now_us=instant(now), progress=progress, n_buckets=BUCKETS
        )
        when = scored_as_of(config, ingested, scorer, as_of, progress)
        progress.stage("scoring", ingested.n_buckets)

        def one(k: int) -> Crowd:
            log = ingested.bucket(k)
            X = inputs(ingested, k, log, when, scorer)
            scores = scorer.score_matrix(X, feeds=ingested.feeds)
            assert scores.contributions is not None
            why = many_reasons(
                X,
                scores.contributions,
                schema=scorer.schema,
                max_reasons=0,
                language="en",
                currency=scorer.bundle.manifest.currency,
            )
            as_ofs = np.full(len(X), when, dtype=np.int64)
            return scorer.crowd(
                X,
                scores,
                why.main_families,
                scorer.days_until_purchase(scores.curve)[:, 1],
                log.customer_ids.tolist(),
                as_ofs,
                contacts=contacts_of(log, scorer.policy, as_ofs),
            )

        for crowd in in_threads(one, range(ingested.n_buckets)):
            progress.advance()
            if len(crowd.customer_id):
                yield crowd
