"""Make up a shop: an event log, the truth behind it, and a ready keepwell.toml."""

from pathlib import Path
from typing import Annotated

import typer

from cli.extras import training_extra
from cli.options import AsJson
from cli.output import print_json, say
from cli.progress import progress


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder for the three files.")],
    customers: Annotated[int, typer.Option(min=1, help="How many customers.")] = 10_000,
    months: Annotated[int, typer.Option(min=3, help="How many months.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same shop.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Write events.parquet, truth.parquet and keepwell.toml of a simulated shop."""
    with training_extra():
        from training.simulate import simulate as make_up
    with progress() as listener:
        result = make_up(customers, months, seed, out, progress=listener)
    if as_json:
        print_json(result)
    else:
        say(
            [
                f"wrote {result.events:,} events of {result.customers:,} customers "
                f"to {result.path}",
                f"next: keepwell train -c {result.path / 'keepwell.toml'}",
            ]
        )
