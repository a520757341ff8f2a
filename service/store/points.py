"""One customer's stored events for one request: read without keeping the event loop waiting.

SQLite answers from a file on this machine in a few microseconds, so the loop itself asks it. A
PostgreSQL may be slow or hang: a thread asks it, for all who wait at once. Both keep one connection
and speak with the driver in the words that SQLAlchemy found for them, which takes a third of the
time of a query through it (docs/adr/0016).
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

from sqlalchemy import CompoundSelect

from service.store.database import Database
from service.store.errors import StoreUnavailable
from service.store.stored import NOTHING, OF_MANY, OF_ONE, Row, Stored, of_many, of_one

ANSWER_SECONDS = 2.0
"""How long the server may take for an answer that takes a thousandth of a second."""
WAIT_SECONDS = 3.0
"""How long a request waits, come what may."""
MOST_AT_ONCE = 500

_WAIT_FOR_NOBODY = "PRAGMA busy_timeout=0"


class Points(Protocol):
    """Reads stored histories one at a time."""

    async def read(self, customer_id: str, since: int) -> Stored:
        """What is stored of a customer, and what was delivered to them after an instant.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            It cannot be known now.
        """
        ...

    def close(self) -> None:
        """Give the connection up."""
        ...


def points(database: Database) -> Points:
    """Make the reader that suits a database; nothing is opened yet."""
    return OnTheLoop(database) if database.dialect == "sqlite" else InAThread(database)


class OnTheLoop:
    """Reads from SQLite, in the thread that asks.

    Parameters
    ----------
    database : Database
        A file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: _Asker | None = None

    async def read(self, customer_id: str, since: int) -> Stored:
        """What is stored of a customer."""
        asked = {"customer_id": customer_id, "since": since}
        if self._held is not None and self._held.is_current():
            try:
                return of_one(self._held.rows(asked))
            except StoreUnavailable:
                self._held = None
        # Opening, and finding out what is wrong, may take seconds.
        opened = await asyncio.to_thread(_Asker, self._database, OF_ONE)
        self.close()
        self._held = opened
        return of_one(opened.rows(asked))

    def close(self) -> None:
        """Give the connection up."""
        if self._held is not None:
            self._held.close()
            self._held = None


class InAThread:
    """Reads from PostgreSQL, in a thread of its own.

    Parameters
    ----------
    database : Database
        A server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: queue.SimpleQueue[_Waiter | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._held: _Asker | None = None
        self._asked_at: float | None = None

    async def read(self, customer_id: str, since: int) -> Stored:
        """What is stored of a customer."""
        asked_at = self._asked_at
        if asked_at is not None and time.monotonic() - asked_at > WAIT_SECONDS:
            raise self._silent()  # who came before waits still: nobody has to wait behind them
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="keepwell-points", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(customer_id, since, loop.create_future())
        timer = loop.call_later(WAIT_SECONDS, self._give_up, waiter)
        self._waiting.put(waiter)
        try:
            return await waiter.future
        finally:
            timer.cancel()

    def close(self) -> None:
        """Let the thread end when it has answered."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (waiter := self._waiting.get()) is not None:
            some = [waiter]
            while len(some) < MOST_AT_ONCE and not self._waiting.empty():
                another = self._waiting.get()
                if another is None:
                    self._waiting.put(None)
                    break
                some.append(another)
            self._asked_at = time.monotonic()
            try:
                found = self._read(some)
            except Exception as error:
                _tell(some, partial(_fail, error=error))
            else:
                _tell(some, partial(_answer, found=found))
            self._asked_at = None
        if self._held is not None:
            self._held.close()

    def _read(self, some: Sequence["_Waiter"]) -> Mapping[str, Stored]:
        asked = {
            "customer_ids": [waiter.customer_id for waiter in some],
            "since": min(waiter.since for waiter in some),
        }
        if self._held is not None:
            try:
                return of_many(self._held.rows(asked))
            except StoreUnavailable:
                self._held = None  # it may be this connection only
        held = _Asker(self._database, OF_MANY)
        found = of_many(held.rows(asked))
        self._held = held
        return found

    def _give_up(self, waiter: "_Waiter") -> None:
        _fail([waiter], self._silent())

    def _silent(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"the store {self._database.shown} does not answer: it has been silent for "
            f"{WAIT_SECONDS:g} s; look at the server and the network"
        )


class _Waiter(NamedTuple):
    customer_id: str
    since: int
    future: "asyncio.Future[Stored]"


class _Asker:
    """A statement, asked over a connection that is kept.

    Raises
    ------
    StoreUnavailable, StoreTooNew
        The store does not answer; whatever `rows` raises, the connection is given up.
    """

    def __init__(self, database: Database, statement: CompoundSelect[Any]) -> None:
        self._held = database.hold()
        driver = self._held.driver
        compiled = statement.compile(dialect=self._held.dialect)
        self._sql = str(compiled)
        self._order: Sequence[str] = compiled.positiontup or ()
        if database.dialect == "postgresql":
            driver.patience = ANSWER_SECONDS
            driver.prepare_threshold = 0
            self._cursor = driver.cursor(binary=True)
        else:
            driver.execute(_WAIT_FOR_NOBODY)
            self._cursor = driver.cursor()

    def rows(self, asked: Mapping[str, Any]) -> list[Row]:
        return self._held.call(self._ask, [asked[name] for name in self._order] or asked)

    def _ask(self, parameters: Any) -> list[Row]:
        found: list[Row] = self._cursor.execute(self._sql, parameters).fetchall()
        return found

    def is_current(self) -> bool:
        return self._held.is_current()

    def close(self) -> None:
        self._held.close()


def _tell(some: Sequence[_Waiter], how: Callable[[Sequence[_Waiter]], None]) -> None:
    """Have the event loops of those who wait tell them."""
    together: dict[asyncio.AbstractEventLoop, list[_Waiter]] = {}
    for waiter in some:
        together.setdefault(waiter.future.get_loop(), []).append(waiter)
    for loop, waiters in together.items():
        with suppress(RuntimeError):  # it has ended, and nobody waits any more
            loop.call_soon_threadsafe(how, waiters)


def _answer(some: Sequence[_Waiter], found: Mapping[str, Stored]) -> None:
    for waiter in some:
        if not waiter.future.done():
            waiter.future.set_result(found.get(waiter.customer_id, NOTHING))


def _fail(some: Sequence[_Waiter], error: Exception) -> None:
    for waiter in some:
        if not waiter.future.done():
            waiter.future.set_exception(error)
