"""Score everybody in the log, or in a ready table, file to file."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from cli.extras import training_extra
from cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_MODELS,
    AsJson,
    AsOf,
    ConfigFile,
    ModelsDir,
    OfCustomers,
    PolicyFile,
    in_zone,
)
from cli.output import print_json, say
from cli.progress import progress
from cli.signing import keys


class Language(StrEnum):
    """Languages that reasons are written in."""

    EN = "en"
    RU = "ru"


def score(
    out: OfCustomers,
    config: ConfigFile = DEFAULT_CONFIG,
    as_of: AsOf = None,
    reasons: Annotated[int, typer.Option(min=0, max=8, help="Reasons per customer.")] = 3,
    language: Annotated[Language, typer.Option(help="Of the reasons' texts.")] = Language.EN,
    policy: PolicyFile = None,
    models_dir: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Write a row per customer with probability, band, reasons and action.

    A .csv is sorted for a manager.
    """
    with training_extra():
        from training.bulk import BulkResult
        from training.bulk import score as score_events
        from training.settings import read
        from training.table.config import TableConfig
        from training.table.score import score as score_table
    from service.policies import read as read_policy

    settings = read(config)
    zone: tzinfo = UTC
    score_everybody: Callable[..., BulkResult]
    if isinstance(settings, TableConfig):
        score_everybody = partial(score_table, settings)
    else:
        score_everybody, zone = partial(score_events, settings), settings.events.zone
    trusted = keys()
    with progress() as listener:
        result = score_everybody(
            models_dir,
            as_of=in_zone(as_of, zone),
            out=out,
            now=datetime.now(UTC),
            reasons=reasons,
            language=language.value,
            policy=None if policy is None else read_policy(policy),
            keys=trusted,
            progress=listener,
        )
    if as_json:
        print_json(result)
    else:
        say([f"wrote {result.rows:,} customers to {result.path} in {result.seconds:.1f} s"])
