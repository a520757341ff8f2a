"""Writes what requests ask to be remembered: those that wait go into one transaction."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import NamedTuple

from service.store.decisions import Decided
from service.store.errors import StoreUnavailable
from service.store.recorded import Remembered, Scores

SECONDS = 8.0
"""How long a request waits: longer than the store waits for another writer."""

Standing = Mapping[tuple[str, int], Decided]
"""Decisions by customer and day."""


class Recorder:
    """Remembers scores, and what was decided on them, in the writing thread.

    Parameters
    ----------
    scores : Scores
        Where they go.
    writer : Executor
        The store's one writing thread of this process.
    """

    def __init__(self, scores: Scores, writer: Executor) -> None:
        self._scores = scores
        self._writer = writer
        self._lock = threading.Lock()
        self._waiting: list[_Waiter] = []

    async def record(self, rows: Sequence[Remembered], decided: Sequence[Decided] = ()) -> Standing:
        """Return when scores, and what was decided on them, are on disk.

        Returns
        -------
        mapping
            The decisions that stand, by customer and day; those of others who waited too.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            They are not on disk, or it cannot be known whether they are.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(rows, decided, loop.create_future())
        with self._lock:
            self._waiting.append(waiter)
            is_first = len(self._waiting) == 1
        if is_first:
            # Whoever is being answered in this turn of the loop comes along.
            loop.call_soon(self._writer.submit, self.write)
        timer = loop.call_later(SECONDS, _give_up, waiter)
        try:
            return await waiter.future
        finally:
            timer.cancel()

    def write(self) -> None:
        """Write what waits, in the writing thread: also between the pieces of longer work there."""
        with self._lock:
            some, self._waiting = self._waiting, []
        if not some:
            return
        standing: Standing = {}
        error: Exception | None = None
        try:
            standing = self._scores.record(
                [row for waiter in some for row in waiter.rows],
                [one for waiter in some for one in waiter.decided],
            )
        except Exception as caught:
            error = caught
        together: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
        for waiter in some:
            together.setdefault(waiter.future.get_loop(), []).append(waiter)
        for loop, waiters in together.items():
            with suppress(RuntimeError):  # it has ended, and nobody waits any more
                loop.call_soon_threadsafe(_settle, waiters, standing, error)


class _Waiter(NamedTuple):
    rows: Sequence[Remembered]
    decided: Sequence[Decided]
    future: "asyncio.Future[Standing]"


def _settle(some: Sequence[_Waiter], standing: Standing, error: Exception | None) -> None:
    for waiter in some:
        if waiter.future.done():
            continue
        if error is None:
            waiter.future.set_result(standing)
        else:
            waiter.future.set_exception(error)


def _give_up(waiter: _Waiter) -> None:
    error = StoreUnavailable(
        f"the store does not answer: it has written nothing for {SECONDS:g} s; look at its load, "
        "the server and the network"
    )
    _settle([waiter], {}, error)
