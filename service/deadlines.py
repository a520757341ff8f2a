"""How long a request may take, until nobody can be waiting for its answer any more.

One look at all open requests, four times a second, rather than a timer of each.
"""

import asyncio
import time
from typing import Any

LOOKS = 0.25
"""Seconds between two looks."""


class Deadlines:
    """The open requests, each the task that answers it.

    Parameters
    ----------
    seconds : float
        How long each may take.

    Attributes
    ----------
    open : dict of task to float
        When each began.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.open: dict[asyncio.Task[Any] | None, float] = {}
        self._late: set[asyncio.Task[Any] | None] = set()

    def lift(self) -> None:
        """Let the request at hand take as long as it takes: it sends or is sent a whole file."""
        self.open.pop(asyncio.current_task(), None)

    def has_passed(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether a request was ended because it took too long; asked once."""
        is_late = task in self._late
        self._late.discard(task)
        return is_late

    async def watch(self) -> None:
        """End those that take too long, for ever."""
        while True:
            await asyncio.sleep(LOOKS)
            begun_before = time.perf_counter() - self.seconds
            for task, began in list(self.open.items()):
                if began < begun_before and task is not None:
                    del self.open[task]
                    self._late.add(task)
                    task.cancel()
