"""What came of decisions, told over HTTP, and what is told of decisions."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from service import instants
from service.settings import Settings
from service.store.decisions import Decided
from tests.contract.client import NOW, AppClient, build
from tests.contract.exchanges import AWAY
from tests.decided import FACTS, decided, plant

TODAY = NOW // DAY
MADE = NOW - 3_600_000_000
NOWHERE = "f" * 32


@pytest.fixture
def client(tmp_path: Path, store_url: str) -> Iterator[AppClient]:
    """A service that needs no model to hear what came of decisions."""
    with build(Settings(models_dir=tmp_path / "nothing", store_url=store_url)) as client:
        yield client


def made(client: AppClient, number: int = 1, **changes: Any) -> Decided:
    """Store a decision of an hour ago."""
    given = {"day": TODAY, "decided_at": MADE} | changes
    one = decided(number, **given)
    plant(client.app.state.keepwell.store, one)
    return one


def tell(client: AppClient, one: Decided | str, body: Any) -> httpx.Response:
    name = one if isinstance(one, str) else one.decision_id
    return client.post(f"/v1/decisions/{name}/outcome", body)


def decisions(client: AppClient, customer_id: str = "c-1042", **query: Any) -> httpx.Response:
    path = f"/v1/customers/{quote(customer_id, safe='')}/decisions"
    return client.request("GET", path, params=query)


def test_an_outcome_is_kept_once_as_it_was_told_first(client: AppClient) -> None:
    one = made(client)
    first = tell(client, one, {"outcome": "delivered", "occurred_at": "2026-11-21T11:30:00+00:00"})
    assert first.status_code == 200
    assert first.json() == {
        "decision_id": one.decision_id,
        "outcome": "delivered",
        "occurred_at": "2026-11-21T11:30:00Z",
        "received_at": "2026-11-21T12:00:00Z",
        "status": "accepted",
    }
    again = tell(client, one, {"outcome": "delivered"})
    assert again.status_code == 200
    assert again.json() == first.json() | {"status": "duplicate"}
    assert tell(client, one, {"outcome": "accepted"}).json()["occurred_at"] == instants.text(NOW)
    (told,) = decisions(client).json()["decisions"]
    assert [(came["outcome"], came["occurred_at"]) for came in told["outcomes"]] == [
        ("delivered", "2026-11-21T11:30:00Z"),
        ("accepted", "2026-11-21T12:00:00Z"),
    ]


@pytest.mark.parametrize("name", [NOWHERE, "F" * 32, "1", "%00", "é", "x" * 300])
def test_an_outcome_of_no_decision_is_refused(client: AppClient, name: str) -> None:
    answer = tell(client, name, {"outcome": "delivered"})
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/unknown-decision"
    assert answer.json()["errors"] == [{"pointer": "", "code": "unknown_decision"}]


def test_an_outcome_for_an_erased_customer_is_refused(client: AppClient) -> None:
    one = made(client)
    tell(client, one, {"outcome": "delivered"})
    erased = client.request("DELETE", "/v1/customers/c-1042").json()
    assert erased["decisions"] == 1
    assert tell(client, one, {"outcome": "accepted"}).status_code == 404
    assert decisions(client).status_code == 404


@pytest.mark.parametrize(
    ("changes", "body", "pointer", "code"),
    [
        ({"withheld": True}, {"outcome": "delivered"}, "/outcome", "withheld"),
        ({"action": "none"}, {"outcome": "ignored"}, "/outcome", "nothing_to_deliver"),
        (
            {"as_of": MADE},
            {"outcome": "lost", "occurred_at": "2026-11-21T10:54:59Z"},
            "/occurred_at",
            "before_decision",
        ),
        (
            {},
            {"outcome": "lost", "occurred_at": "2026-11-21T12:05:01Z"},
            "/occurred_at",
            "in_the_future",
        ),
        ({}, {"outcome": "bought"}, "/outcome", "unknown_value"),
        ({}, {"outcome": ["lost"]}, "/outcome", "unknown_value"),
        ({}, {"occurred_at": "2026-11-21T11:00:00Z"}, "/outcome", "required"),
        ({}, {"outcome": "lost", "occurred_at": "2026-11-21"}, "/occurred_at", "bad_instant"),
        ({}, {"outcome": "lost", "at": 5}, "", "unknown_field"),
        ({}, [], "", "not_an_object"),
    ],
)
def test_what_cannot_be_an_outcome_is_refused_with_the_reason(
    client: AppClient, changes: dict[str, Any], body: Any, pointer: str, code: str
) -> None:
    one = made(client, **changes)
    answer = tell(client, one, body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
    assert decisions(client).json()["decisions"][0]["outcomes"] == []


def test_the_opposite_of_what_is_known_is_refused(client: AppClient) -> None:
    one = made(client)
    assert tell(client, one, {"outcome": "retained"}).status_code == 200
    assert tell(client, one, {"outcome": "lost"}).json()["errors"][0]["code"] == "contradicts"


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b'{"outcome": "lost", }', "application/json", 400),
        (b'{"outcome": "lost", "outcome": "retained"}', "application/json", 400),
        (b'{"outcome": "lost"}', "text/plain", 415),
        (b'{"outcome": "' + b"x" * (2 << 20) + b'"}', "application/json", 413),
    ],
)
def test_a_body_is_as_strict_as_any(
    client: AppClient, body: bytes, media_type: str, status: int
) -> None:
    answer = client.post(
        f"/v1/decisions/{made(client).decision_id}/outcome", body, content_type=media_type
    )
    assert answer.status_code == status
    assert answer.json()["instance"] == "/v1/decisions/{decision_id}/outcome"


def test_a_decision_is_told_whole(client: AppClient) -> None:
    one = made(client, explored=True, as_of=TODAY * DAY)
    answer = decisions(client).json()
    assert answer["customer_id"] == "c-1042"
    assert answer["next"] is None
    assert answer["decisions"] == [
        {
            "decision_id": one.decision_id,
            "decided_at": "2026-11-21T11:00:00Z",
            "as_of": "2026-11-21T00:00:00Z",
            "model_version": "m",
            "policy_version": "p",
            "by": "score",
            "action": "reorder_reminder",
            "channel": "message",
            "act_by": "2024-10-09",
            "why": FACTS["why"],
            "expected_value": 12.5,
            "lower_bound": 3.25,
            "cost": 1.5,
            "alternatives": FACTS["alternatives"],
            "withheld": False,
            "explored": True,
            "propensity": 0.855,
            "situation": "periodic_switched",
            "reason": "long_silence",
            "churn_probability": 0.75,
            "risk_band": "high",
            "value_segment": "A",
            "customer_value": 840.0,
            "horizon_days": 60,
            "outcomes": [],
        }
    ]


def test_pages_hold_every_decision_once(client: AppClient) -> None:
    for number in range(1, 8):
        made(client, number, day=TODAY - number)
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = decisions(client, **query).json()
        found += page["decisions"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert [int(one["decision_id"], 16) for one in found] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 0}, "too_small"),
        ({"limit": 101}, "too_big"),
        ({"cursor": "x"}, "invalid"),
        ({"cursor": "2026-02-31"}, "invalid"),
        ({"cursor": "20260131"}, "invalid"),
        ({"cursor": "2026-W05-6"}, "invalid"),
        ({"before": "x"}, "unknown_parameter"),
    ],
)
def test_a_wrong_parameter_is_told(client: AppClient, query: dict[str, Any], code: str) -> None:
    answer = decisions(client, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == code


@pytest.mark.parametrize("name", ["a/b", "a/decisions", "é😀", "?x=1", "x" * 256])
def test_any_id_is_found_again(client: AppClient, name: str) -> None:
    made(client, customer_id=name)
    assert decisions(client, name).json()["customer_id"] == name


def test_about_whom_nothing_was_decided_is_not_found(client: AppClient) -> None:
    for name in ("nobody", "x" * 300, "a\tb"):
        answer = decisions(client, name)
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/unknown-customer"


def test_the_id_reaches_neither_metrics_nor_the_log(
    client: AppClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    one = made(client, customer_id="canary-7")
    tell(client, one, {"outcome": "delivered"})
    tell(client, one, {"outcome": "canary-7"})
    decisions(client, "canary-7")
    decisions(client, "canary-8")
    metrics = client.get("/metrics").text
    ours = [record for record in caplog.records if record.name.startswith("keepwell")]
    assert len(ours) >= 4
    for word in ("canary", one.decision_id):
        assert word not in metrics
        assert not any(word in str(vars(record)) for record in ours)


def test_while_the_store_is_away_no_outcome_is_taken(tmp_path: Path) -> None:
    with build(Settings(models_dir=tmp_path, store_url=AWAY)) as client:
        answer = tell(client, NOWHERE, {"outcome": "delivered"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert decisions(client).status_code == 503
