"""`GET /v1/retention`: the figures of a period of the stored log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from churn.registry import Registry
from churn.retention import DEFINITIONS
from service.settings import Settings
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
