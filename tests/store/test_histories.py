"""Customers' events in the store, on both databases."""

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Feed, Kind, canonical
from service.store.database import Database
from service.store.histories import Histories, Outcome, erase
from service.store.tombstones import buried, bury
from tests.random_logs import random_histories

ACCEPTED, DUPLICATE, ERASED = Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.ERASED


@pytest.fixture
def histories(database: Database) -> Histories:
    return Histories(database)


def purchase(day: int, **given: object) -> Event:
    return Event(day * DAY, Kind.PURCHASE, **given)  # type: ignore[arg-type]


def test_what_was_added_is_read_back_whoever_came_between(histories: Histories) -> None:
    sent = random_histories(40, seed=3)
    rng = np.random.default_rng(3)
    rows = [(who, event) for who, events in sent.items() for event in events]
    shuffled = [rows[at] for at in rng.permutation(len(rows))]
    for at in range(0, len(shuffled), 97):
        histories.append(shuffled[at : at + 97], now=1)
    found = histories.read(sent)
    assert {who: history.events() for who, history in found.items()} == {
        who: canonical(events) for who, events in sent.items() if events
    }


def test_the_answer_says_what_became_of_each(histories: Histories) -> None:
    first = purchase(1, event_id="e-1")
    assert histories.append([("a", first), ("b", first), ("a", first)], 0) == [
        ACCEPTED,
        ACCEPTED,  # an `event_id` names one event of one customer
        DUPLICATE,
    ]
    assert histories.append([("a", purchase(9, event_id="e-1"))], 0) == [DUPLICATE]


def test_writes_are_numbered_and_repeats_are_none(histories: Histories) -> None:
    assert histories.received() == 0
    histories.append([("a", purchase(1))], 0)
    histories.append([("a", purchase(1))], 0)
    histories.append([], 0)
    assert histories.received() == 1
    histories.append([("a", purchase(2)), ("b", purchase(2))], 0)
    assert histories.received() == 2
    before = histories.read(["a", "b"], upto=1)
    assert list(before) == ["a"]
    assert before["a"].events(upto=1) == [purchase(1)]


def test_nobody_is_found_who_was_never_heard_of(histories: Histories) -> None:
    histories.append([("a", purchase(1))], 0)
    assert set(histories.read(["a", "never", ""])) == {"a"}
    assert histories.read([]) == {}


@pytest.mark.parametrize("who", ["Ünï–код", "a'; --", "%", "a b", "x" * 256, "\N{GRINNING FACE}"])
def test_any_name_is_kept_as_it_is(histories: Histories, who: str) -> None:
    event = purchase(1, category="кофе", order_id="o'1")
    assert histories.append([(who, event)], 0) == [ACCEPTED]
    assert histories.read([who])[who].events() == [event]


def test_names_differ_by_case_and_accent(histories: Histories) -> None:
    histories.append([("a", purchase(1)), ("A", purchase(2)), ("á", purchase(3))], 0)
    assert [histories.read([who])[who].first_at // DAY for who in "aAá"] == [1, 2, 3]


def test_more_customers_than_one_query_asks_for(histories: Histories) -> None:
    who = [f"c{at}" for at in range(1203)]
    histories.append([(one, purchase(1)) for one in who], 0)
    assert histories.append([(one, purchase(1)) for one in who], 0) == [DUPLICATE] * len(who)
    assert set(histories.read(who)) == set(who)


def test_watermarks_follow_the_newest_event_of_each_feed(histories: Histories) -> None:
    histories.append([("a", purchase(5)), ("b", Event(3 * DAY, Kind.COMPLAINT))], 7)
    histories.append([("c", purchase(2)), ("c", Event(9 * DAY, Kind.CONTACT))], 8)
    assert histories.watermarks() == {Feed.ORDERS: 5 * DAY, Feed.COMPLAINTS: 3 * DAY}


def test_what_is_erased_is_gone_and_stays_out(database: Database, histories: Histories) -> None:
    histories.append([("a", purchase(1)), ("a", purchase(2)), ("b", purchase(1))], 0)
    with database.writing() as connection:
        assert erase(connection, "a") == 2
        bury(connection, "a", 10 * DAY)
    assert set(histories.read(["a", "b"])) == {"b"}
    again = [("a", purchase(1)), ("a", purchase(11)), ("b", purchase(2))]
    assert histories.append(again, 0) == [ERASED, ACCEPTED, ACCEPTED]
    assert histories.read(["a"])["a"].events() == [purchase(11)]


def test_somebody_of_whom_all_is_from_before_the_erasure_is_not_stored(
    database: Database, histories: Histories
) -> None:
    with database.writing() as connection:
        bury(connection, "a", 10 * DAY)
    assert histories.append([("a", purchase(1)), ("a", purchase(2))], 0) == [ERASED, ERASED]
    assert histories.read(["a"]) == {}
    assert histories.received() == 0


def test_a_tombstone_does_not_name_the_customer(database: Database) -> None:
    with database.writing() as connection:
        bury(connection, "c-1042", 5)
        bury(connection, "c-1042", 9)
        assert buried(connection, ["c-1042", "c-1043"]) == {"c-1042": 9}
        rows = connection.exec_driver_sql("SELECT digest FROM tombstones").all()
    assert len(rows) == 1
    assert b"1042" not in bytes(rows[0][0])


def test_a_write_that_fails_leaves_nothing(database: Database, histories: Histories) -> None:
    histories.append([("a", purchase(1))], 0)
    with pytest.raises(AttributeError):
        histories.append([("a", purchase(2)), ("b", None)], 0)  # type: ignore[list-item]
    assert set(histories.read(["a", "b"])) == {"a"}
    assert len(histories.read(["a"])["a"]) == 1
    assert histories.received() == 1
