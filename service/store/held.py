"""A connection that is kept between uses, and spoken to in the driver's own words.

To lend one of the pool, and to begin and to end a transaction on it, takes as long as a small
transaction does.
"""

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection

from service.store.engine import IDLE_SECONDS, Pool
from service.store.errors import StoreUnavailable

WRITERS_LOCK = "SELECT pg_advisory_xact_lock(5208512937201)"
"""PostgreSQL's: who has it is the only writer until the transaction ends."""

Statement = tuple[str, Sequence[Any]]
"""In the driver's own words, and its parameters."""

T = TypeVar("T")


class Held:
    """A connection kept between uses.

    Parameters
    ----------
    lent : context manager
        Gives the connection, outside of any transaction; what goes wrong is told to it.
    pool : Pool
        Which it is of.

    Attributes
    ----------
    driver, dialect
        The driver's connection, and what SQLAlchemy knows of its database.

    Raises
    ------
    StoreUnavailable, StoreTooNew
        The store does not answer; whatever `call` raises, the connection is given up.
    """

    def __init__(self, lent: AbstractContextManager[Connection], pool: Pool) -> None:
        self._stack = ExitStack()
        self._pool = pool
        self._opened = pool.state()
        connection = self._stack.enter_context(lent)
        self.driver: Any = connection.connection.driver_connection
        self.dialect = connection.dialect
        connection.detach()  # its place in the pool is another's
        self._used_at = time.monotonic()

    def is_current(self) -> bool:
        """Whether it is still one to the store that there is now."""
        if self._opened != self._pool.state():
            return False
        if self.dialect.name == "postgresql" and time.monotonic() - self._used_at > IDLE_SECONDS:
            try:
                self.dialect.do_ping(self.driver)
            except self.dialect.loaded_dbapi.Error:
                return False
        return True

    def call(self, work: Callable[..., T], *given: Any) -> T:
        """Do something with it; the driver's errors become the store's."""
        try:
            done = work(*given)
        except Exception:
            self._stack.__exit__(*sys.exc_info())  # raises what it means, where that is known
            raise
        self._used_at = time.monotonic()
        return done

    def write(self, statements: Sequence[Statement]) -> list[int]:
        """Execute statements in one transaction, beside which nobody writes.

        Parameters
        ----------
        statements : sequence of (str, sequence)
            None depends on what another gives: PostgreSQL is sent all of them in one journey, each
            of which costs an event loop that is busy more than what is done at its end.

        Returns
        -------
        list of int
            How many rows each of them changed. They are committed, and on disk.
        """
        return self.call(
            _pipelined if self.dialect.name == "postgresql" else _written, self.driver, statements
        )

    def close(self) -> None:
        """Give the connection up, if it is not lost already."""
        with suppress(StoreUnavailable):
            self._stack.close()


def _written(driver: Any, statements: Sequence[Statement]) -> list[int]:
    driver.execute("BEGIN IMMEDIATE")
    changed = [driver.execute(statement, given).rowcount for statement, given in statements]
    driver.execute("COMMIT")
    return changed


def _pipelined(driver: Any, statements: Sequence[Statement]) -> list[int]:
    with driver.pipeline():
        driver.execute("BEGIN")
        driver.execute(WRITERS_LOCK)
        cursors = [driver.execute(statement, given) for statement, given in statements]
        driver.execute("COMMIT")
    return [cursor.rowcount for cursor in cursors]
