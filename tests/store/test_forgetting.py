"""A person is forgotten: nothing of them is left in either database, and nothing comes back."""

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from service.erasure import FILE, Eraser
from service.jobs.folders import Folders
from service.jobs.job import Limits
from service.jobs.taking_out import TakingOut
from service.store import forgetting, tables
from service.store.database import Database
from service.store.errors import StoreUnavailable, WrongErasureKey
from service.store.histories import Histories
from service.store.histories import Outcome as Became
from service.store.outcomes import Outcome, Outcomes, UnknownDecision
from service.store.tombstones import buried
from tests.decided import decided, plant
from tests.postgresql import Server

CANARY = "canary-7f3a"
NOW = 20_000 * DAY
FIELDS = ("order_id", "category", "channel", "case_id", "event_id")
Search = Callable[[], bytes]


@pytest.fixture
def search(request: pytest.FixtureRequest, store_url: str) -> Search:
    """Returns every byte that is kept: of SQLite all files, of PostgreSQL the logical dump."""
    url = make_url(store_url)
    if url.drivername == "sqlite":
        folder = Path(url.database or "").parent
        return lambda: b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    server: Server = request.getfixturevalue("postgresql")
    return lambda: server.dump(str(url.database))


@pytest.fixture
def eraser(database: Database) -> Eraser:
    return eraser_of(database, lambda: NOW)


def eraser_of(database: Database, clock: Callable[[], int]) -> Eraser:
    """Makes an eraser of a store without jobs."""
    return Eraser(database, clock, TakingOut(database, Folders(Path("/nowhere")), Limits()))


def events_of(who: str, count: int = 40) -> list[tuple[str, Event]]:
    """Events with the name of their customer in every field that is a text."""
    return [
        (
            who,
            Event(
                NOW - (1 + at) * DAY,
                Kind.PURCHASE if at % 3 else Kind.COMPLAINT,
                amount=5.5,
                **{name: f"{name}-{at}-of-{who}" for name in FIELDS},
            ),
        )
        for at in range(count)
    ]


def record_scores(database: Database, who: str, count: int = 3) -> None:
    rows = [
        {
            "customer_id": who,
            "day": day,
            "model_version": "m",
            "as_of": NOW,
            "scored_at": NOW,
            "probability": 0.5,
            "status": "scored",
            "band": "high",
            "reasons": f'["why {who} leaves"]',
            "horizon_days": 60,
        }
        for day in range(count)
    ]
    with database.writing() as connection:
        connection.execute(tables.scores.insert(), rows)


def record_decisions(database: Database, who: str, count: int = 3) -> None:
    """Decisions that name the customer in their facts too, and what came of them."""
    for at in range(count):
        name = hashlib.blake2b(f"{who}-{at}".encode(), digest_size=16).hexdigest()
        facts = f'{{"why": "{who} is silent"}}'
        plant(
            database,
            decided(decision_id=name, customer_id=who, day=20_000 - at, facts=facts),
        )
        for outcome in (Outcome.DELIVERED, Outcome.ACCEPTED):
            Outcomes(database).add(name, outcome, NOW + DAY, now=NOW + DAY, allowance=0)


def test_every_table_that_names_a_customer_is_known_to_be_personal() -> None:
    naming = {
        table.name
        for table in tables.metadata.tables.values()
        if any("customer" in column.name for column in table.columns)
    }
    assert naming == {table.name for table in tables.PERSONAL}


def test_nothing_is_left_of_a_person_and_everything_of_the_others(
    database: Database, eraser: Eraser, search: Search
) -> None:
    histories = Histories(database)
    others = [f"c-{at}" for at in range(50)]
    for who in [*others[:25], CANARY, *others[25:]]:
        histories.append(events_of(who), NOW)
        record_scores(database, who)
        record_decisions(database, who)
    kept = personal(database, others)
    assert CANARY.encode() in search()
    erased = eraser.erase(CANARY)
    assert (erased.events, erased.scores, erased.decisions, erased.pending) == (40, 3, 3, ())
    assert erased.erased_at == NOW
    assert b"canary" not in search()
    assert personal(database, [*others, CANARY]) == kept
    for table in tables.PERSONAL:
        with database.reading() as connection:
            assert CANARY not in connection.scalars(select(table.c.customer_id)).all()


