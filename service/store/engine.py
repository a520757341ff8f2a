"""Connections to the two databases: how each is opened so that it is safe and never hangs."""

import os
import sqlite3
import time
from typing import Any, Literal, NamedTuple, Self

import sqlalchemy
from sqlalchemy import URL, Engine, event
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry

from service.store.errors import BadStoreUrl

Dialect = Literal["sqlite", "postgresql"]

LOCK_SECONDS = 5
"""How long to wait for another writer."""
STATEMENT_SECONDS = 15
CONNECT_SECONDS = 3
IDLE_SECONDS = 5
"""A PostgreSQL connection idle for longer is asked whether it still lives before it is used."""
MOST_CONNECTIONS = 8

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


def make(dialect: Dialect, url: URL) -> Engine:
    """Make a pool of connections; none is opened yet.

    Raises
    ------
    BadStoreUrl
        The driver is not installed, or does not know an option of the URL.
    """
    return _sqlite(url) if dialect == "sqlite" else _postgresql(url)


class Views(NamedTuple):
    """One pool of connections, for the three ways in which they are used."""

    snapshot: Engine
    single: Engine
    latest: Engine

    @classmethod
    def of(cls, dialect: Dialect, engine: Engine) -> Self:
        """Make the views of a pool."""
        if dialect == "sqlite":
            return cls(engine, engine, engine)
        options = engine.execution_options
        return cls(
            snapshot=options(isolation_level="REPEATABLE READ", postgresql_readonly=True),
            single=options(isolation_level="AUTOCOMMIT"),
            # What was committed while waiting for the lock must be seen.
            latest=options(isolation_level="READ COMMITTED"),
        )


def _sqlite(url: URL) -> Engine:
    path = os.path.abspath(url.database or "")
    engine = sqlalchemy.create_engine(
        url,
        # Transactions are begun and ended by us alone.
        connect_args={"isolation_level": None, "timeout": LOCK_SECONDS},
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        pool_timeout=LOCK_SECONDS,
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def make_folder(*_: object) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        connection.execute("PRAGMA synchronous=FULL")  # acknowledged means durable
        connection.execute("PRAGMA secure_delete=ON")  # erased means overwritten
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA schema_version")  # makes the file, or finds it corrupt
        entry.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def check(connection: sqlite3.Connection, entry: ConnectionPoolEntry, _: object) -> None:
        # A file put in its place, such as a backup: writes to the old one would be lost.
        if entry.info["file"] != _identity(path):
            raise InvalidatePoolError

    return engine


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _postgresql(url: URL) -> Engine:
    server = {
        "statement_timeout": STATEMENT_SECONDS,
        "lock_timeout": LOCK_SECONDS,
        # A stopped process must not hold the writers' lock for ever.
        "idle_in_transaction_session_timeout": 4 * STATEMENT_SECONDS,
    }
    client: dict[str, Any] = {
        "application_name": "keepwell",
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        "options": " ".join(f"-c {name}={seconds}s" for name, seconds in server.items()),
    }
    try:
        engine = sqlalchemy.create_engine(
            url,
            connect_args={name: value for name, value in client.items() if name not in url.query},
            pool_size=MOST_CONNECTIONS,
            max_overflow=0,
            pool_timeout=LOCK_SECONDS,
            hide_parameters=True,
        )
    except (ImportError, NoSuchModuleError):
        shown = url.render_as_string(hide_password=True)
        raise BadStoreUrl(
            f"{shown} needs the PostgreSQL driver: pip install 'keepwell[postgres]'"
        ) from None

    @event.listens_for(engine, "checkin")
    def note(_: object, entry: ConnectionPoolEntry) -> None:
        entry.info["idle_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: Any, entry: ConnectionPoolEntry, _: object) -> None:
        since = entry.info.get("idle_since")
        if since is None or time.monotonic() - since < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.dbapi.Error:  # type: ignore[union-attr]
            raise InvalidatePoolError from None

    return engine
