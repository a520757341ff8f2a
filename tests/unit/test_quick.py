"""What is recognised quickly is what the schema would have made of it, and never more."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.events import Event, Feed, Kind
from service.contract import EXAMPLE_EVENTS, EXAMPLE_FEATURES
from service.problems import Problem
from service.quick import Checked, quick, quick_body
from service.schemas import EventInput, ScoreRequest
from service.strict_json import MAX_MEMBERS, parse
from service.validation import _judged

INSTANT = "2026-10-02T10:11:00Z"
INSTANTS = st.sampled_from(
    [INSTANT, "2026-10-02t10:11:00.1234567+03:00", "2026-10-02T10:11:00", "1899-01-01T00:00:00Z",
     "2026-W40-5T10:11:00Z", "x", "", None, 7]
)  # fmt: skip
TEXTS = st.sampled_from(["a", "é", "", "a\n", "\x85", "\ud800", "x" * 129, "x" * 257, None, 3]) | (
    st.text(max_size=4)
)
NUMBERS = st.sampled_from(
    [1, 1.5, 0, -0.0, -1, 1e15, 1.1e15, 10**16, 10**400, math.nan, math.inf, True, "1", None]
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "occurred_at": INSTANTS,
        "kind": st.sampled_from([*(kind.value for kind in Kind), "PURCHASE", 0, None, []]),
        **dict.fromkeys(("amount", "value", "quantity", "discount"), NUMBERS),
        **dict.fromkeys(("order_id", "category", "case_id", "channel", "event_id"), TEXTS),
        "known_at": INSTANTS,
        "other": st.none(),
    },
)
# Most of a request is right: where everything is wrong at once nothing more is learnt.
RIGHT_EVENTS = st.fixed_dictionaries(
    {"occurred_at": st.just(INSTANT), "kind": st.sampled_from([kind.value for kind in Kind])},
    optional={
        **dict.fromkeys(("amount", "value", "quantity", "discount"), st.floats(0.5, 9.0)),
        **dict.fromkeys(("order_id", "category", "case_id", "channel"), st.text("aé", min_size=1)),
        "known_at": st.just(INSTANT) | st.none(),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"customer_id": st.just("c") | TEXTS},
    optional={
        "as_of": st.just(INSTANT) | INSTANTS,
        "events": st.lists(RIGHT_EVENTS, max_size=3) | st.lists(EVENTS, max_size=3) | st.none(),
        "features": st.dictionaries(st.text("ab", max_size=2), NUMBERS | TEXTS) | st.none(),
        "feeds": st.lists(st.sampled_from([*(feed.value for feed in Feed), "x", 0]), max_size=20)
        | st.none(),
        "max_reasons": st.sampled_from([0, 3, 8, 9, -1, 3.0, True, None]),
        "direction": st.sampled_from(["raises", "both", "lowers", None]),
        "language": st.sampled_from(["en", "ru", "de", None, []]),
        "record": st.sampled_from([True, False, 1, "true", None]),
        "channels": st.lists(st.sampled_from(["message", "phone", "", "a\n", 1, None]), max_size=3)
        | st.sampled_from([None, "message", ["a"] * 64, ["a"] * 65]),
        "other": st.none(),
    },
)


def judged(value: Any) -> Checked | None:
    try:
        return _judged(value, "", frozenset())
    except Problem:
        return None


@given(REQUESTS)
def test_what_is_taken_quickly_is_what_the_schema_makes_of_it(request: dict[str, Any]) -> None:
    taken = quick(request)
    if taken is not None:
        expected = judged(request)
        assert taken == expected
        for event, other in zip(
            taken.events or (), (expected and expected.events) or (), strict=True
        ):
            assert [type(field) for field in event] == [type(field) for field in other]


@pytest.mark.parametrize("value", [None, [], "x", 1, {}, {"customer_id": "c", "x": 1}])
def test_what_is_plainly_wrong_is_left_to_the_schema(value: Any) -> None:
    assert quick(value) is None
    assert judged(value) is None


@pytest.mark.parametrize("example", [EXAMPLE_EVENTS, EXAMPLE_FEATURES])
def test_plain_requests_are_taken(example: dict[str, Any]) -> None:
    assert quick(example) == judged(example) is not None


def test_a_request_with_everything_in_it_is_taken() -> None:
    event = dict.fromkeys(EventInput.model_fields, "x") | {
        "occurred_at": INSTANT, "known_at": INSTANT, "kind": "purchase",
        "amount": 1, "value": 2, "quantity": 3, "discount": 4,
    }  # fmt: skip
    request = {
        "customer_id": "c", "as_of": INSTANT, "events": [event], "features": {"a": 1, "b": "x"},
        "feeds": ["orders"], "max_reasons": 8, "direction": "both", "language": "ru",
        "record": True, "channels": ["message", "phone"],
    }  # fmt: skip
    assert set(request) == set(ScoreRequest.model_fields)
    assert set(event) == set(Event._fields)
    assert quick(request) == judged(request) is not None


@given(REQUESTS)
def test_a_body_is_taken_for_what_the_strict_parser_makes_of_it(request: dict[str, Any]) -> None:
    raw = json.dumps(request, separators=(",", ":")).encode()
    taken = quick_body(raw)
    assert taken == (quick(request) if taken is not None else None)
    assert taken is None or taken == quick(parse(raw))


@pytest.mark.parametrize("example", [EXAMPLE_EVENTS, EXAMPLE_FEATURES])
def test_a_plain_body_is_taken(example: dict[str, Any]) -> None:
    assert quick_body(json.dumps(example).encode()) == quick(example) is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"customer_id":"a","customer_id":"a"}',
        b'{"customer_id":"a","events":[],"events":[]}',
        b'{"customer_id":"a","features":{"x":1,"x":1}}',
        b'{"customer_id":"a","features":{"x":1},"features":{"x":1,"y":2}}',
        b'{"customer_id":"a","features":{"x":1e400}}',
        b'{"customer_id" :"a"}',
        b'{"customer_id":"a\\":"}',
        b'{"customer_id":"a"',
        b'"a"',
        b"{%b}" % b",".join([b'"customer_id":"a"', b'"features":{%b}' % b",".join(
            b'"x%d":1' % at for at in range(MAX_MEMBERS + 1)
        )]),
    ],
)  # fmt: skip
def test_a_body_in_doubt_is_left_to_the_strict_parser(body: bytes) -> None:
    assert quick_body(body) is None
