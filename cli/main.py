"""`keepwell`: one application, and the one place where an error becomes a line and an exit code.

Exit codes: 0 done, 1 the work failed, 2 wrong use or configuration, 130 interrupted, 143 ended.
"""

import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType
from typing import Annotated, NoReturn

import typer

from churn.errors import KeepwellError
from cli import (
    access,
    backtest,
    check,
    init,
    models,
    openapi,
    policy,
    score,
    serve,
    simulate,
    store,
    train,
)
from cli.output import complain

_ended_by: list[int] = []
"""Signals that told this process to end."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
for command in (init, simulate, check, train, backtest, score, serve, openapi):
    app.command(help=command.__doc__)(getattr(command, command.__name__.rpartition(".")[2]))
app.add_typer(models.app, name="models", help=models.__doc__)
app.add_typer(access.app, name="keys", help=access.__doc__)
app.add_typer(store.app, name="store", help=store.__doc__)
app.add_typer(policy.app, name="policy", help=policy.__doc__)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keepwell {version('keepwell')}")
        raise typer.Exit


@app.callback()
def keepwell(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere in a line).")
    ] = False,
) -> None:
    """Which customers are about to leave, why, and what is worth doing about it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Parameters
    ----------
    arguments : sequence of str
        What follows ``keepwell`` on the line.

    Returns
    -------
    int
        The exit code. Whatever went wrong has been said on stderr in one line.
    """
    debug = "--debug" in arguments
    given = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(given or ["--help"], prog_name="keepwell", standalone_mode=False)
    except (KeepwellError, typer.TyperException) as error:
        if debug:
            raise
        complain(_explained(error))
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        # Libraries wrap the interruption of their work in errors of their own.
        if not _ended_by:
            complain(f"{_surprise(error)} (--debug shows where)")
            return 1
        code = 1
    if _ended_by:
        complain("interrupted" if _ended_by[0] == signal.SIGINT else "ended")
        return 128 + _ended_by[0]
    return (code or 0) if given else 2


def _explained(error: KeepwellError | typer.TyperException) -> str:
    if isinstance(error, KeepwellError):
        return str(error)
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context is not None else ""
    return error.format_message() + where


def _surprise(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """Leave by an exception, so that temporary files are removed on the way out."""
    _ended_by.append(signum)
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line of this process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell that starts a job in the background has it ignore Ctrl-C.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
