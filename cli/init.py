"""Write a commented keepwell.toml to start from."""

from pathlib import Path
from typing import Annotated

import typer

from churn.errors import ConfigError
from cli.output import say


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the file; made if absent.")
    ],
) -> None:
    """Write DIR/keepwell.toml; an existing file stays as it is."""
    from training.config import template

    path = directory / "keepwell.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        what = path if path.exists() else directory
        raise ConfigError(f"{what} exists already and is left as it is") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    say([f"wrote {path}", f"next: put your query into it, then: keepwell check -c {path}"])
