"""PostgreSQL goes away under load and comes back: clear errors, and no restart of ours."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from service.store import database as databases
from service.store import engine
from service.store import postgresql as drivers
from service.store.database import Database
from service.store.errors import StoreUnavailable
from service.store.tables import counters
from tests.postgresql import Server

PATIENCE = 60.0


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of the test's own, which waits for the disk."""
    server = Server(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Load:
    """A writer and two readers that never rest, and what they were told."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.written: list[int] = []
        self.reads = 0
        self.told: set[str] = set()
        self.faults: list[BaseException] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(work,))
            for work in (self._write, self._read, self._read)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def until_it_works(self) -> None:
        """Wait until both writing and reading have succeeded anew."""
        written, reads = len(self.written), self.reads
        self._wait(lambda: len(self.written) > written and self.reads > reads)

    def until_it_is_told(self) -> None:
        """Wait until somebody was told that the store is away."""
        self.told.clear()
        self._wait(lambda: bool(self.told))

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, "waited in vain"
            assert not self.faults
            time.sleep(0.01)

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._ended.is_set():
            try:
                work()
            except StoreUnavailable as error:
                self.told.add(str(error))
                time.sleep(0.01)
            except BaseException as error:
                self.faults.append(error)
                return

    def _write(self) -> None:
        number = len(self.written)
        with self.database.writing() as connection:
            # A commit whose answer was lost may be there already: told of, but not acknowledged.
            if connection.execute(self._named(number)).first() is None:
                connection.execute(counters.insert().values(name=str(number), value=number))
        self.written.append(number)

    def _read(self) -> None:
        with self.database.reading(single=True) as connection:
            connection.execute(self._named(0)).all()
        self.reads += 1

    @staticmethod
    def _named(number: int) -> object:
        return select(counters.c.value).where(counters.c.name == str(number))


@pytest.mark.parametrize("at_once", [False, True], ids=["stopped", "crashed"])
def test_a_server_that_goes_and_comes_back_is_used_again(
    server: Server, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSE_SECONDS", 0.05)
    database = Database(server.url(server.new_database()))
    with Load(database) as load:
        for _ in range(2):
            load.until_it_works()
            server.stop(at_once=at_once)
            load.until_it_is_told()
            assert not database.available
            server.start()
            load.until_it_works()
            assert database.available
    assert not load.faults
    assert all("hush" not in message for message in load.told)
    with database.reading() as connection:
        stored = set(connection.execute(select(counters.c.value)).scalars())
    assert set(load.written) <= stored
    database.close()


def test_a_server_that_freezes_is_given_up_and_used_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(drivers.Connection, "patience", 0.5)
    monkeypatch.setattr(drivers, "CONNECT_SECONDS", 2)  # the client library takes no less
    database = Database(server.url(server.new_database()))
    with Load(database) as load:
        load.until_it_works()
        server.freeze()
        load.until_it_is_told()
        assert all("does not answer" in message for message in load.told)
        server.thaw()
        load.until_it_works()
    assert not load.faults
    database.close()


def test_sessions_that_an_administrator_ends_are_opened_anew(server: Server) -> None:
    name = server.new_database()
    database = Database(server.url(name))
    with Load(database) as load:
        for _ in range(3):
            load.until_it_works()
            server.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            load.until_it_works()
    assert not load.faults
    database.close()


def test_a_restart_while_nobody_asks_is_not_noticed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.0)
    database = Database(server.url(server.new_database()))
    for _ in range(2):
        with database.reading() as connection:
            connection.execute(counters.select())
        server.stop()
        server.start()
    with database.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=1))
    database.close()
