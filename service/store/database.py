"""One store: transactions that read a snapshot, and transactions that are its only writer.

Making a `Database` opens nothing, so a service starts, and serves what needs no store, while its
database is away. The first use prepares the schema; so does `prepare`, which may be called at any
time to find out whether the store answers.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from service.store import faults, migrate, tombstones
from service.store.engine import LOCK_SECONDS, Dialect, Pool, parse
from service.store.errors import StoreTooNew, StoreUnavailable
from service.store.held import Held
from service.store.migrations import HEAD

PAUSE_SECONDS = 1.0
"""After a failed attempt to connect, others are told the same for so long without a new one."""

_WRITERS_LOCK = text("SELECT pg_advisory_xact_lock(5208512937201)")  # the migrations know it


class Database:
    """A store in SQLite or PostgreSQL.

    Parameters
    ----------
    url : str
        As KEEPWELL_STORE_URL has it.
    erasure_key : bytes, optional
        As KEEPWELL_ERASURE_KEY has it; by default the store keeps one of its own.

    Attributes
    ----------
    dialect : {"sqlite", "postgresql"}
        Which of the two it is.
    shown : str
        The URL without its password.
    available : bool
        Whether the store answered when it was last asked, and its schema is this version's.

    Raises
    ------
    BadStoreUrl
        The URL can never work.
    """

    def __init__(self, url: str, *, erasure_key: bytes | None = None) -> None:
        dialect, parsed = parse(url)
        self.dialect: Dialect = dialect
        self.shown = parsed.render_as_string(hide_password=True)
        self.available = False
        self._erasure_key = erasure_key
        self._pool = Pool(dialect, parsed)
        self._writer = threading.Lock()
        self._preparing = threading.Lock()
        self._held: Held | None = None
        self._closed = False
        self._failure: tuple[float, str] | None = None

    def reading(self, *, single: bool = False) -> AbstractContextManager[Connection]:
        """Open a transaction in which every statement sees the same committed state.

        Parameters
        ----------
        single : bool, default=False
            Promise that only one statement follows: it needs no transaction, and in PostgreSQL one
            journey to the server instead of three.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        StoreTooNew
            A newer Keepwell wrote it.
        """
        if not self.available:
            self.prepare()
        return self._reading(single)

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that no other process or thread writes beside.

        It is committed, and on disk, when the block ends, and leaves nothing if that raises. Others
        wait meanwhile: keep it under half a second.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or another writer kept it for too long.
        StoreReadOnly
            It takes no writes.
        StoreTooNew
            A newer Keepwell wrote it.
        """
        if not self.available:
            self.prepare()
        return self._writing()

    @contextmanager
    def at_once(self) -> Iterator[Held]:
        """Lend a connection that is kept for small writes, beside which no other thread writes.

        Raises
        ------
        StoreUnavailable, StoreReadOnly, StoreTooNew
            As of `writing`.
        """
        if not self.available:
            self.prepare()
        with self._only_writer():
            held = self._held
            if held is None or not held.is_current():
                self._let_go()
                held = self._held = Held(self._reading(single=True), self._pool)
            try:
                yield held
            except BaseException:
                self._let_go()
                raise

    def hold(self) -> Held:
        """Open a connection that is kept between reads.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            As of `reading`.
        """
        return Held(self.reading(single=True), self._pool)

    def prepare(self) -> None:
        """Bring the schema up to date; cheap where it is.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        WrongErasureKey
            Its tombstones were made with another key.
        StoreTooNew
            A newer Keepwell wrote it.
        """
        with self._preparing:
            try:
                with self._reading() as connection:
                    in_order = migrate.revision(connection) == HEAD and tombstones.is_settled(
                        connection
                    )
                if not in_order:
                    if self.dialect == "sqlite":
                        self._keep_a_log()
                    with self._writing() as connection:
                        migrate.forward(connection, self.shown)
                        tombstones.settle(connection, self.shown)
            except (StoreUnavailable, StoreTooNew):
                self.available = False
                raise
            self.available = True

    def maintaining(self) -> AbstractContextManager[Connection]:
        """Lend a connection outside of any transaction, beside which no other thread writes.

        Raises
        ------
        StoreUnavailable
            The store does not answer, or another thread has been writing for too long.
        StoreTooNew
            A newer Keepwell wrote it.
        """
        if not self.available:
            self.prepare()
        return self._alone()

    def close(self) -> None:
        """Close the connections that nobody uses; the others as they are given back."""
        self._closed = True
        if self._writer.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._writer.release()
        self._pool.close()

    def _let_go(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    @contextmanager
    def _reading(self, single: bool = False) -> Iterator[Connection]:
        with self._connected(self._pool.single if single else self._pool.snapshot) as connection:
            if self.dialect == "sqlite" and not single:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._only_writer(), self._connected(self._pool.latest) as connection:
            if self.dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(_WRITERS_LOCK)
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self._only_writer(), self._connected(self._pool.single) as connection:
            yield connection

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        if not self._writer.acquire(timeout=LOCK_SECONDS):
            raise StoreUnavailable(
                f"the store {self.shown} does not answer: another thread has been writing for "
                f"{LOCK_SECONDS} s; try again"
            )
        try:
            yield
        finally:
            if self._closed:
                self._let_go()
            self._writer.release()

    @contextmanager
    def _connected(self, engine: Engine) -> Iterator[Connection]:
        """Lend a connection and end its transaction; driver errors become the store's."""
        connection = self._connect(engine)
        driver: Any = connection.connection.driver_connection
        try:
            if self._erasure_key is not None:
                connection.execution_options(**{tombstones.OPTION: self._erasure_key})
            with connection, connection.begin():
                try:
                    yield connection
                except engine.dialect.loaded_dbapi.Error as error:
                    # Of who speaks with the driver itself. Once it is closed all seems lost.
                    lost = engine.dialect.is_disconnect(error, driver, None)
                    raise DBAPIError("", None, error, connection_invalidated=lost) from None
        except SQLAlchemyError as error:
            self._note(error)
            told = faults.explain(error, self.shown)
            if told is None:
                raise
            raise told from None

    def _connect(self, engine: Engine) -> Connection:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            raise StoreUnavailable(self._failure[1])
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError) as error:
            self._note(error)
            told = faults.explain(error, self.shown)
            if told is None:
                raise
            if faults.is_away(error):
                self.available = False
                self._failure = (time.monotonic() + PAUSE_SECONDS, str(told))
            raise told from None
        self._failure = None
        return connection

    def _note(self, error: Exception) -> None:
        """Look at the store afresh with the next use if this error says that it has changed."""
        if faults.spoils_connections(error):
            self.available = False
            self._pool.renew()

    def _keep_a_log(self) -> None:
        """Let readers and the writer not wait for each other: WAL, which the file remembers."""
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                with self._connected(self._pool.single) as connection:
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return
            except StoreUnavailable:
                # SQLite does not wait here, for a process that starts at the same moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
