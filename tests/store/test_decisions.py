"""Decisions and what came of them, on both databases."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from churn.events import MICROSECONDS_PER_DAY as DAY
from service.store import tables
from service.store.database import Database
from service.store.decisions import CameOf, Decided, Decisions, keep
from service.store.outcomes import (
    OF_DELIVERY,
    Contradiction,
    Fault,
    Kept,
    Outcome,
    Outcomes,
    UnknownDecision,
    any_delivered,
)
from tests.decided import decided, plant

FIRST = decided().decision_id
AT = decided().decided_at
ALLOWANCE = 300_000_000
NOWHERE = "f" * 32


def tell(database: Database, outcome: Outcome, at: int = AT + 5, decision_id: str = FIRST) -> Kept:
    return Outcomes(database).add(decision_id, outcome, at, now=AT + 9, allowance=ALLOWANCE)


def stored(database: Database) -> list[Decided]:
    with database.reading() as connection:
        found = connection.execute(
            select(tables.decisions).order_by(*tables.decisions.primary_key.columns)
        )
        return [Decided(*row) for row in found]


def kept(database: Database) -> list[tuple[str, str, int]]:
    with database.reading() as connection:
        found = connection.execute(
            select(tables.outcomes.c["decision_id", "outcome", "at"]).order_by(
                *tables.outcomes.primary_key.columns
            )
        )
        return [(row.decision_id, row.outcome, row.at) for row in found]


def test_a_decision_is_found_again_as_it_was_made(database: Database) -> None:
    held_out = decided(
        2, day=20_001, withheld=True, reason=None, band=None, segment=None,
        probability=None, value=None, expected_value=None, lower_bound=None,
    )  # fmt: skip
    plant(database, decided(), held_out)
    assert stored(database) == [decided(), held_out]


def test_the_first_of_a_customers_day_stands(database: Database) -> None:
    with database.writing() as connection:
        rows = [decided(1), decided(2), decided(3, customer_id="c-2"), decided(4, day=20_001)]
        assert keep(connection, rows, {}) == {row.key: row for row in (rows[0], rows[2], rows[3])}
    with database.writing() as connection:
        standing = keep(connection, [decided(5), decided(6, day=20_002)], {})
    assert standing == {("c-1042", 20_000): decided(1), ("c-1042", 20_002): decided(6, day=20_002)}
    assert [int(row.decision_id, 16) for row in stored(database)] == [1, 3, 4, 6]


def test_a_decision_from_before_its_customers_erasure_is_not_kept(database: Database) -> None:
    erased = {"c-1042": AT, "c-2": AT - 1, "c-3": AT - 1}
    rows = [
        decided(),
        decided(2, customer_id="c-2", as_of=AT),
        decided(3, customer_id="c-3"),  # made after, for the midnight before
    ]
    with database.writing() as connection:
        standing = keep(connection, rows, erased)
        assert keep(connection, [decided()], erased) == {}
    assert [row.customer_id for row in standing.values()] == ["c-2"]
    assert [row.customer_id for row in stored(database)] == ["c-2"]


def test_thousands_are_kept_at_once(database: Database) -> None:
    rows = [decided(at, customer_id=f"c-{at}") for at in range(1, 2_501)]
    plant(database, *rows)
    with database.writing() as connection:
        again = keep(connection, [row._replace(decision_id=NOWHERE) for row in rows], {})
    assert again == {row.key: row for row in rows}


def test_an_outcome_is_kept_and_told_twice_counts_once(database: Database) -> None:
    plant(database, decided())
    assert tell(database, Outcome.DELIVERED) == Kept(CameOf("delivered", AT + 5, AT + 9), False)
    assert tell(database, Outcome.DELIVERED, AT + 7) == Kept(
        CameOf("delivered", AT + 5, AT + 9), True
    )
    assert kept(database) == [(FIRST, "delivered", AT + 5)]


def test_outcomes_told_at_once_by_many_count_once(database: Database) -> None:
    plant(database, decided())
    begin = threading.Barrier(4)
    told: list[bool] = []

    def deliver() -> None:
        begin.wait()
        told.append(tell(database, Outcome.DELIVERED).is_repeat)

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False, True, True, True]
    assert len(kept(database)) == 1


def test_different_outcomes_stand_beside_each_other(database: Database) -> None:
    plant(database, decided())
    for outcome in (Outcome.DELIVERED, Outcome.IGNORED, Outcome.ACCEPTED, Outcome.RETAINED):
        assert not tell(database, outcome).is_repeat
    assert len(kept(database)) == 4


@pytest.mark.parametrize("outcome", sorted(OF_DELIVERY))
@pytest.mark.parametrize(
    ("changes", "fault"),
    [({"withheld": True}, Fault.WITHHELD), ({"action": "none"}, Fault.NOTHING_TO_DELIVER)],
)
def test_nothing_that_was_not_carried_out_was_delivered(
    database: Database, outcome: Outcome, changes: dict[str, object], fault: Fault
) -> None:
    plant(database, decided(**changes))
    with pytest.raises(Contradiction) as raised:
        tell(database, outcome)
    assert raised.value.fault is fault
    assert kept(database) == []


@pytest.mark.parametrize("outcome", [Outcome.RETAINED, Outcome.LOST])
def test_whoever_is_left_alone_stays_or_goes_all_the_same(
    database: Database, outcome: Outcome
) -> None:
    plant(database, decided(withheld=True))
    assert not tell(database, outcome).is_repeat


@pytest.mark.parametrize(
    ("first", "second"),
    [(Outcome.ACCEPTED, Outcome.REJECTED), (Outcome.LOST, Outcome.RETAINED)],
)
def test_opposites_do_not_both_come_of_a_decision(
    database: Database, first: Outcome, second: Outcome
) -> None:
    plant(database, decided())
    tell(database, first)
    with pytest.raises(Contradiction) as raised:
        tell(database, second)
    assert raised.value.fault is Fault.CONTRADICTS
    assert [outcome for _, outcome, _ in kept(database)] == [first.value]


def test_nothing_comes_of_a_decision_before_it_is_made(database: Database) -> None:
    plant(database, decided(decided_at=AT, as_of=AT))
    with pytest.raises(Contradiction) as raised:
        tell(database, Outcome.DELIVERED, AT - ALLOWANCE - 1)
    assert raised.value.fault is Fault.BEFORE_DECISION
    assert not tell(database, Outcome.DELIVERED, AT - ALLOWANCE).is_repeat


def test_what_was_decided_for_a_day_in_the_past_may_have_been_carried_out_then(
    database: Database,
) -> None:
    plant(database, decided(as_of=AT - 30 * DAY))
    assert not tell(database, Outcome.DELIVERED, AT - 29 * DAY).is_repeat


def test_an_outcome_of_no_decision_is_not_kept(database: Database) -> None:
    plant(database, decided())
    with pytest.raises(UnknownDecision):
        tell(database, Outcome.DELIVERED, decision_id=NOWHERE)
    assert kept(database) == []


def test_it_is_known_whether_anything_was_delivered(database: Database) -> None:
    plant(database, decided())
    tell(database, Outcome.ACCEPTED)
    with database.reading() as connection:
        assert not any_delivered(connection)
    tell(database, Outcome.DELIVERED)
    with database.reading() as connection:
        assert any_delivered(connection)


def test_a_customers_decisions_are_told_newest_first_a_page_at_a_time(database: Database) -> None:
    plant(database, *(decided(at, day=20_000 + at) for at in range(1, 6)))
    plant(database, decided(9, customer_id="c-2"))
    tell(database, Outcome.RETAINED, AT + 40 * DAY, decided(4).decision_id)
    tell(database, Outcome.DELIVERED, AT + 20 * DAY, decided(4).decision_id)
    book = Decisions(database)
    first = book.of_customer("c-1042", limit=2)
    assert [one.day for one, _ in first] == [20_005, 20_004]
    assert [one.outcome for one in first[1][1]] == ["delivered", "retained"]
    rest = book.of_customer("c-1042", limit=9, before=20_004)
    assert [one.day for one, _ in rest] == [20_003, 20_002, 20_001]
    assert book.of_customer("nobody", limit=9) == []


def test_a_store_from_before_decisions_gets_their_tables(store_url: str, tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    from service.store import migrate

    old = Database(store_url)
    if old.dialect == "sqlite":
        old._keep_a_log()
    with old._writing() as connection:
        config = Config()
        config.set_main_option("script_location", str(migrate.FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(tables.counters.insert().values(name="received", value=3))
    old.close()
    now = Database(store_url)
    plant(now, decided())
    assert stored(now) == [decided()]
    with now.reading() as connection:
        assert connection.execute(tables.counters.select()).all() == [("received", 3)]
    now.close()