def personal(database: Database, who: list[str]) -> list[object]:
    with database.reading() as connection:
        return [
            tuple(row)
            for table in tables.PERSONAL
            for row in connection.execute(
                select(table)
                .where(table.c.customer_id.in_(who))
                .order_by(*table.primary_key.columns)
            )
        ]


def test_of_an_erased_customer_no_outcome_is_taken_and_none_is_left(
    database: Database, eraser: Eraser, search: Search
) -> None:
    record_decisions(database, CANARY)
    with database.reading() as connection:
        names = list(connection.scalars(select(tables.decisions.c.decision_id)))
    assert len(names) == 3
    eraser.erase(CANARY)
    for name in names:
        with pytest.raises(UnknownDecision):
            Outcomes(database).add(name, Outcome.LOST, NOW + DAY, now=NOW + DAY, allowance=0)
    with database.reading() as connection:
        for table in (tables.decisions, tables.outcomes):
            assert connection.execute(select(table)).all() == []
    assert b"canary" not in search()
    assert names[0].encode() not in search()


def test_what_happened_before_stays_out_and_what_happens_later_is_taken(
    database: Database, eraser: Eraser
) -> None:
    histories = Histories(database)
    histories.append(events_of(CANARY), NOW)
    eraser.erase(CANARY)
    later = (CANARY, Event(NOW, Kind.PURCHASE))
    assert histories.append([*events_of(CANARY), later], NOW) == [
        *[Became.ERASED] * 40,
        Became.ACCEPTED,
    ]
    assert len(histories.read([CANARY])[CANARY]) == 1


def test_an_event_that_lay_ahead_of_the_clock_does_not_come_back(
    database: Database, eraser: Eraser
) -> None:
    ahead = (CANARY, Event(NOW + 300_000_000, Kind.VISIT))
    histories = Histories(database)
    histories.append([ahead], NOW)
    assert eraser.erase(CANARY).erased_at == NOW + 300_000_001
    assert histories.append([ahead], NOW) == [Became.ERASED]


def test_an_event_far_ahead_does_not_keep_a_customer_out_for_ever(
    database: Database, eraser: Eraser
) -> None:
    Histories(database).append([(CANARY, Event(NOW + 900 * DAY, Kind.VISIT))], NOW)
    assert eraser.erase(CANARY).erased_at == NOW + DAY


def test_erasing_again_or_somebody_unknown_finds_nothing(
    database: Database, eraser: Eraser
) -> None:
    Histories(database).append(events_of(CANARY), NOW)
    assert eraser.erase(CANARY).events == 40
    for who in (CANARY, "never heard of", "%", "' OR 1=1 --"):
        erased = eraser.erase(who)
        assert (erased.events, erased.scores, erased.decisions, erased.pending) == (0, 0, 0, ())
    assert Histories(database).append(events_of("never heard of", 1), NOW) == [Became.ERASED]


def test_an_erasure_by_a_clock_that_is_behind_lets_nothing_back_in(database: Database) -> None:
    eraser_of(database, lambda: NOW).erase(CANARY)
    eraser_of(database, lambda: NOW - 9 * DAY).erase(CANARY)
    assert set(Histories(database).append(events_of(CANARY), NOW)) == {Became.ERASED}


def test_erasures_and_old_events_at_once_leave_nothing(
    database: Database, eraser: Eraser, search: Search
) -> None:
    histories = Histories(database)
    histories.append(events_of(CANARY), NOW)
    begin = threading.Barrier(4)
    counts: list[int] = []

    def arrive() -> None:
        begin.wait()
        for _ in range(5):
            histories.append(events_of(CANARY), NOW)

    def leave() -> None:
        begin.wait()
        counts.append(eraser_of(database, lambda: NOW).erase(CANARY).events)

    threads = [threading.Thread(target=what) for what in (arrive, arrive, leave, leave)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 40]
    assert eraser.finish()
    assert b"canary" not in search()


