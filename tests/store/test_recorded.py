"""Scores and decisions that are recorded together, on both databases."""

import pytest

from service.store import tombstones
from service.store.database import Database
from service.store.decisions import Decided, Decisions
from service.store.recorded import Remembered, Scores
from tests.decided import decided

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
