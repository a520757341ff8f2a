"""`POST /v1/plan` with `record: true`: its decisions are stored, one per customer and day."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.policy.default import DEFAULT
from service import instants
from service.settings import Settings
from service.store.decisions import Decided, Decisions
from tests.contract.client import NOW, AppClient, build, customer, purchases
from tests.contract.exchanges import AWAY
from tests.decided import decided, plant

TODAY = NOW // DAY
SILENT = [{"occurred_at": "2026-08-23T12:00:00Z", "kind": "purchase", "amount": 50.0}]
COMPLAINT = {"occurred_at": instants.text(NOW - 2 * DAY), "kind": "complaint", "case_id": "k"}
CALM = DEFAULT.replace("exploration_rate = 0.05", "exploration_rate = 0.0")
DRAWN = {"decision_id", "decided_at", "facts"}


@pytest.fixture
def client(published: Path, store_url: str, tmp_path: Path) -> Iterator[AppClient]:
    policy = tmp_path / "policy.toml"
    policy.write_text(CALM, encoding="utf-8")
    settings = Settings(
        models_dir=published, store_url=store_url, policy_file=policy, stale_limit_hours=1e6
    )
    with build(settings) as client:
        yield client


def silent(n: int = 12) -> list[dict[str, Any]]:
    """Customers about whom something is to be done, no two alike."""
    return [
        customer(customer_id=f"c-{at}", events=[one | {"amount": 50.0 + at} for one in SILENT])
        for at in range(n)
    ]


def planned(client: AppClient, customers: list[Any], **limits: Any) -> dict[str, Any]:
    answer = client.post("/v1/plan", {"customers": customers, "record": True, **limits})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def stored(client: AppClient, who: str) -> Decided:
    book = Decisions(client.app.state.keepwell.store)
    ((one, _),) = book.of_customer(who, limit=2)
    return one


def everybody(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    lists = ("assignments", "withheld", "left_out")
    return {one["customer_id"]: one for name in lists for one in answer[name]}


def test_without_limits_and_draws_a_plan_decides_what_scores_would(
    client: AppClient, published: Path, tmp_path: Path
) -> None:
    some = [
        *silent(30),
        customer(customer_id="complains", events=[*SILENT, COMPLAINT], language="ru"),
        customer(customer_id="buys", events=purchases(12), as_of="2026-10-21T00:00:00Z"),
        customer(customer_id="asked", events=SILENT, channels=["app"]),
        customer(customer_id="refuses", events=SILENT, channels=[]),
    ]
    contacted = [*SILENT, {"occurred_at": "2026-11-18T00:00:00Z", "kind": "contact"}]
    some.append(customer(customer_id="contacted", events=contacted))
    answer = planned(client, some)
    assert answer["assignments"]
    assert answer["withheld"]
    alone = Settings(
        models_dir=published,
        store_url=f"sqlite:///{tmp_path}/alone.db",
        policy_file=tmp_path / "policy.toml",
    )
    with build(alone) as other:
        for one in some:
            assert other.post("/score", one | {"record": True}).status_code == 200
            by_plan, by_score = (
                stored(client, one["customer_id"]),
                stored(other, one["customer_id"]),
            )
            same = dict.fromkeys(DRAWN)
            assert by_plan._replace(**same) == by_score._replace(**same)
            facts = json.loads(by_plan.facts)
            assert facts.pop("by") == "plan"
            expected = json.loads(by_score.facts)
            assert expected.pop("by") == "score"
            assert facts == expected


def test_each_decision_has_its_name_and_the_chance_of_its_draw(client: AppClient) -> None:
    limited = planned(client, silent(40), budget=30.0)
    lists = {"assignments": 0.9, "withheld": 0.1, "left_out": 1.0}
    for name, propensity in lists.items():
        assert limited[name], name
        for one in limited[name]:
            kept = stored(client, one["customer_id"])
            assert kept.decision_id == one["decision_id"]
            assert kept.propensity == pytest.approx(propensity)
            assert (kept.withheld, kept.explored) == (name == "withheld", False)
            assert kept.action == one.get("action", "none")
            told = client.get(f"/v1/customers/{kept.customer_id}/decisions").json()
            assert told["decisions"][0]["by"] == "plan"
    left = stored(client, limited["left_out"][0]["customer_id"])
    assert "the budget or the places bring more with others" in json.loads(left.facts)["why"]
    assert json.loads(left.facts)["alternatives"]


def test_told_again_a_plan_is_the_same_and_records_nothing_more(client: AppClient) -> None:
    limits: dict[str, Any] = {"capacity": {"reorder_reminder": 3}, "budget": 10.0}
    first = planned(client, silent(), **limits)
    again = planned(client, silent(), **limits)
    names = [{who: one["decision_id"] for who, one in everybody(a).items()} for a in (first, again)]
    assert names[0] == names[1]
    for name in ("assignments", "withheld", "cost", "expected_value"):
        assert again[name] == first[name]
    assert {one["reason"] for one in again["left_out"]} == {"decided"}
    assert any(note.startswith("the decisions about 12 customers") for note in again["notes"])
    assert again["upper_bound"] == pytest.approx(again["expected_value"])


def test_what_was_decided_that_day_takes_its_places_first(client: AppClient) -> None:
    free = planned(client, silent(1))["assignments"]
    code = free[0]["action"]
    more = planned(client, silent(), capacity={code: 1})
    given = [one["customer_id"] for one in more["assignments"] if one["action"] == code]
    assert given == ["c-0"]
    assert more["assignments"][0] == free[0]
    another = planned(client, silent(30), capacity={code: 2}, budget=1e6)
    assert sum(one["action"] == code for one in another["assignments"]) <= 2
    assert another["cost"] == pytest.approx(sum(one["cost"] for one in another["assignments"]))


def test_the_next_day_is_planned_anew(client: AppClient) -> None:
    planned(client, silent(2))
    tomorrow = [one | {"as_of": "2026-11-22T00:00:00Z"} for one in silent(2)]
    planned(client, tomorrow)
    book = Decisions(client.app.state.keepwell.store)
    assert [one.day for one, _ in book.of_customer("c-0", limit=9)] == [TODAY + 1, TODAY]


def test_without_record_nothing_is_decided_nor_named(client: AppClient) -> None:
    answer = client.post("/v1/plan", {"customers": silent()}).json()
    assert not any("decision_id" in one for one in everybody(answer).values())
    assert client.get("/v1/customers/c-1/decisions").status_code == 404


def test_who_decides_first_is_followed(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store = client.app.state.keepwell.store
    quicker = decided(customer_id="c-0", day=TODAY, action="gone_since", cost=7.0)
    plant(store, quicker._replace(expected_value=1e6))
    monkeypatch.setattr(Decisions, "standing", lambda self, keys: {})  # it came just after
    answer = planned(client, silent())
    (mine,) = [one for one in answer["assignments"] if one["customer_id"] == "c-0"]
    assert (mine["action"], mine["channel"], mine["cost"]) == ("gone_since", "message", 7.0)
    assert mine["decision_id"] == decided().decision_id
    assert answer["cost"] == pytest.approx(sum(one["cost"] for one in answer["assignments"]))
    assert answer["upper_bound"] == answer["expected_value"] > 1e6


def test_of_who_was_erased_meanwhile_nothing_is_recorded(client: AppClient) -> None:
    client.request("DELETE", "/v1/customers/c-0")
    answer = planned(client, silent(3))
    assert everybody(answer)["c-0"]["decision_id"] is None
    assert client.get("/v1/customers/c-0/decisions").status_code == 404
    assert everybody(answer)["c-1"]["decision_id"]


def test_what_nobody_can_be_scored_of_is_not_decided(client: AppClient) -> None:
    answer = planned(client, [customer(customer_id="a", events=[]), "nobody", {"x": 1}])
    assert [one["reason"] for one in answer["left_out"]] == ["not_scored", "not_scored"]
    assert not any(one.get("decision_id") for one in answer["left_out"])
    assert planned(client, [])["assignments"] == []


def test_while_the_store_is_away_nothing_is_pretended(published: Path) -> None:
    with build(Settings(models_dir=published, store_url=AWAY)) as client:
        body = {"customers": silent(2), "record": True}
        assert client.post("/v1/plan", body).status_code == 503
