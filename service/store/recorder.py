"""Writes what requests ask to be remembered: those that wait go into one transaction."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import NamedTuple

from service.store.decisions import Decided
from service.store.errors import StoreUnavailable
from service.store.recorded import Remembered, Scores

SECONDS = 8.0
"""How long a request waits: longer than the store waits for another writer."""

MOST, MOST_SECONDS = 64, 0.005
"""Requests, and time, for which a transaction waits while more are about to come along."""

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
    is_busy : callable, optional
        Whether there are requests that may soon be among those who wait.
    """

    def __init__(
        self, scores: Scores, writer: Executor, is_busy: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_busy = is_busy
        self._scores = scores
        self._writer = writer
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.AbstractEventLoop, _Batch] = {}

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
            is_first = not self._waiting
            batch = self._waiting.get(loop)
            if batch is None:
                waiters: list[_Waiter] = []
                batch = _Batch(waiters, loop.call_later(SECONDS, _give_up, waiters))
                self._waiting[loop] = batch
            batch.waiters.append(waiter)
        if is_first:
            loop.call_soon(self._begin, batch, 0, loop.time() + MOST_SECONDS)
        return await waiter.future

    def _begin(self, batch: "_Batch", before: int, latest: float) -> None:
        """Have what waits written, once nobody is about to come along.

        A transaction costs as much as thirty rows of it, and takes the interpreter and the cores
        from the requests that would fill it.
        """
        loop = asyncio.get_running_loop()
        there_are = len(batch.waiters)
        is_growing = there_are > before or self._is_busy()
        if is_growing and there_are < MOST and loop.time() < latest:
            loop.call_soon(self._begin, batch, there_are, latest)
        else:
            self._writer.submit(self.write)

    def write(self) -> None:
        """Write what waits, in the writing thread: also between the pieces of longer work there."""
        with self._lock:
            batches, self._waiting = self._waiting, {}
        if not batches:
            return
        some = [waiter for batch in batches.values() for waiter in batch.waiters]
        standing: Standing = {}
        error: Exception | None = None
        try:
            standing = self._scores.record(
                [row for waiter in some for row in waiter.rows],
                [one for waiter in some for one in waiter.decided],
            )
        except Exception as caught:
            error = caught
        for loop, batch in batches.items():
            with suppress(RuntimeError):  # it has ended, and nobody waits any more
                loop.call_soon_threadsafe(_answer, batch, standing, error)


class _Waiter(NamedTuple):
    rows: Sequence[Remembered]
    decided: Sequence[Decided]
    future: "asyncio.Future[Standing]"


class _Batch(NamedTuple):
    """Those of one event loop who wait together, and when they give up."""

    waiters: list[_Waiter]
    timer: asyncio.TimerHandle


def _answer(batch: _Batch, standing: Standing, error: Exception | None) -> None:
    batch.timer.cancel()
    _settle(batch.waiters, standing, error)


def _settle(some: Sequence[_Waiter], standing: Standing, error: Exception | None) -> None:
    for waiter in some:
        if waiter.future.done():
            continue
        if error is None:
            waiter.future.set_result(standing)
        else:
            waiter.future.set_exception(error)


def _give_up(waiters: Sequence[_Waiter]) -> None:
    error = StoreUnavailable(
        f"the store does not answer: it has written nothing for {SECONDS:g} s; look at its load, "
        "the server and the network"
    )
    _settle(waiters, {}, error)
