"""`POST /v1/events`: each row accepted, known already, or refused with what is wrong."""

import asyncio
import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.events import Event, Feed, Kind
from service import instants
from service.settings import Settings
from service.store.histories import Histories
from service.store.recorded import Remembered
from service.store.tombstones import bury
from tests.contract.client import NOW, AppClient, build
from training.rules import RULES

PATH = "/v1/events"
NDJSON = "application/x-ndjson"
DAY = 86_400_000_000


@pytest.fixture
def keeper(published: Path, store_url: str) -> Iterator[AppClient]:
    """A service with an empty store, in each of the two databases."""
    with build(Settings(models_dir=published, store_url=store_url)) as client:
        yield client


@pytest.fixture
def small(published: Path) -> Iterator[AppClient]:
    settings = Settings(models_dir=published, max_ingest_events=3, max_ingest_waiting=1)
    with build(settings) as client:
        yield client


def event(who: str = "c-1", day: int = 1, **given: Any) -> dict[str, Any]:
    at = instants.text(NOW - day * DAY)
    return {"customer_id": who, "occurred_at": at, "kind": "purchase", "amount": 5.0, **given}


def statuses(answer: dict[str, Any]) -> list[str]:
    return [row["status"] for row in answer["rows"]]


def stored(client: AppClient, who: str) -> list[Event]:
    found = client.app.state.keepwell.histories.read([who])
    return list(found[who].events()) if who in found else []


def test_events_are_kept_and_answered_in_input_order(keeper: AppClient) -> None:
    sent = [event("a", 3, event_id="e1"), event("b", 2), event("a", 1, order_id="o-1")]
    answer = keeper.post(PATH, {"events": sent})
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted": 3,
        "duplicates": 0,
        "refused": 0,
        "request_id": answer.headers["x-request-id"],
        "rows": [{"status": "accepted"}] * 3,
    }
    assert stored(keeper, "a") == [
        Event(NOW - 3 * DAY, Kind.PURCHASE, amount=5.0, event_id="e1"),
        Event(NOW - DAY, Kind.PURCHASE, "o-1", 5.0),
    ]
    assert stored(keeper, "b") == [Event(NOW - 2 * DAY, Kind.PURCHASE, amount=5.0)]


def test_sending_the_same_again_changes_nothing(keeper: AppClient) -> None:
    sent = [event("a", 3, event_id="e1"), event("a", 2), event("a", 2)]
    first = keeper.post(PATH, sent).json()
    assert statuses(first) == ["accepted", "accepted", "duplicate"]
    before = stored(keeper, "a")
    second = keeper.post(PATH, sent).json()
    assert statuses(second) == ["duplicate"] * 3
    assert (second["accepted"], second["duplicates"]) == (0, 3)
    assert stored(keeper, "a") == before
    assert len(before) == 2


def test_late_events_take_their_place(keeper: AppClient) -> None:
    for day in (1, 9, 4):
        keeper.post(PATH, [event("a", day)])
    assert [one.occurred_at for one in stored(keeper, "a")] == [
        NOW - day * DAY for day in (9, 4, 1)
    ]


def test_a_wrong_row_does_not_stop_the_others(keeper: AppClient) -> None:
    wrong = [
        (event(amount="5"), "/events/1/amount", "not_a_number"),
        (event(amount=0), "/events/2/amount", "not_positive"),
        (event(kind="secret-kind"), "/events/3/kind", "unknown_value"),
        (event(occurred_at="2026-10-02T00:00:00"), "/events/4/occurred_at", "no_offset"),
        (event(secret=1), "/events/5", "unknown_field"),
        ({"kind": "visit", "occurred_at": "2026-10-02T00:00:00Z"}, "/events/6/customer_id",
         "required"),
        ("secret", "/events/7", "not_an_object"),
        (event(""), "/events/8/customer_id", "empty"),
        (event("secret\u0000"), "/events/9/customer_id", "control_character"),
        (event("secret" * 50), "/events/10/customer_id", "too_long"),
    ]  # fmt: skip
    sent = [event("a"), *(row for row, _, _ in wrong), event("b")]
    answer = keeper.post(PATH, {"events": sent})
    assert "secret" not in answer.text
    told = answer.json()
    assert (told["accepted"], told["duplicates"], told["refused"]) == (2, 0, len(wrong))
    for place, (_, pointer, code) in enumerate(wrong, 1):
        error = told["rows"][place]["error"]
        assert error["errors"] == [{"pointer": pointer, "code": code}]
        assert (error["index"], error["status"], error["type"]) == (
            place,
            422,
            "/problems/invalid-field",
        )
    assert stored(keeper, "a")
    assert stored(keeper, "b")


