"""Report whether the event log can carry a model, and what stands in the way."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.extras import training_extra
from cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from cli.output import print_json, say
from cli.progress import progress

if TYPE_CHECKING:
    from training.table.config import TableConfig


def check(
    config: ConfigFile = DEFAULT_CONFIG,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            help="Where rejected rows go, with the reason. "
            "Default: quarantine.parquet beside the configuration."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the log, set aside what is unusable, suggest horizon, lead time and inactivity.

    Each suggestion comes with its reason, and is tried: how churn rate, ROC AUC and lift move with
    it. The last line says whether `train` would accept the log. The exit code is 0 wherever there
    is something to report on; scripts read `train.possible` in the JSON. A ready table is looked
    through for what is missing, repeated, constant or an identifier.
    """
    with training_extra():
        from training.ingest import ingest
        from training.problem_advice import advise
        from training.settings import read
        from training.table.config import TableConfig
    settings = read(config)
    if isinstance(settings, TableConfig):
        _check_table(settings, quarantine, as_json)
        return
    target = quarantine or settings.base_dir / "quarantine.parquet"
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work, progress() as listener:
        now_us = time.time_ns() // 1000
        ingested = ingest(settings, Path(work), now_us=now_us, progress=listener)
        kept = ingested.keep_quarantine(target)
        kept_own = ingested.keep_own_quarantine(target)
        advice = advise(settings, ingested, listener)
    own = None if ingested.own is None else ingested.own.report
    if as_json:
        features = own and {**own.to_dict(), "quarantine": kept_own}
        report = {**ingested.usability.to_dict(), **advice.to_dict()}
        print_json({**report, "quarantine": kept, "features": features})
        return
    say(ingested.lines())
    say(advice.lines())
    if kept is not None:
        say([f"the {ingested.rejected:,} quarantined rows, each with its reason: {kept}"])
    if own is not None and kept_own is not None:
        say([f"the {own.rejected:,} of [features]: {kept_own}"])


def _check_table(settings: "TableConfig", quarantine: Path | None, as_json: bool) -> None:
    from training.table.rows import read
    from training.table.usability import assess

    now_us = time.time_ns() // 1000
    with progress() as listener:
        listener.stage("reading the table")
        given = read(settings, now_us=now_us)
    usability = assess(given, settings.problem, now_us)
    kept = given.keep_quarantine(quarantine or settings.base_dir / "quarantine.parquet")
    if as_json:
        print_json({**usability.to_dict(), "quarantine": kept})
        return
    say(usability.lines())
    if kept is not None:
        say([f"the {len(given.rejected):,} quarantined rows, each with its reason: {kept}"])
