"""What `keepwell check` says beyond what the log holds: what to ask of it, what to expect.

The suggestions come from the gaps between purchases (`training.suggestions`); here they are tried.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.by_setting import Table, tabulate
from training.config import Config
from training.gaps import Gaps
from training.ingest import Ingested
from training.progress import Progress, Silent
from training.rehearsal import Rehearsal, rehearse
from training.seasons import Seasons, seasons
from training.trials import sample_of


@dataclass(frozen=True, slots=True)
class Advice:
    """What trying the problem on the log showed.

    Attributes
    ----------
    gaps : Gaps
        How soon customers come back.
    tables : tuple of Table
        By horizon, lead time and inactivity; empty where the log has room for none.
    seasons : Seasons
        How the churn rate moves with the date.
    rehearsal : Rehearsal
        Whether training would refuse the log.
    share : float
        Of the customers that were looked at, in (0, 1].
    """

    gaps: Gaps
    tables: tuple[Table, ...]
    seasons: Seasons
    rehearsal: Rehearsal
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        rows = {table.key: table.rows() for table in self.tables}
        said = {table.key: table.sentence for table in self.tables}
        tried = {
            f"by_{name}": rows.get(key, [])
            for name, key in (
                ("horizon", "horizon_days"),
                ("lead_time", "lead_time_days"),
                ("inactivity", "inactivity_days"),
            )
        }
        return tried | {
            "tables_say": said,
            "customers_tried": self.share,
            "churn_rate": self.seasons.to_dict(),
            "train": {
                "possible": self.rehearsal.refusal is None,
                "why_not": self.rehearsal.refusal,
                "as_of": str(self.rehearsal.as_of) if self.rehearsal.as_of else None,
                "snapshots": self.rehearsal.snapshots,
            },
        }

    def lines(self) -> Iterator[str]:
        """The same for a terminal."""
        yield from self.gaps.table()
        for table in self.tables:
            yield from table.lines()
        if self.tables and self.share < 1:
            yield f"  (tried on {self.share:.0%} of the customers, chosen at random)"
        yield from self.seasons.lines()
        yield self.rehearsal.line


def advise(config: Config, ingested: Ingested, progress: Progress | None = None) -> Advice:
    """Try the configured and the suggested problem on a log.

    Parameters
    ----------
    config : Config
        The problem and the seed.
    ingested : Ingested
        The log.
    progress : Progress, optional
        Told of the stages.
    """
    progress = progress or Silent()
    sample = sample_of(ingested)
    usability = ingested.usability
    tables = tabulate(config, sample, usability.gaps, usability.suggestions(), progress)
    return Advice(
        gaps=usability.gaps,
        tables=tables,
        seasons=seasons(sample, config.problem, config.events.zone, progress),
        rehearsal=rehearse(config, ingested, sample, progress),
        share=sample.n_buckets / ingested.n_buckets,
    )
