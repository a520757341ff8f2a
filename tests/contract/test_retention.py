"""`GET /v1/retention`: the figures of a period of the stored log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from churn.registry import Registry
from churn.retention import DEFINITIONS
from service import management
from service.settings import Settings
from service.store.exporting import Exporting
from tests.contract.client import AppClient, build

PERIOD = {"start": "2026-07-01", "end": "2026-10-01"}
# With the model's 180 days: a stays; b is lost; c comes new; d is back; e was gone before.
BOUGHT = {
    "a": [("2026-06-10", 100.0), ("2026-08-10", 200.0)],
    "b": [("2026-03-20", 80.0)],
    "c": [("2026-09-05", 300.0)],
    "d": [("2025-06-01", 10.0), ("2026-09-15", 60.0)],
    "e": [("2025-05-01", 10.0)],
}


@pytest.fixture
def client(published: Path, store_url: str) -> Iterator[AppClient]:
    with build(Settings(models_dir=published, store_url=store_url)) as client:
        yield client


def send(client: AppClient, bought: dict[str, list[tuple[str, float]]]) -> None:
    events = [
        {
            "customer_id": who, "occurred_at": f"{day}T10:00:00Z", "kind": "purchase",
            "amount": amount, "order_id": f"{who}-{day}",
        }
        for who, orders in bought.items()
        for day, amount in orders
    ]  # fmt: skip
    answer = client.post("/v1/events", {"events": events})
    assert answer.json()["accepted"] == len(events)


def asked(client: AppClient, **query: str) -> httpx.Response:
    return client.request("GET", "/v1/retention", params=query)


def test_customers_kept_won_and_lost_are_those_counted_by_hand(
    client: AppClient, published: Path
) -> None:
    assert client.get("/v1/model").json()["inactivity_days"] == 180
    send(client, BOUGHT)
    answer = asked(client, **PERIOD)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    assert (told["start"], told["end"]) == ("2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z")
    assert (told["customers_at_start"], told["customers_at_end"]) == (2, 3)
    assert (told["acquired"], told["returned"], told["lost"]) == (1, 1, 1)
    assert told["retention_rate"] == told["churn_rate"] == 50.0
    assert told["revenue"] == 560.0
    assert told["definitions"] == DEFINITIONS
    assert told["lost_asked"] == 1
    assert told["model_version"] == Registry(published).current()
    assert {name: sum(kinds.values()) for name, kinds in told["lost_by"].items()} == {
        "reason": 1.0, "category": 1.0, "segment": 1.0,
    }  # fmt: skip


def test_an_empty_store_has_no_figure_rather_than_a_wrong_one(client: AppClient) -> None:
    told = asked(client, **PERIOD).json()
    assert told["customers_at_start"] == told["lost"] == told["lost_asked"] == 0
    assert told["retention_rate"] is told["churn_rate"] is told["lost_by"] is None


def test_the_last_ninety_days_are_meant_where_nothing_is_said(client: AppClient) -> None:
    told = asked(client).json()
    assert (told["start"], told["end"]) == ("2026-08-23T00:00:00Z", "2026-11-21T00:00:00Z")


def test_the_same_question_soon_after_has_the_same_answer(client: AppClient) -> None:
    before = asked(client, **PERIOD).json()
    send(client, BOUGHT)
    assert asked(client, **PERIOD).json() == before
    assert asked(client, **PERIOD | {"end": "2026-10-02"}).json()["acquired"] == 1


def test_nobody_who_was_erased_is_counted(client: AppClient) -> None:
    send(client, BOUGHT)
    assert asked(client, **PERIOD).json()["lost"] == 1
    assert client.request("DELETE", "/v1/customers/b").status_code == 200
    assert asked(client, **PERIOD).json()["lost"] == 0


def test_figures_that_were_computed_while_somebody_was_erased_are_not_kept(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, BOUGHT)
    told, eraser = management._told, client.app.state.keepwell.eraser

    def meanwhile(*asked: Any) -> dict[str, Any]:
        found = told(*asked)
        monkeypatch.undo()
        eraser.erase("b")
        return found

    monkeypatch.setattr(management, "_told", meanwhile)
    assert asked(client, **PERIOD).json()["lost"] == 1  # as it was when it was asked
    assert asked(client, **PERIOD).json()["lost"] == 0


def test_an_erasure_by_another_process_counts_too(client: AppClient) -> None:
    send(client, BOUGHT)
    assert asked(client, **PERIOD).json()["lost"] == 1
    client.app.state.keepwell.eraser.erase("b")  # as `keepwell store erase` does
    assert asked(client, **PERIOD).json()["lost"] == 0


def test_the_lost_are_told_apart_by_what_had_been_received(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(client, BOUGHT)
    usual = asked(client, **PERIOD).json()["lost_by"]
    state = client.app.state.keepwell
    received = Exporting(state.store).received
    send(client, {"b": [(f"2026-0{1 + at // 8}-0{1 + at % 8}", 80.0) for at in range(16)]})
    state.management._kept.clear()
    with monkeypatch.context() as patch:  # as if it had come while histories were read
        patch.setattr("service.store.exporting.number_of", lambda connection: received)
        assert asked(client, **PERIOD).json()["lost_by"] == usual
    state.management._kept.clear()
    assert asked(client, **PERIOD).json()["lost_by"] != usual


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"start": "2026-10-01", "end": "2026-10-01"}, "/start"),
        ({"start": "2026-10-02", "end": "2026-10-01"}, "/start"),
        ({"start": "2001-01-01", "end": "2026-10-01"}, "/start"),
        ({"end": "2027-01-01"}, "/end"),
        ({"end": "2026-02-30"}, "/end"),
        ({"end": "tomorrow"}, "/end"),
        ({"from": "2026-10-01"}, ""),
    ],
)
def test_a_period_that_is_none_is_refused(
    client: AppClient, query: dict[str, str], pointer: str
) -> None:
    answer = asked(client, **query)
    assert answer.status_code == 422
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