def test_an_unknown_field_is_told_by_the_nearest_known_one(keeper: AppClient) -> None:
    row = event("a")
    row["custmer_id"] = row.pop("customer_id")
    told = keeper.post(PATH, [row]).json()["rows"][0]["error"]
    assert {error["code"] for error in told["errors"]} == {"required", "unknown_field"}
    assert (
        keeper.post(PATH, [event("a", ocurred_at=1)])
        .json()["rows"][0]["error"]["detail"]
        .endswith("did you mean `occurred_at`?")
    )


def test_ndjson_is_answered_with_as_many_lines(keeper: AppClient) -> None:
    body = "\n".join([json.dumps(event("a")), "{oops", "", json.dumps(event("a"))]) + "\n"
    answer = keeper.post(PATH, body.encode(), content_type=NDJSON)
    assert answer.headers["content-type"] == NDJSON
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["status"] for row in rows] == ["accepted", "refused", "refused", "duplicate"]
    codes = [row["error"]["errors"][0]["code"] for row in rows if "error" in row]
    assert codes == ["malformed_json", "empty_body"]
    assert [row["error"]["index"] for row in rows if "error" in row] == [1, 2]


def test_what_has_not_happened_yet_is_refused(keeper: AppClient) -> None:
    minute = 60_000_000
    sent = [
        event("a", occurred_at=instants.text(NOW + 4 * minute)),
        event("a", occurred_at=instants.text(NOW + 6 * minute)),
        event("a", known_at=instants.text(NOW + 6 * minute)),
    ]
    told = keeper.post(PATH, sent).json()
    assert statuses(told) == ["accepted", "refused", "refused"]
    assert [row["error"]["errors"] for row in told["rows"][1:]] == [
        [{"pointer": "/1/occurred_at", "code": "in_the_future"}],
        [{"pointer": "/2/known_at", "code": "in_the_future"}],
    ]
    assert len(stored(keeper, "a")) == 1


def test_what_was_erased_is_not_taken_again(keeper: AppClient) -> None:
    with keeper.app.state.keepwell.store.writing() as connection:
        bury(connection, "a", NOW - 2 * DAY)
    told = keeper.post(PATH, [event("a", 3), event("a", 1), event("b", 3)]).json()
    assert statuses(told) == ["refused", "accepted", "accepted"]
    assert (told["accepted"], told["refused"]) == (2, 1)
    assert told["rows"][0]["error"]["errors"] == [{"pointer": "/0/occurred_at", "code": "erased"}]
    assert len(stored(keeper, "a")) == 1


