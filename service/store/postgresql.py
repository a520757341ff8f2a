"""Connections to PostgreSQL that never hang.

Loads the driver, which only the extra `postgres` installs.
"""

import time
from typing import Any

import psycopg
import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from service.store import engine as common

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 10
"""The server ends a statement that takes longer."""
ANSWER_SECONDS = 12
"""A server that does not even do that is given up."""


class Connection(psycopg.Connection[Any]):
    """A connection that is closed when its server, though it has not gone, says nothing more.

    Attributes
    ----------
    patience : float
        Seconds to wait for an answer.
    """

    patience: float = ANSWER_SECONDS

    def wait(self, *arguments: Any, **options: Any) -> Any:
        """Wait for an answer."""
        options.setdefault("timeout", self.patience)
        try:
            return super().wait(*arguments, **options)
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise


def engine(url: URL) -> Engine:
    """Make a pool of connections; none is opened yet."""
    server = {
        "statement_timeout": STATEMENT_SECONDS,
        "lock_timeout": common.LOCK_SECONDS,
        # A stopped process must not hold the writers' lock for ever.
        "idle_in_transaction_session_timeout": 60,
    }
    client: dict[str, Any] = {
        "application_name": "keepwell",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "options": " ".join(f"-c {name}={seconds}s" for name, seconds in server.items()),
    }
    made = sqlalchemy.create_engine(
        url,
        connect_args={name: value for name, value in client.items() if name not in url.query},
        # It costs each new connection a question, and one that fails then is left open.
        use_native_hstore=False,
        **common.sizes(),
    )

    @event.listens_for(made, "do_connect")
    def connect(_: object, __: object, names: Any, options: Any) -> Connection:
        return Connection.connect(*names, **options)

    @event.listens_for(made, "checkin")
    def note(_: object, entry: ConnectionPoolEntry) -> None:
        entry.info["idle_since"] = time.monotonic()

    @event.listens_for(made, "checkout")
    def check(connection: Any, entry: ConnectionPoolEntry, _: object) -> None:
        since = entry.info.get("idle_since")
        if since is None or time.monotonic() - since < common.IDLE_SECONDS:
            return
        try:
            made.dialect.do_ping(connection)
        except psycopg.Error:
            raise InvalidatePoolError from None

    return made
