"""Write the published HTTP contract."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import say


def openapi(
    out: Annotated[Path, typer.Option("--out", help="Folder for openapi.json.")] = Path("openapi"),
) -> None:
    """Write openapi.json, the same for every model and every setting."""
    from service.openapi import write

    say([f"wrote {write(out)}"])
