"""`POST /v1/plan`: who of a list gets what, under a budget and so many places."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import instants
from service.plan.words import REASONS
from service.settings import Settings
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases

DAY = 86_400_000_000
RECENT = [
    {**one, "occurred_at": instants.text(NOW - (30 + 14 * at) * DAY)}
    for at, one in enumerate(purchases())
]
COMPLAINT = {"occurred_at": instants.text(NOW - 2 * DAY), "kind": "complaint", "case_id": "k"}


@pytest.fixture(scope="module")
def client(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    store = tmp_path_factory.mktemp("plan")
    settings = Settings(
        models_dir=published, store_url=f"sqlite:///{store}/s.db", stale_limit_hours=1e6
    )
    with build(settings) as client:
        keep(client, "stored", RECENT)
        yield client


def planned(client: AppClient, customers: list[Any], **limits: Any) -> dict[str, Any]:
    answer = client.post("/v1/plan", {"customers": customers, **limits})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def everybody(answer: dict[str, Any]) -> set[str]:
    lists = ("assignments", "withheld", "left_out")
    return {one["customer_id"] for name in lists for one in answer[name]}


def test_everybody_is_given_something_or_told_why_not(client: AppClient) -> None:
    some = [customer(customer_id=f"c-{at}", events=RECENT) for at in range(20)]
    answer = planned(client, ["stored", "nobody", {"customer_id": "stored-not"}, *some])
    assert everybody(answer) == {"stored", "nobody", "stored-not", *(f"c-{n}" for n in range(20))}
    left = {one["customer_id"]: one["reason"] for one in answer["left_out"]}
    assert left["nobody"] == left["stored-not"] == "not_scored"
    assert set(left.values()) <= set(REASONS)
    assert answer["errors"] == []
    assert answer["expected_value"] <= answer["upper_bound"]


@pytest.mark.parametrize("wrong", ["\ud800", "a\x00b", "", "x" * 500])
def test_what_can_be_no_identifier_is_a_row_that_is_refused(client: AppClient, wrong: str) -> None:
    keep(client, "stored", RECENT)
    body = json.dumps({"customers": [wrong, "stored", {"customer_id": wrong}]}).encode()
    answer = client.post("/v1/plan", body)
    assert answer.status_code == 200
    assert [one["index"] for one in answer.json()["errors"]] == [0, 2]
    assert everybody(answer.json()) == {"stored"}


def test_what_is_owed_is_given_first_as_far_as_there_are_places(client: AppClient) -> None:
    some = [customer(customer_id=f"c-{at}", events=[*RECENT, COMPLAINT]) for at in range(4)]
    answer = planned(client, some)
    assert [one["customer_id"] for one in answer["assignments"]] == [f"c-{n}" for n in range(4)]
    assert all(one["owed"] for one in answer["assignments"])
    (code,) = {one["action"] for one in answer["assignments"]}
    fewer = planned(client, some, capacity={code: 3}, budget=0)
    assert len(fewer["assignments"]) == 3
    assert [one["reason"] for one in fewer["left_out"]] == ["no_place"]
    assert any(note.startswith("no_place: ") for note in fewer["notes"])
    assert fewer["cost"] == 0.0
    assert fewer["shadow_prices"] == {"budget": 0.0}


def test_a_wrong_customer_does_not_stop_the_others(client: AppClient) -> None:
    some = [customer(customer_id="a"), {"customer_id": 5}, "a", 7, customer(record=True)]
    answer = planned(client, some)
    assert everybody(answer) == {"a"}
    assert [error["index"] for error in answer["errors"]] == [1, 2, 3, 4]
    codes = [error["errors"][0]["code"] for error in answer["errors"]]
    assert codes == ["not_a_string", "duplicate_customer", "not_an_object", "not_recorded"]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ([], "/customers", "not_an_array"),
        ({"customers": {}}, "/customers", "not_an_array"),
        ({"customers": [], "budget": -1}, "/budget", "too_small"),
        ({"customers": [], "budget": "5"}, "/budget", "not_a_number"),
        ({"customers": [], "capacity": {"agent_call": 1.5}}, "/capacity", "not_an_integer"),
        ({"customers": [], "capacity": {"agent_cal": 1}}, "/capacity", "unknown_action"),
        ({"customers": [], "secret": 1}, "", "unknown_field"),
    ],
)
def test_wrong_limits_are_refused_whole(
    client: AppClient, body: Any, pointer: str, code: str
) -> None:
    answer = client.post("/v1/plan", body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
    assert "secret" not in answer.text


def test_an_unknown_action_is_told_by_the_nearest_one(client: AppClient) -> None:
    answer = client.post("/v1/plan", {"customers": [], "capacity": {"agent_cal": 1}})
    assert answer.json()["detail"].endswith("did you mean `agent_call`?")


def test_nobody_is_an_empty_plan(client: AppClient) -> None:
    answer = planned(client, [], budget=5)
    assert (answer["assignments"], answer["cost"], answer["upper_bound"]) == ([], 0.0, 0.0)


def test_without_the_solver_it_says_what_to_install(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.planning.find_spec", lambda name: None)
    answer = client.post("/v1/plan", {"customers": []})
    assert answer.status_code == 404
    assert "keepwell[plan]" in answer.json()["detail"]
