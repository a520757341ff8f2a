"""A job while a worker has it: how far it is, whether to go on, and whose it is."""

import threading
from collections.abc import Callable
from typing import Literal, ParamSpec, TypeVar

from service.jobs.queue import Queue
from service.jobs.records import Record
from service.store.errors import StoreUnavailable

Why = Literal["cancel", "lost", "shutdown"]

P = ParamSpec("P")
T = TypeVar("T")

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between questions to a store that does not answer; the last one again and again."""


class Stopped(Exception):
    """The job is not to be worked on any more; `Hold.why` has the reason."""


class Hold:
    """One leased job.

    Its two sides are two threads: one scores and asks whether to go on, the other keeps the lease
    and hears of cancellation, so that neither a slow chunk nor a slow store holds up the other.

    Parameters
    ----------
    job : Record
        The job.

    Attributes
    ----------
    rows_read : int
        How far it is.
    why : str or None
        Why it is to stop; None while it is not.
    """

    def __init__(self, job: Record) -> None:
        self.job = job
        self.rows_read = job.rows_read
        self.why: Why | None = None
        self._stop = threading.Event()

    def stop(self, why: Why) -> None:
        """Ask for a stop after the chunk at hand; the first reason stays."""
        if self.why is None:
            self.why = why
        self._stop.set()

    def keep_going(self, rows_read: int) -> bool:
        """Note how far the job is; answer whether to go on."""
        self.rows_read = rows_read
        return not self._stop.is_set()

    def renew(self, queue: Queue, now: int) -> None:
        """Keep the lease. A store that does not answer takes it from nobody.

        Others cannot take the job without the store either; who is too late hears it next time.
        """
        try:
            heard = queue.renew(self.job.job_id, self.rows_read, now)
        except StoreUnavailable:
            return
        if heard != "mine":
            self.stop(heard)

    def patiently(self, ask: Callable[[], object]) -> None:
        """Ask the store until it answers.

        Raises
        ------
        Stopped
            The job is to stop first.
        """
        waits = iter(RETRY_SECONDS)
        wait = 0.0
        while True:
            try:
                ask()
                return
            except StoreUnavailable:
                wait = next(waits, wait)
                if self._stop.wait(wait):
                    raise Stopped from None

    def reader(self, read: Callable[P, T]) -> Callable[P, T]:
        """Read as `read` does, over times in which the store is away."""

        def read_patiently(*given: P.args, **named: P.kwargs) -> T:
            found: list[T] = []
            self.patiently(lambda: found.append(read(*given, **named)))
            return found[0]

        return read_patiently
