"""Writes what requests ask to be remembered: those that wait go into one transaction."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress

from service.store.errors import StoreUnavailable
from service.store.recorded import Remembered, Scores

SECONDS = 8.0
"""How long a request waits: longer than the store waits for another writer."""


class Recorder:
    """Remembers scores in the writing thread.

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
        self._waiting: list[tuple[Sequence[Remembered], asyncio.Future[None]]] = []

    async def record(self, rows: Sequence[Remembered]) -> None:
        """Return when the rows are on disk.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            They are not, or it cannot be known whether they are.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting.append((rows, future))
            is_first = len(self._waiting) == 1
        if is_first:
            self._writer.submit(self._write)
        try:
            await asyncio.wait_for(future, SECONDS)
        except TimeoutError:
            raise StoreUnavailable(
                f"the store does not answer: it has written nothing for {SECONDS:g} s; look at its "
                "load, the server and the network"
            ) from None

    def _write(self) -> None:
        with self._lock:
            some, self._waiting = self._waiting, []
        error: Exception | None = None
        try:
            self._scores.record([row for rows, _ in some for row in rows])
        except Exception as caught:
            error = caught
        for _, future in some:
            with suppress(RuntimeError):  # its loop has ended, and nobody waits any more
                future.get_loop().call_soon_threadsafe(_settle, future, error)


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