def test_an_erasure_that_was_cut_off_is_finished_by_the_next_to_come(
    database: Database, eraser: Eraser, search: Search
) -> None:
    Histories(database).append(events_of(CANARY), NOW)
    with database.writing() as connection:
        forgetting.forget(connection, CANARY, NOW)
    assert Histories(database).read([CANARY]) == {}
    assert eraser.finish()
    assert b"canary" not in search()
    with database.reading() as connection:
        assert forgetting.unfinished(connection) == []


def test_an_erasure_that_fails_removes_nothing(
    database: Database, eraser: Eraser, monkeypatch: pytest.MonkeyPatch
) -> None:
    Histories(database).append(events_of(CANARY), NOW)

    def fail(connection: Connection, customer_id: str, now: int) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(forgetting, "bury", fail)
    with pytest.raises(StoreUnavailable):
        eraser.erase(CANARY)
    assert len(Histories(database).read([CANARY])[CANARY]) == 40


def test_a_reader_holds_the_log_back_and_it_is_emptied_when_he_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.erasure.LOG_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path}/keepwell.db")
    Histories(database).append(events_of(CANARY), NOW)
    reader = sqlite3.connect(tmp_path / "keepwell.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM histories").fetchone()
    eraser = eraser_of(database, lambda: NOW)
    erased = eraser.erase(CANARY)
    assert erased.events == 40
    assert erased.pending == (FILE,)
    assert not eraser.finish()
    reader.execute("COMMIT")
    assert eraser.finish()
    left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"canary" not in left
    reader.close()
    database.close()


def test_a_key_kept_outside_makes_the_tombstones_and_is_not_in_the_store(
    store_url: str, search: Search
) -> None:
    key = secrets.token_bytes(32)
    database = Database(store_url, erasure_key=key)
    eraser_of(database, lambda: NOW).erase(CANARY)
    with database.reading() as connection:
        assert buried(connection, [CANARY]) == {CANARY: NOW}
    kept = search()
    assert key not in kept
    assert key.hex().encode() not in kept
    database.close()


def test_a_store_with_tombstones_takes_no_other_key(store_url: str) -> None:
    key = secrets.token_bytes(32)
    first = Database(store_url, erasure_key=key)
    eraser_of(first, lambda: NOW).erase(CANARY)
    first.close()
    for other, message in (
        (secrets.token_bytes(32), "was used before"),
        (None, "from outside: set the same"),
    ):
        database = Database(store_url, erasure_key=other)
        with pytest.raises(WrongErasureKey, match=message) as raised:
            database.prepare()
        assert raised.value.exit_code == 2
        with pytest.raises(WrongErasureKey):
            Histories(database).append(events_of("c-1"), NOW)
        database.close()
    right = Database(store_url, erasure_key=key)
    assert Histories(right).append(events_of(CANARY, 1), NOW) == [Became.ERASED]
    right.close()


def test_a_key_from_outside_is_refused_where_the_store_made_its_own(
    database: Database, store_url: str
) -> None:
    eraser_of(database, lambda: NOW).erase(CANARY)
    other = Database(store_url, erasure_key=secrets.token_bytes(32))
    with pytest.raises(WrongErasureKey, match="here none at all"):
        other.prepare()
    other.close()


def test_a_store_without_tombstones_takes_any_key(store_url: str) -> None:
    for key in (None, b"a" * 32, b"b" * 40, None):
        database = Database(store_url, erasure_key=key)
        database.prepare()
        database.close()


def test_a_key_may_move_out_of_the_store(store_url: str) -> None:
    inside = Database(store_url)
    eraser_of(inside, lambda: NOW).erase(CANARY)
    with inside.reading() as connection:
        key = bytes(connection.execute(select(tables.secrets.c.value)).scalar_one())
    inside.close()
    outside = Database(store_url, erasure_key=key)
    assert Histories(outside).append(events_of(CANARY, 1), NOW) == [Became.ERASED]
    with outside.reading() as connection:
        assert key not in map(bytes, connection.scalars(select(tables.secrets.c.value)))
    outside.close()
