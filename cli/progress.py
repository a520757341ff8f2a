"""How far long work has come: bars on a terminal, plain lines elsewhere; always on stderr."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from training.progress import Progress as Listener

SECONDS_BETWEEN_LINES = 5.0


class Bars:
    """A bar per stage, redrawn in place.

    Parameters
    ----------
    bars : rich.progress.Progress
        Started and stopped by the caller.
    """

    def __init__(self, bars: Progress) -> None:
        self._bars = bars

    def stage(self, name: str, total: int | None = None) -> None:
        """Close the stage before and open a bar for this one."""
        self.finish()
        self._bars.add_task(name, total=total)

    def advance(self, n: int = 1) -> None:
        """Move the current bar."""
        if self._bars.task_ids:
            self._bars.advance(self._bars.task_ids[-1], n)

    def note(self, line: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(line, markup=False, highlight=False)

    def finish(self) -> None:
        """Show the last stage as done."""
        for task in self._bars.tasks:
            if not task.finished:
                done = task.total if task.total is not None else max(task.completed, 1)
                self._bars.update(task.id, total=done, completed=done)


class Lines:
    """A line per stage, and one more every few seconds while it lasts."""

    def __init__(self) -> None:
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._said_at = 0.0

    def stage(self, name: str, total: int | None = None) -> None:
        """Name the stage."""
        self._name, self._total, self._done = name, total, 0
        self._said_at = time.monotonic()
        typer.echo(name, err=True)

    def advance(self, n: int = 1) -> None:
        """Count, and say so now and then."""
        self._done += n
        if time.monotonic() - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = time.monotonic()
            of = "" if self._total is None else f" of {self._total:,}"
            typer.echo(f"{self._name}: {self._done:,}{of}", err=True)

    def note(self, line: str) -> None:
        """Say the line."""
        typer.echo(line, err=True)


@contextmanager
def progress() -> Iterator[Listener]:
    """Return a listener that suits where stderr goes."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        listener = Bars(bars)
        yield listener
        listener.finish()
