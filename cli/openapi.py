"""Write the published HTTP contract."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import say


def openapi(
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path(
        "openapi/openapi.json"
    ),
) -> None:
    """Write the OpenAPI document of the service."""
    from service.openapi import write

    write(out)
    say([f"wrote {out}"])
