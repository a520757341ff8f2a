"""Options that several commands share, so that each is spelt, read and explained once."""

from datetime import date, datetime
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

DEFAULT_CONFIG = Path("keepwell.toml")
DEFAULT_MODELS = Path("models")


def instant(text: str) -> datetime:
    """Read an ISO date or time; without a zone it is one of the log's."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None


def day(text: str) -> date:
    """Read an ISO date."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2011-10-10") from None
