"""Decisions that are recorded with scores, and what was delivered, which later scores know of."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.bundle import MANIFEST
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.policy.contacts import Contact
from churn.policy.default import DEFAULT
from churn.policy.policy import LEAST_REACH_DAYS
from service import contacts, instants
from service.settings import Settings
from service.store.decisions import Decided, Decisions
from service.store.outcomes import Outcome
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases
from tests.contract.exchanges import AWAY
from tests.decided import decided, plant

TODAY = NOW // DAY
UNKNOWN = contacts.UNKNOWN
TELLING = {"decision_id", "decided_at", "outcomes"}


@pytest.fixture
def client(published: Path, store_url: str) -> Iterator[AppClient]:
    settings = Settings(
        models_dir=published, store_url=store_url, stale_after_hours=1e6, stale_limit_hours=1e6
    )
    with build(settings) as client:
        yield client


LEAVING = [{"occurred_at": "2026-08-23T12:00:00Z", "kind": "purchase", "amount": 50.0}]
"""The history of somebody about whom something is to be done."""


def score(client: AppClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/score", customer(**changes))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def stored(client: AppClient, customer_id: str) -> list[Decided]:
    book = Decisions(client.app.state.keepwell.store)
    return [one for one, _ in book.of_customer(customer_id, limit=100)]


def acted_on(client: AppClient) -> str:
    """A customer about whom something is to be done, and not withheld."""
    for number in range(200):
        name = f"c-{number}"
        action = score(client, customer_id=name, events=LEAVING)["action"]
        if action["code"] != "none" and not action["holdout"] and not action["explored"]:
            return name
    raise AssertionError("nobody is to be contacted")


def held_out(client: AppClient) -> str:
    """A customer from whom an action is withheld."""
    for number in range(200):
        name = f"c-{number}"
        if score(client, customer_id=name, events=LEAVING)["action"]["holdout"]:
            return name
    raise AssertionError("nobody is held out")


def test_the_decision_is_kept_as_it_was_answered(client: AppClient) -> None:
    answered = score(client, record=True)
    action = answered["action"]
    told = client.get("/v1/customers/c-1042/decisions").json()["decisions"]
    assert len(told) == 1
    (kept,) = told
    assert kept["decision_id"] == action["decision_id"]
    same = {"channel", "act_by", "why", "expected_value", "lower_bound", "cost", "alternatives",
            "explored", "propensity", "situation"}  # fmt: skip
    assert {name: kept[name] for name in same} == {name: action[name] for name in same}
    assert kept["action"] == action["code"]
    assert kept["withheld"] == action["holdout"]
    same = {"churn_probability", "risk_band", "value_segment", "model_version", "policy_version",
            "as_of", "horizon_days"}  # fmt: skip
    assert {name: kept[name] for name in same} == {name: answered[name] for name in same}
    assert kept["customer_value"] == (answered["customer_value"] or {"amount": None})["amount"]
    assert kept["decided_at"] == answered["scored_at"]
    assert kept["reason"] == answered["reasons"][0]["code"]


def test_the_lead_time_is_kept_with_decisions_of_scores_and_plans(
    models_dir: Path, store_url: str
) -> None:
    (file,) = models_dir.glob(f"*/{MANIFEST}")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lead_time_days": 7}))
    settings = Settings(
        models_dir=models_dir, store_url=store_url, stale_after_hours=1e6, stale_limit_hours=1e6
    )
    with build(settings) as client:
        score(client, record=True)
        some = [customer(customer_id="c-2")]
        assert client.post("/v1/plan", {"customers": some, "record": True}).status_code == 200
        (of_score,), (of_plan,) = (stored(client, who) for who in ("c-1042", "c-2"))
    assert of_score.lead_time_days == of_plan.lead_time_days == 7


def test_without_record_nothing_is_decided(client: AppClient) -> None:
    answered = score(client)
    assert "decision_id" not in answered["action"]
    assert client.get("/v1/customers/c-1042/decisions").status_code == 404


def test_asked_again_on_the_same_day_the_decision_that_stands_is_answered(
    client: AppClient,
) -> None:
    who = acted_on(client)
    first = score(client, customer_id=who, events=LEAVING, record=True)
    again = score(
        client, customer_id=who, record=True, as_of="2026-11-21T11:00:00Z", events=purchases(2),
        language="ru",
    )  # fmt: skip
    assert again["churn_probability"] != first["churn_probability"]
    assert again["action"] == first["action"]
    assert again["policy_version"] == first["policy_version"]
    assert len(stored(client, who)) == 1


def test_the_next_day_is_decided_anew(client: AppClient) -> None:
    first = score(client, record=True, as_of="2026-11-20T23:59:59.999999Z")
    second = score(client, record=True, as_of="2026-11-21T00:00:00Z")
    assert first["action"]["decision_id"] != second["action"]["decision_id"]
    assert [one.day for one in stored(client, "c-1042")] == [TODAY, TODAY - 1]


def test_what_is_withheld_is_recorded_as_such(client: AppClient) -> None:
    who = held_out(client)
    score(client, customer_id=who, events=LEAVING, record=True)
    (kept,) = stored(client, who)
    assert kept.withheld
    assert kept.action != "none"


def test_doing_nothing_is_recorded_too(client: AppClient) -> None:
    for number in range(200):
        who = f"n-{number}"
        events = purchases(12)
        answered = score(client, customer_id=who, record=True, events=events,
                         as_of="2026-10-21T00:00:00Z")  # fmt: skip
        if answered["action"]["code"] == "none":
            (kept,) = stored(client, who)
            assert (kept.action, kept.withheld) == ("none", False)
            return
    raise AssertionError("everybody is to be contacted")


def test_where_nothing_is_suggested_nothing_is_decided(client: AppClient) -> None:
    answered = score(client, events=[], record=True)
    assert answered["status"] == "insufficient_history"
    assert answered["action"] is None
    assert stored(client, "c-1042") == []
    assert client.get("/v1/customers/c-1042/scores").status_code == 200


def test_the_features_are_known_by_a_hash(client: AppClient) -> None:
    for who, events in (("a", purchases()), ("b", purchases()), ("c", purchases(6))):
        score(client, customer_id=who, events=events, record=True)
    a, b, c = (stored(client, who)[0].features_hash for who in "abc")
    assert a == b != c
    assert len(a) == 32


def test_rows_of_lists_are_decided_about_too(client: AppClient) -> None:
    keep(client, "c-1", purchases())
    rows = [
        {"customer_id": "c-1", "as_of": "2026-10-21T00:00:00Z", "record": True},
        customer(customer_id="c-2", record=True),
        customer(customer_id="c-3"),
        customer(customer_id="c-2", record=True, events=purchases(2)),
    ]
    results = client.post("/v1/score/batch", {"customers": rows}).json()["results"]
    for at, who in ((0, "c-1"), (1, "c-2")):
        (kept,) = stored(client, who)
        assert results[at]["action"]["decision_id"] == kept.decision_id
        assert results[at]["action"]["code"] == kept.action
    assert results[3]["action"] == results[1]["action"]
    assert results[3]["churn_probability"] != results[1]["churn_probability"]
    assert "decision_id" not in results[2]["action"]


def test_what_was_decided_before_an_erasure_is_not_kept(client: AppClient) -> None:
    client.request("DELETE", "/v1/customers/c-1042")
    answered = score(client, record=True)
    assert "decision_id" not in answered["action"]
    assert stored(client, "c-1042") == []


def deliver(client: AppClient, who: str, at: str = "2026-11-21T12:00:00Z") -> None:
    answered = score(client, customer_id=who, events=LEAVING, record=True)
    name = answered["action"]["decision_id"]
    body = {"outcome": "delivered", "occurred_at": at}
    assert client.post(f"/v1/decisions/{name}/outcome", body).status_code == 200


def test_after_a_delivery_nobody_is_contacted_again_for_a_while(client: AppClient) -> None:
    who = acted_on(client)
    deliver(client, who)
    tomorrow = score(client, customer_id=who, events=LEAVING, as_of="2026-11-22T12:00:00Z")
    assert tomorrow["action"]["code"] == "none"
    keep(client, who, LEAVING)
    by_id = client.post("/score", {"customer_id": who, "as_of": "2026-11-22T12:00:00Z"}).json()
    assert by_id["action"]["code"] == "none"
    rows = [
        {"customer_id": who, "as_of": "2026-11-22T12:00:00Z"},
        customer(customer_id=who, events=LEAVING, as_of="2026-11-22T12:00:00Z"),
    ]
    results = client.post("/v1/score/batch", {"customers": rows}).json()["results"]
    assert [one["action"]["code"] for one in results] == ["none", "none"]
    before = score(client, customer_id=who, events=LEAVING, as_of="2026-11-21T11:59:59Z")
    assert before["action"]["code"] != "none"


def test_a_decision_that_nobody_carried_out_keeps_nothing_away(client: AppClient) -> None:
    who = acted_on(client)
    today = score(client, customer_id=who, events=LEAVING, record=True)
    tomorrow = score(client, customer_id=who, events=LEAVING, as_of="2026-11-22T00:00:00Z")
    assert tomorrow["action"]["code"] == today["action"]["code"]


def test_a_decision_tells_the_contacts_that_it_knew_of(client: AppClient) -> None:
    who = acted_on(client)
    deliver(client, who)
    score(client, customer_id=who, events=LEAVING, record=True, as_of="2026-11-22T12:00:00Z")
    newer, older = stored(client, who)
    assert json.loads(older.facts)["contacts"] == []
    assert json.loads(newer.facts)["contacts"] == [[NOW, older.action]]


def test_deliveries_of_others_and_of_long_ago_do_not_count(client: AppClient) -> None:
    state = client.app.state.keepwell
    at = NOW - LEAST_REACH_DAYS * DAY - 1
    plant(state.store, decided(1, customer_id="c-1", decided_at=at, as_of=at))
    state.outcomes.add(decided(1).decision_id, Outcome.DELIVERED, at, now=at, allowance=0)
    plant(state.store, decided(2, customer_id="c-2", decided_at=NOW, as_of=NOW))
    state.outcomes.add(decided(2).decision_id, Outcome.DELIVERED, NOW, now=NOW, allowance=0)
    state.deliveries.look()
    assert state.deliveries.any
    score(client, customer_id="c-1", record=True, as_of=instants.text(NOW))
    assert json.loads(stored(client, "c-1")[0].facts)["contacts"] == []


def test_a_rule_that_looks_back_farther_sees_what_was_delivered_then(
    published: Path, tmp_path: Path, store_url: str
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(DEFAULT, encoding="utf-8")
    settings = Settings(
        models_dir=published, store_url=store_url, policy_file=policy, stale_after_hours=1e6,
        stale_limit_hours=1e6,
    )  # fmt: skip
    with build(settings) as client:
        who, state, at = acted_on(client), client.app.state.keepwell, NOW - 120 * DAY
        keep(client, who, LEAVING)
        plant(state.store, decided(customer_id=who, decided_at=at, as_of=at))
        state.outcomes.add(decided().decision_id, Outcome.DELIVERED, at, now=at, allowance=0)
        client.refresh()

        def told() -> list[str]:
            whole, stored = customer(customer_id=who, events=LEAVING), {"customer_id": who}
            rows = client.post("/v1/score/batch", {"customers": [whole, stored]}).json()["results"]
            alone = [client.post("/score", one).json() for one in (whole, stored)]
            return [one["action"]["code"] for one in (*rows, *alone)]

        def left_out() -> list[dict[str, str]]:
            found = client.post("/v1/plan", {"customers": [who]}).json()["left_out"]
            assert isinstance(found, list)
            return found

        assert "none" not in told()
        assert left_out() == []
        wider = DEFAULT.replace("cooldown_days = 14", "cooldown_days = 121")
        policy.write_text(wider, encoding="utf-8")
        client.refresh()
        assert told() == ["none"] * 4
        assert left_out() == [{"customer_id": who, "reason": "contacted"}]


def test_an_event_that_tells_of_the_same_contact_is_not_counted_twice(client: AppClient) -> None:
    row = client.app.state.keepwell.loaded().scorer.rows.of_events("c", [], NOW)
    told = (Contact(NOW - DAY), Contact(NOW - 9 * DAY))
    row = row._replace(contacts=told)
    delivered = [Contact(NOW - DAY + 5, "points"), Contact(NOW + 1, "points")]
    assert contacts.added(row, delivered, 2 * DAY).contacts == (delivered[0], told[1])
    assert contacts.added(row, delivered, DAY // 2).contacts == told
    assert contacts.added(row, [], 2 * DAY).contacts == told


def test_another_process_hears_of_a_delivery(
    client: AppClient, published: Path, store_url: str
) -> None:
    who = acted_on(client)
    with build(Settings(models_dir=published, store_url=store_url)) as other:
        assert other.app.state.keepwell.deliveries.any is False
        deliver(client, who)
        other.app.state.keepwell.deliveries.look()
        tomorrow = score(other, customer_id=who, events=LEAVING, as_of="2026-11-22T12:00:00Z")
    assert tomorrow["action"]["code"] == "none"


def test_while_the_store_is_away_the_contacts_are_not_known(published: Path) -> None:
    with build(Settings(models_dir=published, store_url=AWAY)) as client:
        assert UNKNOWN in score(client)["warnings"]
        results = client.post("/v1/score/batch", {"customers": [customer()]}).json()["results"]
        assert UNKNOWN in results[0]["warnings"]
        client.app.state.keepwell.deliveries.note()  # it had answered before
        assert UNKNOWN in score(client)["warnings"]
        assert client.post("/score", customer(record=True)).status_code == 503
        assert client.post("/score", {"customer_id": "c-1"}).status_code == 503


def test_where_nothing_was_delivered_a_score_of_a_body_asks_the_store_for_nothing(
    client: AppClient,
) -> None:
    assert client.app.state.keepwell.deliveries.any is False
    client.app.state.keepwell.reading.close()

    async def refuse(customer_id: str, since: int) -> None:
        raise AssertionError("it was asked")

    client.app.state.keepwell.reading.stored = refuse
    assert UNKNOWN not in score(client)["warnings"]
