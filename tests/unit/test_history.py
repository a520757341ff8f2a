"""Stored events are seen as if they had been sent, whatever their order and number of sendings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.events import Event, EventLog, Kind, canonical, customer_log
from churn.history import History, rows_of
from tests.random_logs import random_history


def same(one: EventLog, other: EventLog) -> bool:
    return all(
        np.array_equal(
            getattr(one, name), getattr(other, name), equal_nan=getattr(one, name).dtype.kind == "f"
        )
        for name in EventLog._fields
    )


def stored(events: list[Event], *, by: int = 3) -> History:
    history = History.empty()
    for number, at in enumerate(range(0, len(events), by), 1):
        history, _ = history.merged(events[at : at + by], number)
        history = History.decode(history.encode()) if len(history) else history
    return history


def event(at: int, **given: object) -> Event:
    return Event(at, Kind.PURCHASE, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(60))
def test_the_log_of_what_is_stored_is_that_of_the_events_sent(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = random_history(rng)
    shuffled = [events[at] for at in rng.permutation(len(events))]
    for by in (1, 3, 1000):
        history = stored(shuffled, by=by)
        assert history.events() == canonical(events)
        assert same(history.log("c"), customer_log("c", events))


MOMENTS = st.integers(0, 3)
EVENTS = st.tuples(
    MOMENTS,
    st.sampled_from([Kind.PURCHASE, Kind.COMPLAINT]),
    st.sampled_from([None, 1.5, 2.0]),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, 1, 2, 5]),
).map(lambda drawn: Event(*drawn[:2], amount=drawn[2], event_id=drawn[3], known_at=drawn[4]))


@given(st.lists(EVENTS, max_size=8), st.integers(1, 4), st.randoms())
def test_repeats_are_settled_as_in_a_request_whatever_came_first(
    events: list[Event], by: int, random: object
) -> None:
    arrived = list(events)
    random.shuffle(arrived)  # type: ignore[attr-defined]
    history = stored(arrived, by=by)
    assert history.events() == canonical(events)
    assert same(history.log("c"), customer_log("c", events))


@given(st.lists(EVENTS, max_size=8), st.lists(EVENTS, max_size=8))
def test_what_came_later_can_be_left_unseen(before: list[Event], after: list[Event]) -> None:
    history, _ = History.empty().merged(before, 1)
    history, _ = history.merged(after, 2)
    assert history.events(upto=1) == canonical(before)
    assert same(history.log("c", upto=1), customer_log("c", before))
    assert rows_of(history.columns(upto=1)) == canonical(before)
    assert history.events(upto=2) == canonical([*before, *after])
    assert rows_of(history.columns()) == canonical([*before, *after])


@given(st.lists(EVENTS, max_size=8), st.lists(EVENTS, max_size=8))
def test_an_event_counts_as_added_exactly_if_it_changes_what_is_seen(
    before: list[Event], after: list[Event]
) -> None:
    history, _ = History.empty().merged(before, 1)
    for one in after:
        seen = history.events()
        history, (added,) = history.merged([one], 2)
        assert added == (history.events() != seen)


def test_sending_everything_again_adds_nothing() -> None:
    events = canonical(random_history(np.random.default_rng(5)))
    history = stored(events)
    again, added = history.merged(events, 99)
    assert again is history
    assert added == [False] * len(events)


def test_a_history_knows_the_columns_that_it_holds() -> None:
    history = stored([event(10, amount=1.0), event(20)])
    columns = [list(column) for column in history.columns()]
    assert history.holds(columns)
    assert not history.holds([column[:1] for column in columns])
    columns[3][1] = 2.0
    assert not history.holds(columns)
    repeated, _ = history.merged([event(10, amount=1.0, known_at=5)], 2)
    assert repeated.holds(history.columns()) == (repeated is history)


def test_one_event_id_names_one_event_of_a_customer() -> None:
    history, _ = History.empty().merged([event(5, amount=10.0, event_id="e-1")], 1)
    _, added = history.merged([event(7, amount=99.0, event_id="e-1")], 2)
    assert added == [False]


def test_a_late_event_takes_its_place() -> None:
    history = stored([event(30), event(10), event(20)], by=1)
    assert [one.occurred_at for one in history.events()] == [10, 20, 30]
    assert (history.first_at, history.last_at, len(history)) == (10, 30, 3)


def test_only_what_is_given_takes_room() -> None:
    history = stored([event(10, amount=1.0), event(20, amount=2.0)], by=2)
    assert history.encode() == (
        b'{"occurred_at":[10,20],"kind":[0,0],"amount":[1.0,2.0],"received":1}'
    )


def test_what_is_too_old_is_dropped() -> None:
    history = stored([event(10), event(20), event(30)]).without_before(20)
    assert [one.occurred_at for one in history.events()] == [20, 30]
    assert len(history.without_before(31)) == 0
