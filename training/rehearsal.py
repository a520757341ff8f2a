"""Whether `keepwell train` would refuse a log for being too short or too small, and why.

It asks the very code that training asks, on counts of customers instead of their features.
"""

from dataclasses import dataclass
from datetime import date

from churn.errors import TooLittleData
from training.calendar import Calendar, date_of
from training.config import Config
from training.fit import check_counts
from training.ingest import Ingested
from training.progress import Progress, Silent
from training.snapshots import count_outcomes


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What training would do.

    Attributes
    ----------
    refusal : str or None
        What `train` would say instead of learning.
    as_of : date or None
        The date it would be judged on.
    snapshots : int
        Dates it could learn from by then.
    """

    refusal: str | None
    as_of: date | None = None
    snapshots: int = 0

    @property
    def line(self) -> str:
        """The verdict in one sentence."""
        if self.refusal is not None:
            return f"verdict: `keepwell train` will refuse this log: {self.refusal}"
        return (
            f"verdict: `keepwell train` can learn from this log ({self.snapshots} snapshot dates "
            f"before it is judged as of {self.as_of})"
        )


def rehearse(
    config: Config, ingested: Ingested, sample: Ingested, progress: Progress | None = None
) -> Rehearsal:
    """Ask whether there is enough to learn from.

    Parameters
    ----------
    config : Config
        The problem.
    ingested, sample : Ingested
        The log, and a part of its customers: where these are enough, all of them are.
    progress : Progress, optional
        Told of each bucket.
    """
    calendar = Calendar.of(config, ingested)
    progress = progress or Silent()
    try:
        as_of = calendar.last_test_date()
        dates = calendar.training_dates(as_of)
        try:
            _check(config, sample, calendar, as_of, progress)
        except TooLittleData:
            if sample.n_buckets == ingested.n_buckets:
                raise
            _check(config, ingested, calendar, as_of, progress)
    except TooLittleData as error:
        return Rehearsal(str(error))
    return Rehearsal(None, date_of(as_of, config.events.zone), len(dates))


def _check(
    config: Config, ingested: Ingested, calendar: Calendar, as_of: int, progress: Progress
) -> None:
    for made_at in (as_of, ingested.complete_until):
        counts, customers = count_outcomes(
            ingested,
            calendar.training_dates(made_at),
            config.problem,
            known_until=made_at,
            progress=progress,
        )
        rows = sum(n for n, _ in counts.values())
        check_counts(rows, sum(churned for _, churned in counts.values()), customers)
    counts, customers = count_outcomes(ingested, [as_of], config.problem, progress=progress)
    n, churned = counts[as_of]
    if churned in {0, n}:
        check_counts(n, churned, customers)
