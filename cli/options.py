"""Options that several commands share, so that each is spelt, read and explained once."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="The keepwell.toml that maps and describes the log.")
]
ModelsDir = Annotated[
    Path,
    typer.Option("--models-dir", envvar="KEEPWELL_MODELS_DIR", help="Folder of published models."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]

DEFAULT_CONFIG = Path("keepwell.toml")
DEFAULT_MODELS = Path("models")


def instant(text: str) -> datetime:
    """Read an ISO date or time; without a zone it is UTC.

    Examples
    --------
    >>> instant("2011-10-10").isoformat()
    '2011-10-10T00:00:00+00:00'
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def day(text: str) -> date:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None
