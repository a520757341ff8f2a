"""Whatever is sent: 4xx with a pointer or a reason, never 500, and never a guess."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.client import AppClient, customer, purchases


def with_event(**changes: Any) -> dict[str, Any]:
    return customer(events=[purchases(1)[0] | changes])


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def amount(literal: str) -> bytes:
    return raw(
        '{"customer_id":"c","events":[{"occurred_at":"2026-10-02T10:11:00Z","kind":"purchase",'
        f'"amount":{literal}}}]}}'
    )


AMOUNT = "/events/0/amount"

MALFORMED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "empty_body"),
    ("truncated", b'{"customer_id": "c"', "malformed_json"),
    ("two documents", b"{}{}", "malformed_json"),
    ("single quotes", b"{'customer_id': 'c'}", "malformed_json"),
    ("a comment", b'{"customer_id": "c" /* x */}', "malformed_json"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "malformed_json"),
    ("raw control character", b'{"customer_id": "a\x00b"}', "malformed_json"),
    ("hexadecimal", amount("0x10"), "malformed_json"),
    ("leading plus", amount("+1"), "malformed_json"),
    ("latin-1", '{"customer_id": "\u00e9"}'.encode("latin-1"), "bad_encoding"),
    ("utf-16", '{"customer_id": "c"}'.encode("utf-16"), "bad_encoding"),
    ("encoded surrogate", raw('{"customer_id": "\ud800"}'), "bad_encoding"),
    ("overlong utf-8", b'{"customer_id": "\xc0\x80"}', "bad_encoding"),
    ("a key twice", b'{"customer_id": "a", "customer_id": "b"}', "duplicate_key"),
    ("a key twice below", amount('1, "amount": 2'), "duplicate_key"),
    ("deep arrays", b"[" * 20_000, "too_deep"),
    ("deep objects", b'{"a":' * 5_000, "too_deep"),
    ("empty objects", b"[" + b"{}," * 20_000 + b"{}]", "too_many_values"),
    ("5000 digits", amount("9" * 5000), "number_too_long"),
    (
        "many members",
        json.dumps({f"k{i}": 1 for i in range(5000)}).encode(),
        "too_many_members",
    ),
]

WRONG: list[tuple[str, Any, str, str]] = [
    ("null", None, "", "not_an_object"),
    ("a list", [], "", "not_an_object"),
    ("a string", "x", "", "not_an_object"),
    ("a number", b"1", "", "not_an_object"),
    ("NaN alone", b"NaN", "", "not_an_object"),
    ("NaN", amount("NaN"), AMOUNT, "not_finite"),
    ("Infinity", amount("Infinity"), AMOUNT, "not_finite"),
    ("minus Infinity", amount("-Infinity"), AMOUNT, "not_finite"),
    ("overflow", amount("1e400"), AMOUNT, "not_finite"),
    ("huge integer", amount("1" + "0" * 400), AMOUNT, "not_a_number"),
    ("large integer", amount("1" + "0" * 30), AMOUNT, "too_big"),
    ("a number in quotes", amount('"54.9"'), AMOUNT, "not_a_number"),
    ("NaN in quotes", amount('"NaN"'), AMOUNT, "not_a_number"),
    ("true for a number", amount("true"), AMOUNT, "not_a_number"),
    ("a list for a number", amount("[]"), AMOUNT, "not_a_number"),
    ("amount of zero", amount("0"), AMOUNT, "not_positive"),
    ("amount of minus zero", amount("-0.0"), AMOUNT, "not_positive"),
    ("negative return", with_event(kind="return", amount=-1), AMOUNT, "not_positive"),
    ("negative cancellation", with_event(kind="cancellation", amount=-1), AMOUNT, "not_positive"),
    ("negative quantity", with_event(quantity=-1), "/events/0/quantity", "too_small"),
    ("negative discount", with_event(discount=-0.5), "/events/0/discount", "too_small"),
    ("unknown kind", with_event(kind="refund"), "/events/0/kind", "unknown_value"),
    ("kind by position", with_event(kind=0), "/events/0/kind", "unknown_value"),
    ("kind in capitals", with_event(kind="PURCHASE"), "/events/0/kind", "unknown_value"),
    ("kind as object", with_event(kind={}), "/events/0/kind", "unknown_value"),
    ("no kind", customer(events=[{"occurred_at": "2026-10-02T10:11:00Z"}]), "/events/0/kind",
     "required"),
    ("naive time", with_event(occurred_at="2026-10-02T10:11:00"), "/events/0/occurred_at",
     "no_offset"),
    ("a date", with_event(occurred_at="2026-10-02"), "/events/0/occurred_at", "bad_instant"),
    ("seconds", with_event(occurred_at=1790000000), "/events/0/occurred_at", "not_a_string"),
    ("null time", with_event(occurred_at=None), "/events/0/occurred_at", "not_a_string"),
    ("30 February", with_event(occurred_at="2026-02-30T00:00:00Z"), "/events/0/occurred_at",
     "bad_instant"),
    ("year 1899", with_event(occurred_at="1899-12-31T23:59:59Z"), "/events/0/occurred_at",
     "out_of_range"),
    ("year 2200", with_event(known_at="2200-01-01T00:00:00Z"), "/events/0/known_at",
     "out_of_range"),
    ("naive as_of", customer(as_of="2026-11-21T00:00:00"), "/as_of", "no_offset"),
    ("a very long time", customer(as_of="2026-11-21T00:00:00." + "0" * 9999 + "Z"), "/as_of",
     "bad_instant"),
    ("an event that is none", customer(events=["purchase"]), "/events/0", "not_an_object"),
    ("events as object", customer(events={}), "/events", "not_an_array"),
    ("features as list", {"customer_id": "c", "features": []}, "/features", "not_an_object"),
    ("feature in quotes", {"customer_id": "c", "features": {"purchases_30d": "1"}},
     "/features/purchases_30d", "not_a_number"),
    ("feature as boolean", {"customer_id": "c", "features": {"purchases_30d": False}},
     "/features/purchases_30d", "not_a_number"),
    ("feature NaN", b'{"customer_id": "c", "features": {"purchases_30d": NaN}}',
     "/features/purchases_30d", "not_finite"),
    ("negative feature", {"customer_id": "c", "features": {"purchases_30d": -1}},
     "/features/purchases_30d", "too_small"),
    ("unknown feature", {"customer_id": "c", "features": {"purchase_30d": 1}}, "/features",
     "unknown_feature"),
    ("unknown feature, null", {"customer_id": "c", "features": {"nothing": None}}, "/features",
     "unknown_feature"),
    ("unknown feature, wrong", {"customer_id": "c", "features": {"nothing": "x"}}, "/features",
     "unknown_feature"),
    ("surrogate as feature", b'{"customer_id": "c", "features": {"\\ud800": 1}}', "/features",
     "unknown_feature"),
    ("no customer", {"events": []}, "/customer_id", "required"),
    ("null customer", customer(customer_id=None), "/customer_id", "not_a_string"),
    ("numeric customer", customer(customer_id=17850), "/customer_id", "not_a_string"),
    ("empty customer", customer(customer_id=""), "/customer_id", "empty"),
    ("long customer", customer(customer_id="c" * 257), "/customer_id", "too_long"),
    ("line break in customer", customer(customer_id="a\nb"), "/customer_id", "control_character"),
    ("C1 control in customer", customer(customer_id="a\x85b"), "/customer_id",
     "control_character"),
    ("nul in order", with_event(order_id="\x00"), "/events/0/order_id", "control_character"),
    ("surrogate in customer", b'{"customer_id": "\\ud800", "events": []}', "/customer_id",
     "bad_unicode"),
    ("surrogate as key", b'{"customer_id": "c", "events": [], "\\ud800": 1}', "", "bad_unicode"),
    ("unknown field", customer(event=[]), "", "unknown_field"),
    ("unknown event field", with_event(amout=1), "/events/0", "unknown_field"),
    ("unknown feed", customer(feeds=["orders", "money"]), "/feeds/1", "unknown_value"),
    ("feeds as string", customer(feeds="orders"), "/feeds", "not_an_array"),
    ("endless feeds", customer(feeds=["orders"] * 17), "/feeds", "too_many"),
    ("nine reasons", customer(max_reasons=9), "/max_reasons", "too_big"),
    ("minus one reason", customer(max_reasons=-1), "/max_reasons", "too_small"),
    ("reasons as float", customer(max_reasons=3.0), "/max_reasons", "not_an_integer"),
    ("reasons as boolean", customer(max_reasons=True), "/max_reasons", "not_an_integer"),
    ("null reasons", customer(max_reasons=None), "/max_reasons", "not_an_integer"),
    ("another language", customer(language="de"), "/language", "unknown_value"),
    ("a computed feature beside events", customer(features={"purchases_30d": 1}),
     "/features/purchases_30d", "computed_from_events"),
    ("too many events", customer(events=purchases(1) * 10_001), "/events", "too_many"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "code"), MALFORMED, ids=[row[0] for row in MALFORMED])
def test_malformed_json_is_400_alone_and_an_error_row_in_ndjson(
    client: AppClient, name: str, body: bytes, code: str
) -> None:
    answer = client.post("/score", body)
    assert answer.status_code == 400, name
    assert answer.json()["type"] == "/problems/malformed-json"
    assert answer.json()["errors"] == [{"pointer": "", "code": code}]
    if body and b"\n" not in body:
        answer = client.post("/v1/score/batch", body, content_type="application/x-ndjson")
        assert answer.status_code == 200
        row = json.loads(answer.content)
        assert (row["index"], row["status"], row["errors"][0]["code"]) == (0, 400, code)


@pytest.mark.parametrize(("name", "body", "pointer", "code"), WRONG, ids=[row[0] for row in WRONG])
def test_a_wrong_field_is_422_with_its_pointer(
    client: AppClient, name: str, body: Any, pointer: str, code: str
) -> None:
    answer = client.post("/score", body)
    assert answer.status_code == 422, name
    problem = answer.json()
    assert {"pointer": pointer, "code": code} in problem["errors"], problem
    assert len(problem["detail"]) > 10
    in_batch = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = client.post("/v1/score/batch", b'{"customers": [' + in_batch + b"]}")
    assert answer.status_code == 200
    row = answer.json()["results"][0]
    assert {"pointer": "/customers/0" + pointer, "code": code} in row["errors"]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (customer(event=[]), "`events`"),
        (with_event(amout=1), "`amount`"),
        (with_event(ocurred_at=1), "`occurred_at`"),
        ({"customer_id": "c", "features": {"purchase_30d": 1}}, "`purchases_30d`"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known(
    client: AppClient, body: Any, name: str
) -> None:
    assert name in client.post("/score", body).json()["detail"]


def test_not_more_than_twenty_errors_are_shown(client: AppClient) -> None:
    body = {"customer_id": "c", "features": {f"f{i}": 1 for i in range(500)}}
    problem = client.post("/score", body).json()
    assert len(problem["errors"]) == 20
    assert "499 more" in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content_type": "text/plain"}, "content_type"),
        ({"content_type": "application/x-www-form-urlencoded"}, "content_type"),
        ({"content_type": "application/jsonp"}, "content_type"),
        ({"content_type": ""}, "content_type"),
        ({"content_type": "application/x-ndjson"}, "content_type"),
        ({"content_type": "application/json; charset=latin-1"}, "charset"),
        ({"content_encoding": "gzip"}, "content_encoding"),
        ({"content_encoding": "identity, br"}, "content_encoding"),
    ],
)
def test_another_format_is_415(client: AppClient, headers: dict[str, str], code: str) -> None:
    answer = client.post("/score", customer(), **headers)
    assert answer.status_code == 415
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"; x=y'],
)
def test_json_may_be_named_in_any_correct_way(client: AppClient, content_type: str) -> None:
    assert client.post("/score", customer(), content_type=content_type).status_code == 200


def test_a_declared_length_beyond_the_limit_is_refused_unread(client: AppClient) -> None:
    async def never() -> Any:
        raise AssertionError("the body was read")
        yield b""

    answer = client.stream("/score", never(), **{"content-length": str((1 << 20) + 1)})
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(("path", "limit"), [("/score", 1 << 20), ("/v1/score/batch", 16 << 20)])
def test_a_body_without_a_length_is_read_no_further_than_the_limit(
    client: AppClient, path: str, limit: int
) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    answer = client.stream(path, endless())
    assert answer.status_code == 413
    assert str(limit) in answer.json()["detail"]
    assert sent <= limit + 2 * 65_536


def test_a_nonsense_length_is_not_believed(client: AppClient) -> None:
    async def chunks() -> Any:
        yield json.dumps(customer()).encode()

    answer = client.stream("/score", chunks(), **{"content-length": "9" * 30})
    assert answer.status_code in {200, 413}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*customer(), "features", "occurred_at", "kind", "amount"]) | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_no_json_value_breaks_the_service(client: AppClient, value: Any) -> None:
    def send(path: str, body: Any) -> httpx.Response:
        return client.post(path, json.dumps(body).encode())

    assert send("/score", value).status_code in {200, 400, 422}
    if isinstance(value, dict):
        assert send("/score", customer() | value).status_code in {200, 400, 422}
    assert send("/v1/score/batch", {"customers": [value]}).status_code in {200, 400}


@given(st.binary(max_size=200))
def test_no_bytes_break_the_service(client: AppClient, body: bytes) -> None:
    assert client.post("/score", body).status_code in {400, 422}
    answer = client.post("/v1/score/batch", body, content_type="application/x-ndjson")
    assert answer.status_code == 200