def test_a_body_of_many_transactions_is_kept_whole(keeper: AppClient) -> None:
    sent = [event(f"c-{n % 700}", 1 + n // 700, event_id=f"e{n}") for n in range(4500)]
    told = keeper.post(PATH, sent).json()
    assert told["accepted"] == 4500
    assert len(stored(keeper, "c-0")) == 7
    assert keeper.app.state.keepwell.histories.received() == 3


def test_the_newest_event_moves_its_feeds_watermark(keeper: AppClient) -> None:
    keeper.post(PATH, [event("a", 3), event("b", 2), event("b", 5, kind="visit", amount=None)])
    assert keeper.app.state.keepwell.histories.watermarks() == {
        Feed.ORDERS: NOW - 2 * DAY,
        Feed.VISITS: NOW - 5 * DAY,
    }


def test_outcomes_are_counted_by_kind(keeper: AppClient) -> None:
    keeper.post(PATH, [event("a"), event("a"), event("a", kind="visit"), event("a", kind="x")])
    counted = {
        (kind, outcome): keeper.metric("events_ingested_total", kind=kind, outcome=outcome)
        for kind in ("purchase", "visit", "unknown")
        for outcome in ("accepted", "duplicate", "refused")
    }
    assert {key: value for key, value in counted.items() if value} == {
        ("purchase", "accepted"): 1,
        ("purchase", "duplicate"): 1,
        ("visit", "accepted"): 1,
        ("unknown", "refused"): 1,
    }
    assert keeper.metric("validation_failures_total", code="unknown_value") == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"customers": []}, 422, "unknown_field"),
        ({}, 422, "not_a_batch"),
        ("events", 422, "not_a_batch"),
        ({"events": {}}, 422, "not_an_array"),
        (b"[", 400, "malformed_json"),
        (b'[{"kind":"visit","kind":"visit"}]', 400, "duplicate_key"),
        ([event()] * 4, 413, "too_many_events"),
    ],
)
def test_a_wrong_body_is_refused_whole(small: AppClient, body: Any, status: int, code: str) -> None:
    answer = small.post(PATH, body)
    assert answer.status_code == status
    assert answer.json()["errors"][0]["code"] == code
    assert stored(small, "c-1") == []


def test_too_many_lines_are_refused_whole(small: AppClient) -> None:
    answer = small.post(PATH, b"{}\n" * 4, content_type=NDJSON)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_many_events")


def test_no_events_are_no_error(small: AppClient) -> None:
    assert small.post(PATH, []).json()["rows"] == []
    assert small.post(PATH, b"", content_type=NDJSON).text == ""


def test_more_bodies_than_may_wait_are_sent_away(small: AppClient) -> None:
    with small.app.state.keepwell.rooms.events:
        answer = small.post(PATH, [event("a")])
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json()["type"] == "/problems/overloaded"
    assert small.metric("requests_shed_total", reason="events") == 1
    assert small.post(PATH, [event("a")]).json()["accepted"] == 1
    assert small.post(PATH, [event("a")]).json()["duplicates"] == 1


def test_a_store_that_is_away_is_told_and_comes_back(published: Path, tmp_path: Path) -> None:
    store = tmp_path / "folder" / "store.db"
    (tmp_path / "folder").touch()
    settings = Settings(models_dir=published, store_url=f"sqlite:///{store}")
    with build(settings) as client:
        answer = client.post(PATH, [event("a")])
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["type"] == "/problems/store-unavailable"
        assert str(tmp_path) not in answer.text
        assert client.get("/health/live").status_code == 200
        (tmp_path / "folder").unlink()
        while answer.status_code == 503:  # for a moment others are told the same
            time.sleep(0.1)
            answer = client.post(PATH, [event("a")])
        assert answer.json()["accepted"] == 1


