"""Connections to the two databases: how each is opened so that it is safe and never hangs."""

import os
import sqlite3
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from service.store.errors import BadStoreUrl

Dialect = Literal["sqlite", "postgresql"]

LOCK_SECONDS = 5
"""How long to wait for another writer, or for a connection."""
MOST_CONNECTIONS = 8
IDLE_SECONDS = 5
"""A connection to a server that was idle for longer is asked whether it still lives."""

_EXAMPLES = "sqlite:///keepwell.db or postgresql+psycopg://user:password@host/database"


def parse(url: str) -> tuple[Dialect, URL]:
    """Read a store's URL.

    Raises
    ------
    BadStoreUrl
        It can never work.
    """
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError):
        raise BadStoreUrl(f"the store's URL cannot be read; write {_EXAMPLES}") from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:") or parsed.query:
            raise BadStoreUrl(f"{shown} names no file; write {_EXAMPLES}")
        return "sqlite", parsed
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return "postgresql", parsed.set(drivername="postgresql+psycopg")
    raise BadStoreUrl(f"{shown}: {parsed.drivername} is not supported; write {_EXAMPLES}")


class Pool:
    """The open connections of one store, for the three ways in which they are used.

    Parameters
    ----------
    dialect : {"sqlite", "postgresql"}
        Which database it is.
    url : URL
        Where it is; nothing is opened yet.

    Attributes
    ----------
    snapshot, single, latest : Engine
        For transactions that read, for single statements, and for transactions that write.

    Raises
    ------
    BadStoreUrl
        The driver is not installed.
    """

    def __init__(self, dialect: Dialect, url: URL) -> None:
        self._round = 0
        self._closed = False
        self._path = os.path.abspath(url.database or "") if dialect == "sqlite" else None
        if dialect == "sqlite":
            self.snapshot = self.single = self.latest = self._engine = self._sqlite(url)
            self._retire_late()
            return
        try:
            from service.store import postgresql
        except ImportError:
            shown = url.render_as_string(hide_password=True)
            raise BadStoreUrl(
                f"{shown} needs the PostgreSQL driver: pip install 'keepwell[postgres]'"
            ) from None
        self._engine = postgresql.engine(url)
        self._retire_late()
        options = self._engine.execution_options
        self.snapshot = options(isolation_level="REPEATABLE READ")
        self.single = options(isolation_level="AUTOCOMMIT")
        # What was committed while waiting for the lock must be seen.
        self.latest = options(isolation_level="READ COMMITTED")

    def renew(self) -> None:
        """Use no connection that was opened before: each is closed when it would be used next."""
        self._round += 1

    def state(self) -> object:
        """What a connection is to be opened anew for: rounds of `renew`, and which file it is.

        A file may be put in another's place, such as a backup: writes to the old one would be lost.
        """
        return self._round, None if self._path is None else _identity(self._path)

    def close(self) -> None:
        """Close the connections that nobody uses, and the others as they are given back."""
        self._closed = True
        self._engine.dispose()

    def _retire_late(self) -> None:
        """Let a connection that is in use at `close`, or made later, end when its user is done."""

        @event.listens_for(self._engine, "checkin")
        def retire(connection: object, entry: ConnectionPoolEntry) -> None:
            if connection is not None and self._closed:
                entry.invalidate()

    def _sqlite(self, url: URL) -> Engine:
        engine = sqlalchemy.create_engine(
            url,
            # Transactions are begun and ended by us alone.
            connect_args={"isolation_level": None, "timeout": LOCK_SECONDS},
            **sizes(),
        )

        @event.listens_for(engine, "do_connect")
        def make_folder(*_: object) -> None:
            os.makedirs(os.path.dirname(self._path or ""), exist_ok=True)

        @event.listens_for(engine, "connect")
        def configure(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
            connection.execute("PRAGMA synchronous=FULL")  # acknowledged means durable
            connection.execute("PRAGMA secure_delete=ON")  # erased means overwritten
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA schema_version")  # makes the file, or finds it corrupt
            entry.info["opened"] = self.state()

        @event.listens_for(engine, "checkout")
        def check(connection: sqlite3.Connection, entry: ConnectionPoolEntry, _: object) -> None:
            if entry.info["opened"] != self.state():
                raise DisconnectionError

        return engine


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def sizes() -> dict[str, Any]:
    """How many connections there are, and how long to wait for one."""
    return {
        "pool_size": MOST_CONNECTIONS,
        "max_overflow": 0,
        # The last one used: its cache is of what the store holds now, and its statements are known.
        "pool_use_lifo": True,
        "pool_timeout": LOCK_SECONDS,
        "hide_parameters": True,
    }
