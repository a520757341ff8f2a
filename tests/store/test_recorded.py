"""Scores and decisions that are recorded together, on both databases."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from service.store import engine, tables, tombstones
from service.store.database import Database
from service.store.decisions import Decided, Decisions
from service.store.errors import StoreUnavailable
from service.store.recorded import Remembered, Scores
from tests.decided import decided
from tests.postgresql import Server

AT = decided().decided_at


def remembered(customer_id: str = "c-1042", **changed: object) -> Remembered:
    row = Remembered(customer_id, 20_000, "m-1", AT, AT, 0.5, "scored", "high", "[]", 60)
    return row._replace(**changed)  # type: ignore[arg-type]


def known(database: Database, customer_id: str) -> tuple[int, list[Decided]]:
    scored = Scores(database).of_customer(customer_id, limit=10)
    of_them = Decisions(database).of_customer(customer_id, limit=10)
    return len(scored or ()), [one for one, _ in of_them]


def test_what_is_new_is_kept_whole(database: Database) -> None:
    one, other = decided(), decided(2, customer_id="c-2")
    standing = Scores(database).record([remembered(), remembered("c-2")], [one, other])
    assert standing == {one.key: one, other.key: other}
    assert known(database, "c-1042") == (1, [one])
    assert known(database, "c-2") == (1, [other])


def test_of_one_customers_day_the_first_stands_in_a_list_and_after_it(database: Database) -> None:
    scores, first, later = Scores(database), decided(), decided(7)
    rows = [remembered(probability=0.5), remembered(probability=0.7)]
    assert scores.record(rows, [first, later]) == {first.key: first}
    other = decided(3, customer_id="c-2")
    both = scores.record([remembered(), remembered("c-2")], [later, other])
    assert both == {first.key: first, other.key: other}
    assert known(database, "c-1042") == (1, [first])
    found = scores.of_customer("c-1042", limit=10)
    assert found is not None
    assert found[0].probability == 0.5
    assert known(database, "c-2") == (1, [other])


def test_scores_without_decisions_are_kept_once(database: Database) -> None:
    scores = Scores(database)
    for _ in range(2):
        assert scores.record([remembered()]) == {}
    assert known(database, "c-1042") == (1, [])


@pytest.mark.parametrize("has_seen_others", [False, True])
def test_who_was_erased_is_left_out_and_the_others_are_kept(
    database: Database, has_seen_others: bool
) -> None:
    scores = Scores(database)
    with database.writing() as connection:
        tombstones.bury(connection, "c-1042", AT)
    if has_seen_others:  # and so knows the key
        scores.record([remembered("c-9")], [decided(9, customer_id="c-9")])
    mine, other = decided(), decided(2, customer_id="c-2")
    assert scores.record([remembered(), remembered("c-2")], [mine, other]) == {other.key: other}
    assert known(database, "c-1042") == (0, [])
    assert known(database, "c-2") == (1, [other])
    back = decided(4, decided_at=AT + 1, as_of=AT + 1)
    again = remembered(scored_at=AT + 1, as_of=AT + 1)
    assert scores.record([again], [back]) == {back.key: back}
    assert known(database, "c-1042") == (1, [back])


def test_of_many_the_erased_one_is_left_out(database: Database) -> None:
    scores, last = Scores(database), "c-200"
    with database.writing() as connection:
        tombstones.bury(connection, last, AT)
    scores.record([remembered("a")])  # and so knows the key
    many = [f"c-{at}" for at in range(1, 201)]
    made = [decided(at, customer_id=f"c-{at}") for at in range(1, 201)]
    standing = scores.record([remembered(one) for one in many], made)
    assert {who for who, _ in standing} == {*many} - {last}
    with database.reading() as connection:
        for table in (tables.scores, tables.decisions):
            there = connection.execute(select(table.c.customer_id)).scalars().all()
            assert {*there} - {"a"} == {*many} - {last}


@pytest.mark.parametrize("is_key_known", [False, True])
def test_an_erasure_that_is_waited_for_is_seen(store_url: str, is_key_known: bool) -> None:
    assert _recorded_beside_an_erasure(store_url, is_key_known) == ["c-2"]


@pytest.mark.parametrize("is_key_known", [False, True])
@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_it_is_seen_whatever_isolation_the_server_is_set_to(
    postgresql: Server, level: str, is_key_known: bool
) -> None:
    name = postgresql.new_database()
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")
    assert _recorded_beside_an_erasure(postgresql.url(name), is_key_known) == ["c-2"]


def _recorded_beside_an_erasure(url: str, is_key_known: bool) -> list[str]:
    """Who is recorded of two of whom one is being erased by another process."""
    database, other = Database(url), Database(url)
    scores = Scores(database)
    scores.record([remembered("c-8")])
    if is_key_known:
        with other.writing() as connection:
            tombstones.bury(connection, "c-1", AT)
        scores.record([remembered("c-9")])
    two = ("c-1042", "c-2")
    rows = [remembered(who) for who in two]
    made = [decided(at, customer_id=who) for at, who in enumerate(two)]
    waiting = threading.Thread(target=scores.record, args=(rows, made))
    with other.writing() as connection:
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()  # for the writers' lock
        tombstones.bury(connection, "c-1042", AT)
    waiting.join()
    there = [who for who in two if known(database, who) != (0, [])]
    other.close()
    database.close()
    return there


def test_a_store_put_in_the_place_of_another_is_written_to_by_its_own_key(tmp_path: Path) -> None:
    file, url = tmp_path / "keepwell.db", f"sqlite:///{tmp_path}/keepwell.db"
    database = Database(url)
    scores = Scores(database)
    with database.writing() as connection:
        tombstones.bury(connection, "c-1", AT)
    for at in range(2):  # the second time by the key of this store
        scores.record([remembered(f"c-{at + 8}")])
    other = Database(f"sqlite:///{tmp_path}/other.db")
    with other.writing() as connection:
        tombstones.bury(connection, "c-1042", AT)
    other.close()
    os.replace(tmp_path / "other.db", file)
    for of_the_old in ("-wal", "-shm"):
        Path(f"{file}{of_the_old}").unlink()
    for one in ("c-1042", "c-2"):
        scores.record([remembered(one)])
    assert [known(database, one)[0] for one in ("c-8", "c-1042", "c-2")] == [0, 0, 1]
    database.close()


def test_what_fails_half_way_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/keepwell.db")
    scores = Scores(database)
    scores.record([remembered()])
    with database.at_once() as kept:
        kept.driver.execute("PRAGMA max_page_count=1")
    many = [remembered(f"d-{at}", reasons="[1]" * 1000) for at in range(100)]
    with pytest.raises(StoreUnavailable, match="no space left on its disk; make room"):
        scores.record([remembered("c-2"), *many])
    assert known(database, "c-2") == (0, [])
    scores.record([remembered("c-2"), *many])  # over another connection
    assert known(database, "c-2") == (1, [])
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["keepwell.db"]


def test_what_is_interrupted_leaves_nothing(database: Database) -> None:
    scores = Scores(database)
    scores.record([remembered()])

    def interrupted(driver: Any) -> None:
        driver.execute("BEGIN")
        driver.execute("DELETE FROM scores")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), database.at_once() as kept:
        kept.call(interrupted, kept.driver)
    assert known(database, "c-1042") == (1, [])
    scores.record([remembered("c-2")])
    assert known(database, "c-2") == (1, [])


def test_a_fault_of_ours_is_not_taken_for_a_lost_connection(database: Database) -> None:
    scores = Scores(database)
    scores.record([remembered()])
    with pytest.raises(DBAPIError, match=r"NOT NULL|not-null"):
        scores.record([remembered("c-2", status=None)])
    assert database.available
    scores.record([remembered("c-2")])
    assert known(database, "c-2") == (1, [])


def test_tables_that_were_removed_are_made_anew(database: Database) -> None:
    scores = Scores(database)
    scores.record([remembered()])
    with database.writing() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.exec_driver_sql(f"DROP TABLE {table.name}")
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(StoreUnavailable, match="it lacks tables"):
        scores.record([remembered("c-2")])
    scores.record([remembered("c-2")])
    assert known(database, "c-2") == (1, [])


def test_a_store_that_is_closed_beside_a_writer_keeps_no_connection(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/keepwell.db")
    Scores(database).record([remembered()])
    with database.writing():
        database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["keepwell.db"]  # its log is gone


def test_a_connection_that_the_server_ended_is_told_once(postgresql: Server) -> None:
    name = postgresql.new_database()
    database = Database(postgresql.url(name))
    scores = Scores(database)
    scores.record([remembered()])
    _end_connections(postgresql, name)
    with pytest.raises(StoreUnavailable, match=r"the connection was lost|starting or stopping"):
        scores.record([remembered("c-2")])
    scores.record([remembered("c-2")])
    assert known(database, "c-2") == (1, [])
    database.close()


def test_a_connection_that_was_idle_is_asked_before_it_is_used(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.0)
    name = postgresql.new_database()
    database = Database(postgresql.url(name))
    scores = Scores(database)
    scores.record([remembered()])
    _end_connections(postgresql, name)
    scores.record([remembered("c-2")])
    assert known(database, "c-2") == (1, [])
    database.close()


def _end_connections(postgresql: Server, name: str) -> None:
    postgresql.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
