"""Management figures of a log: `churn.retention` over its buckets, with what kind was lost."""

import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from churn.errors import DataError
from churn.events import MICROSECONDS_PER_DAY
from churn.lost import BY, LostBy, lost_by
from churn.registry import Registry
from churn.retention import Figures, Period, Tally, figures, is_lost, tally
from churn.scoring import Scorer
from churn.signing import Keys
from training.bulk import current_scorer, inputs
from training.calendar import instant
from training.config import Config
from training.ingest import Ingested, ingest
from training.progress import Progress, Silent

PERIOD_DAYS = 90


@dataclass(frozen=True, slots=True)
class Retention:
    """The figures of one period of a log.

    Attributes
    ----------
    period : Period
    currency : str
        Of the amounts.
    figures : Figures
    lost_by : dict of str to Counter, or None
        The lost by main reason, loss category and value segment, as the current model saw them at
        the period's start; None where there is no model.
    """

    period: Period
    currency: str
    figures: Figures
    lost_by: LostBy | None


def retention(
    config: Config,
    models_dir: Path,
    *,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    keys: Keys | None = None,
    progress: Progress | None = None,
) -> Retention:
    """Figures of a period, by default the last `PERIOD_DAYS` of the log.

    Parameters
    ----------
    config : Config
        The log, and who counts as a customer.
    models_dir : Path
        The registry's folder; without a current model the lost are only counted.
    start, end : datetime, optional
        Of the period, half-open.
    now : datetime
        Later events are rejected.
    keys : Keys, optional
        Who may have signed the model.
    progress : Progress, optional
        Told of the stages.

    Raises
    ------
    DataError
        The log cannot be used, or does not hold the period.
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(now), progress=progress)
        period = _period(config, ingested, start, end)
        scorer = _scorer(models_dir, keys)
        progress.stage("counting customers", ingested.n_buckets)
        counted, lost = Tally(), {name: Counter[str]() for name in BY}
        for k in range(ingested.n_buckets):
            log = ingested.bucket(k)
            counted.add(tally(log, period))
            gone = is_lost(log, period)
            if scorer is not None and gone.any():
                X = inputs(ingested, k, log, period.start, scorer)[gone]
                for name, counts in lost_by(scorer, X, ingested.feeds).items():
                    lost[name] += counts
            progress.advance()
    told = figures(counted, period, margin_rate=config.business.margin_rate)
    return Retention(period, config.business.currency, told, None if scorer is None else lost)


def _scorer(models_dir: Path, keys: Keys | None) -> Scorer | None:
    """The current model, if it reads a log."""
    if not models_dir.exists() or Registry(models_dir).current() is None:
        return None
    scorer = current_scorer(models_dir, keys=keys)
    return scorer if scorer.schema.loop else None


def _period(
    config: Config, ingested: Ingested, start: datetime | None, end: datetime | None
) -> Period:
    until = ingested.complete_until if end is None else instant(end)
    since = until - PERIOD_DAYS * MICROSECONDS_PER_DAY if start is None else instant(start)
    if since >= until:
        raise DataError("the period ends before it starts; choose --from before --to")
    if until > ingested.complete_until:
        raise DataError(
            "the log does not reach to the end of the period: it is complete until "
            f"{np.datetime64(ingested.complete_until, 'us').astype('datetime64[D]')}; choose an "
            "earlier --to"
        )
    return Period(since, until, config.problem.inactivity_days)