def test_what_is_accepted_is_in_the_file(published: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    with build(Settings(models_dir=published, store_url=f"sqlite:///{store}")) as client:
        client.post(PATH, [event("a")])
        with sqlite3.connect(store) as other:  # another process would see the same
            rows = other.execute("SELECT customer_id, n_events FROM histories").fetchall()
        other.close()
        assert rows == [("a", 1)]


def test_no_model_is_needed(store_url: str, tmp_path: Path) -> None:
    settings = Settings(models_dir=tmp_path / "nothing", store_url=store_url)
    with build(settings) as client:
        answer = client.post(PATH, [event("a")])
        assert answer.json()["accepted"] == 1
        assert "x-model-version" not in answer.headers


SET_ASIDE: dict[str, dict[str, Any]] = {
    "customer_id_missing": {"customer_id": None},
    "customer_id_not_whole": {"customer_id": 1.5},
    "occurred_at_missing": {"occurred_at": None},
    "occurred_at_unparseable": {"occurred_at": "02.10.2026"},
    "occurred_before_1970": {"occurred_at": "1969-12-31T23:59:59Z"},
    "occurred_in_the_future": {"occurred_at": "2027-11-21T12:00:00Z"},
    "kind_missing": {"kind": None},
    "kind_unknown": {"kind": "sale"},
    "known_at_unparseable": {"known_at": "soon"},
    "known_before_it_occurred": {"known_at": instants.text(NOW - DAY - 1)},
    "known_in_the_future": {"known_at": "2027-11-21T12:00:00Z"},
    "amount_unparseable": {"amount": "5,0"},
    "amount_negative": {"kind": "return", "amount": -5.0},
    "amount_not_positive": {"amount": 0.0},
    "value_unparseable": {"value": "good"},
    "quantity_unparseable": {"quantity": "two"},
    "quantity_not_positive": {"quantity": 0},
    "discount_unparseable": {"discount": "ten"},
    "discount_negative": {"discount": -1.0},
    **{f"{name}_too_large": {name: 1.1e15} for name in ("amount", "value", "quantity", "discount")},
}


def test_what_training_would_set_aside_is_refused(keeper: AppClient) -> None:
    infinite = {rule.reason for rule in RULES if rule.reason.endswith("_not_finite")}
    assert SET_ASIDE.keys() | infinite == {rule.reason for rule in RULES}
    sent = [event() | changed for changed in SET_ASIDE.values()]
    for name in infinite:
        sent.append(event() | {name.removesuffix("_not_finite"): math.inf})
    lines = [json.dumps(one) for one in [event(), *sent]]
    answer = keeper.post(PATH, "\n".join(lines).encode(), content_type=NDJSON)
    first, *others = [json.loads(line)["status"] for line in answer.text.splitlines()]
    assert first == "accepted"
    assert others == ["refused"] * len(sent)


def test_a_customer_has_only_so_many_events_and_each_one_more_is_refused(
    published: Path, store_url: str
) -> None:
    settings = Settings(models_dir=published, store_url=store_url, max_stored_events=5)
    with build(settings) as client:
        sent = [event("a", day) for day in (9, 8, 7)]
        assert statuses(client.post(PATH, sent).json()) == ["accepted"] * 3
        more = [event("a", day) for day in (6, 8, 5, 4, 3, 4, 6)] + [event("b", 1)]
        answer = client.post(PATH, more).json()
        assert statuses(answer) == [
            "accepted", "duplicate", "accepted", "refused", "refused", "refused", "duplicate",
            "accepted",
        ]  # fmt: skip
        assert (answer["accepted"], answer["duplicates"], answer["refused"]) == (3, 2, 3)
        error = answer["rows"][3]["error"]
        assert error["errors"] == [{"pointer": "/3/customer_id", "code": "too_many_stored"}]
        assert "KEEPWELL_MAX_STORED_EVENTS" in error["detail"]
        assert statuses(client.post(PATH, [event("a", 2), event("a", 9)]).json()) == [
            "refused", "duplicate",
        ]  # fmt: skip
        assert [one.occurred_at for one in stored(client, "a")] == [
            NOW - day * DAY for day in (9, 8, 7, 6, 5)
        ]


def test_a_score_is_recorded_between_the_pieces_of_a_large_body(
    keeper: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.events.AT_ONCE", 10)
    state = keeper.app.state.keepwell
    began, recorded = threading.Event(), threading.Event()
    append, pieces, waited = Histories.append, list[int](), list[bool]()

    def append_slowly(self: Histories, batch: Any, now: int) -> Any:
        pieces.append(len(batch))
        if len(pieces) == 2:
            began.set()
        if len(pieces) == 4:
            waited.append(recorded.wait(10))
        return append(self, batch, now)

    monkeypatch.setattr(Histories, "append", append_slowly)

    async def both() -> None:
        body = [event(f"c-{at}") for at in range(100)]
        sending = asyncio.create_task(
            keeper._http.post(
                PATH, content=json.dumps(body), headers={"content-type": "application/json"}
            )
        )
        await asyncio.to_thread(began.wait, 10)
        row = Remembered("c-1", 1, "m", 1, NOW, 0.5, "scored", "low", "[]", 60)
        await state.recorder.record([row])
        recorded.set()
        assert (await sending).status_code == 200

    keeper._runner.run(both())
    assert pieces == [10] * 10
    assert waited == [True]
