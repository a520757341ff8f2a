"""Options that several commands share, so that each is spelt, read and explained once."""

from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Annotated

import typer

_FORMATS = (".parquet", ".csv", ".ndjson")
"""Of files with a row per customer."""


def instant(text: str) -> datetime:
    """Read an ISO date or time; without a zone it is one of the log's."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None


def in_zone(at: datetime | None, zone: tzinfo) -> datetime | None:
    """What `instant` read, in this zone where it was given none."""
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=zone)


def day(text: str) -> date:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None


def _of_customers(out: Path) -> Path:
    """Refuse the name of a file that no format goes by."""
    if out.suffix not in _FORMATS:
        raise typer.BadParameter(f"it must end in {', '.join(_FORMATS)}, not {out.name!r}")
    return out


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

PolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--policy",
        envvar="KEEPWELL_POLICY_FILE",
        help="A policy.toml; by default what comes with Keepwell.",
    ),
]

SigningKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--signing-key",
        envvar="KEEPWELL_SIGNING_KEY_FILE",
        help="A private key of `keepwell models keygen`: the model is signed with it.",
    ),
]

AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        parser=instant,
        metavar="DATE",
        help="As of then, in the log's time zone. Default: its end.",
    ),
]

OfCustomers = Annotated[
    Path,
    typer.Option(
        "--out",
        callback=_of_customers,
        help="A .parquet, .csv or .ndjson file: a row per customer.",
    ),
]

DEFAULT_CONFIG = Path("keepwell.toml")
DEFAULT_MODELS = Path("models")
