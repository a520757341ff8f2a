"""How far long work has come: bars on a terminal, plain lines elsewhere; always on stderr."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
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
SECONDS_OF_SILENCE = 10.0


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
    """A line per stage, and one more every few seconds while it lasts.

    Parameters
    ----------
    clock : callable
        Seconds; any beginning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._began_at = self._said_at = clock()
        self._speaking = threading.Lock()

    def stage(self, name: str, total: int | None = None) -> None:
        """Name the stage."""
        with self._speaking:
            self._name, self._total, self._done = name, total, 0
            self._began_at = self._clock()
            self._say(name)

    def advance(self, n: int = 1) -> None:
        """Count, and say so now and then."""
        with self._speaking:
            self._done += n
            if self._clock() - self._said_at >= SECONDS_BETWEEN_LINES:
                self._say(f"{self._name}: {self._so_far()}")

    def note(self, line: str) -> None:
        """Say the line."""
        with self._speaking:
            self._say(line)

    def tick(self) -> None:
        """Say that the stage is still at it, where nothing else has been said for a while."""
        with self._speaking:
            if self._name and self._clock() - self._said_at >= SECONDS_OF_SILENCE:
                counted = f"{self._so_far()}, " if self._done else ""
                self._say(f"{self._name}: {counted}{self._clock() - self._began_at:.0f} s so far")

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Tick once a second meanwhile."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(1.0):
                self.tick()

        ticker = threading.Thread(target=tick, name="progress", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()

    def _so_far(self) -> str:
        return f"{self._done:,}" + ("" if self._total is None else f" of {self._total:,}")

    def _say(self, line: str) -> None:
        self._said_at = self._clock()
        typer.echo(line, err=True)


@contextmanager
def progress() -> Iterator[Listener]:
    """Return a listener that suits where stderr goes."""
    if not sys.stderr.isatty():
        lines = Lines()
        with lines.ticking():
            yield lines
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
