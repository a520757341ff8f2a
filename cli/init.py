"""Write a commented keepwell.toml and policy.toml to start from."""

from pathlib import Path
from typing import Annotated

import typer

from churn.errors import ConfigError
from cli.output import say


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the files; made if absent.")
    ],
) -> None:
    """Write DIR/keepwell.toml and DIR/policy.toml; a file that exists stays as it is."""
    from churn.policy.default import DEFAULT
    from training.config import template

    config = directory / "keepwell.toml"
    written = [
        path
        for path, text in ((config, template()), (directory / "policy.toml", DEFAULT))
        if _write(path, text)
    ]
    if not written:
        raise ConfigError(f"{config} and policy.toml exist already and are left as they are")
    say(
        [
            *(f"wrote {path}" for path in written),
            f"next: put your query into {config}, then: keepwell check -c {config}",
        ]
    )


def _write(path: Path, text: str) -> bool:
    """Write a new file; False where there is one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if not path.parent.is_dir():
            raise ConfigError(f"{path.parent} exists already and is no folder") from None
        return False
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
    return True
