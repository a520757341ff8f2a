"""Readers see one state, one writer at a time changes it, and what fails leaves nothing."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, select, text, update

from service.store import database as databases
from service.store import engine
from service.store.database import Database
from service.store.errors import StoreUnavailable
from service.store.tables import counters

READ = select(counters.c.value)


@contextmanager
def at(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def counting(store_url: str) -> str:
    """The URL of a store whose one counter stands at 0."""
    with at(store_url) as database, database.writing() as connection:
        connection.execute(counters.insert().values(name="n", value=0))
    return store_url


def add_one(connection: Connection) -> None:
    value = connection.execute(READ).scalar_one()
    connection.execute(update(counters).values(value=value + 1))


def value_in(url: str) -> int:
    with at(url) as database, database.reading() as connection:
        value: int = connection.execute(READ).scalar_one()
    return value


def test_what_a_block_wrote_is_there_when_it_ends(counting: str) -> None:
    with at(counting) as database, database.writing() as connection:
        add_one(connection)
    assert value_in(counting) == 1


def test_a_block_that_raises_leaves_nothing(counting: str) -> None:
    def write_and_fail(database: Database) -> None:
        with database.writing() as connection:
            add_one(connection)
            raise ZeroDivisionError

    with at(counting) as database:
        with pytest.raises(ZeroDivisionError):
            write_and_fail(database)
        with database.writing() as connection:
            add_one(connection)
    assert value_in(counting) == 1


def test_a_reader_sees_one_state_and_does_not_wait(counting: str) -> None:
    with at(counting) as database:
        with database.reading() as reader:
            before = reader.execute(READ).scalar_one()
            with database.writing() as writer:
                add_one(writer)
                assert reader.execute(READ).scalar_one() == before
            assert reader.execute(READ).scalar_one() == before
        with database.reading(single=True) as reader:
            assert reader.execute(READ).scalar_one() == before + 1


def add_many(url: str, times: int) -> None:
    """What each of several processes does."""
    with at(url) as database:
        for _ in range(times):
            with database.writing() as connection:
                add_one(connection)


def test_processes_that_write_at_once_lose_no_write(counting: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_many, args=(counting, 100)) for _ in range(2)]
    for process in processes:
        process.start()
    add_many(counting, 100)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert value_in(counting) == 300


def test_threads_that_write_at_once_lose_no_write(counting: str) -> None:
    with at(counting) as database:

        def work() -> None:
            for _ in range(25):
                with database.writing() as connection:
                    add_one(connection)

        threads = [threading.Thread(target=work) for _ in range(12)]  # more than connections
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert value_in(counting) == 300


def test_a_writer_that_waits_too_long_for_another_process_is_told(
    counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 0.1)
    with at(counting) as holder, at(counting) as waiter, holder.writing() as connection:
        add_one(connection)
        with pytest.raises(StoreUnavailable, match="kept it locked"), waiter.writing():
            raise AssertionError
        with waiter.reading() as other:
            assert other.execute(READ).scalar_one() == 0
    with at(counting) as database, database.writing() as connection:
        add_one(connection)
    assert value_in(counting) == 2


def test_a_writer_that_waits_too_long_for_another_thread_is_told(
    counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "LOCK_SECONDS", 0.05)
    with (
        at(counting) as database,
        database.writing(),
        pytest.raises(StoreUnavailable, match="another thread"),
        database.writing(),
    ):
        raise AssertionError


def test_more_readers_than_connections_wait_and_are_told(
    counting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(engine, "MOST_CONNECTIONS", 1)
    with at(counting) as database:
        with (
            database.reading(),
            pytest.raises(StoreUnavailable, match="all its connections are busy"),
            database.reading(),
        ):
            raise AssertionError
        with database.reading() as connection:
            assert connection.execute(READ).scalar_one() == 0


def test_sqlite_writes_through_overwrites_and_keeps_a_log(counting: str) -> None:
    with at(counting) as database, database.writing() as connection:
        if database.dialect != "sqlite":
            return
        names = ("synchronous", "secure_delete", "journal_mode", "foreign_keys")
        pragmas = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    assert pragmas == [2, 1, "wal", 1]


def test_postgresql_gives_up_what_takes_too_long(counting: str) -> None:
    with at(counting) as database, database.writing() as connection:
        if database.dialect != "postgresql":
            return
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        limits = [connection.execute(text(f"SHOW {name}")).scalar() for name in names]
    assert limits == ["10s", "5s", "1min"]


def test_a_connection_in_use_when_the_store_is_closed_ends_when_it_is_given_back(
    counting: str,
) -> None:
    with at(counting) as database:
        with database.reading() as connection:
            driver = connection.connection.driver_connection
            database.close()
            assert connection.execute(READ).scalar_one() == 0
        assert driver is not None
        with pytest.raises(Exception, match="closed"):
            driver.execute("SELECT 1")
