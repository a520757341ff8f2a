"""A connection that is kept between uses, and spoken to in the driver's own words.

To lend one of the pool, and to begin and to end a transaction on it, takes as long as a small
transaction does.
"""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Any, TypeVar

from sqlalchemy import Connection

from service.store import engine
from service.store.engine import Pool
from service.store.errors import StoreUnavailable

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
    connection : Connection
        SQLAlchemy's.
    driver
        The driver's.
    dialect
        What SQLAlchemy knows of the database.

    Raises
    ------
    StoreUnavailable, StoreTooNew
        The store does not answer; whatever `call` raises, the connection is given up.
    """

    def __init__(self, lent: AbstractContextManager[Connection], pool: Pool) -> None:
        self._stack = ExitStack()
        self._pool = pool
        self._opened = pool.state()
        self.connection = self._stack.enter_context(lent)
        self.driver: Any = self.connection.connection.driver_connection
        self.dialect = self.connection.dialect
        self.connection.detach()  # its place in the pool is another's
        self._used_at = time.monotonic()

    def is_current(self) -> bool:
        """Whether it is still one to the store that there is now."""
        if self._opened != self._pool.state():
            return False
        idle = time.monotonic() - self._used_at
        if self.dialect.name == "postgresql" and idle > engine.IDLE_SECONDS:
            try:
                self.dialect.do_ping(self.driver)
            except self.dialect.loaded_dbapi.Error:
                return False
        return True

    def call(self, work: Callable[..., T], *given: Any) -> T:
        """Do something with it; the driver's errors become the store's."""
        try:
            done = work(*given)
        except BaseException:
            # Nothing of a transaction stays. It raises what the error means, where that is known.
            self._stack.__exit__(*sys.exc_info())
            raise
        self._used_at = time.monotonic()
        return done

    def close(self) -> None:
        """Give the connection up, if it is not lost already."""
        with suppress(StoreUnavailable):
            self._stack.close()
