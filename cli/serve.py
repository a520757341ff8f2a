"""Serve scores over HTTP from the current model."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on. Default: KEEPWELL_HOST, else loopback."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port. Default: KEEPWELL_PORT, else 8000."),
    ] = None,
    models_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of published models. Default: KEEPWELL_MODELS_DIR, else models."),
    ] = None,
) -> None:
    """Run until interrupted."""
    from service import settings

    chosen = settings.load(host=host, port=port, models_dir=models_dir)
    # Where SciPy is installed Numba loads it: 16 MB and a quarter of a second, for nothing here.
    sys.modules.setdefault("scipy", None)  # type: ignore[arg-type]
    from service.server import run

    if sys.modules["scipy"] is None:
        del sys.modules["scipy"]  # a plan loads it when one is asked for

    run(chosen)
