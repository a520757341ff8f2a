import math
from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from churn.bundle import load
from churn.features import FEATURE_NAMES, FEATURES
from churn.registry import Registry
from churn.scoring import Scorer
from service import instants
from service.quick import quick
from tests.contract.client import AS_OF, AppClient, customer, purchases


def test_a_history_is_scored(client: AppClient) -> None:
    answer = client.post("/score", customer())
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "scored"
    assert body["customer_id"] == "c-1042"
    assert 0 < body["churn_probability"] < 1
    assert body["risk_band"] in {"low", "medium", "high"}
    assert body["as_of"] == AS_OF
    assert body["scored_at"] == "2026-11-21T12:00:00Z"
    assert body["warnings"] == []
    assert body["action"]["code"]
    assert set(body) == {
        "customer_id", "status", "churn_probability", "probability_interval", "risk_band",
        "horizon_days", "risk_curve", "next_purchase", "reasons", "loss_category", "value_segment",
        "customer_value", "action", "model_version", "policy_version", "as_of", "scored_at",
        "request_id", "warnings",
    }  # fmt: skip


def test_the_answer_is_what_the_scorer_says(client: AppClient, published: Any) -> None:
    registry = Registry(published)
    version = registry.current()
    assert version is not None
    scorer = Scorer(load(registry.path(version)))
    request = quick(customer())
    assert request is not None
    expected = scorer.score_events(
        "c-1042", request.events or (), instants.parse(AS_OF), max_reasons=3
    )
    body = client.post("/score", customer()).json()
    assert body["churn_probability"] == expected.churn_probability
    assert [reason["code"] for reason in body["reasons"]] == [r.code for r in expected.reasons]
    assert body["model_version"] == version


def test_the_curve_goes_through_the_probability_and_the_dates_follow_from_it(
    client: AppClient,
) -> None:
    body = client.post("/score", customer()).json()
    curve = {point["days"]: point["probability"] for point in body["risk_curve"]}
    assert list(curve) == sorted(curve)
    assert curve[body["horizon_days"]] == body["churn_probability"]
    assert len(curve) >= 2
    assert all(later <= earlier for earlier, later in pairwise(curve.values()))
    expected = body["next_purchase"]
    assert AS_OF[:10] <= expected["earliest"]
    if expected["median"] is not None:
        assert expected["earliest"] <= expected["median"]
        passed = (date.fromisoformat(expected["median"]) - date.fromisoformat(AS_OF[:10])).days
        assert all((days <= passed) == (p > 0.5) or days == passed for days, p in curve.items())


def test_who_is_not_scored_has_no_curve(client: AppClient) -> None:
    body = client.post("/score", {"customer_id": "c", "events": []}).json()
    assert body["status"] == "insufficient_history"
    assert body["risk_curve"] == []
    assert body["next_purchase"] is None
    assert body["probability_interval"] is None


def test_both_paths_are_one_handler(client: AppClient) -> None:
    headers = {"x_request_id": "same"}
    assert (
        client.post("/score", customer(), **headers).json()
        == client.post("/v1/score", customer(), **headers).json()
    )


def test_features_are_scored_and_the_missing_ones_listed(client: AppClient) -> None:
    sent = dict.fromkeys(FEATURE_NAMES, 1.0) | {"days_since_last_purchase": 41.0}
    complete = client.post("/score", {"customer_id": "c", "features": sent}).json()
    assert complete["status"] == "scored"
    assert complete["warnings"] == []
    sent["purchases_30d"] = None  # type: ignore[assignment]
    del sent["average_cheque"]
    partial = client.post("/score", {"customer_id": "c", "features": sent}).json()
    assert "purchases_30d" in partial["warnings"][0]
    assert "average_cheque" in partial["warnings"][0]


def test_as_of_is_now_unless_given(client: AppClient) -> None:
    request = customer()
    del request["as_of"]
    body = client.post("/score", request).json()
    assert body["as_of"] == body["scored_at"] == "2026-11-21T12:00:00Z"


def test_an_event_at_as_of_is_ignored_with_a_warning(client: AppClient) -> None:
    before = client.post("/score", customer()).json()
    late = customer(events=[*purchases(), {"occurred_at": AS_OF, "kind": "purchase", "amount": 9}])
    after = client.post("/score", late).json()
    assert after["churn_probability"] == before["churn_probability"]
    assert len(after["warnings"]) == 1


def test_an_event_not_yet_known_is_ignored_with_a_warning(client: AppClient) -> None:
    before = client.post("/score", customer()).json()
    unknown = {"occurred_at": "2026-11-01T00:00:00Z", "known_at": AS_OF, "kind": "complaint"}
    after = client.post("/score", customer(events=[*purchases(), unknown])).json()
    assert after["churn_probability"] == before["churn_probability"]
    assert len(after["warnings"]) == 1


def test_no_events_is_too_little_history_and_no_probability(client: AppClient) -> None:
    body = client.post("/score", customer(events=[])).json()
    assert body["status"] == "insufficient_history"
    assert body["churn_probability"] is None
    assert body["risk_band"] is None
    assert body["action"] is None
    assert body["reasons"] == []


def test_a_long_gone_customer_is_lapsed_and_has_no_probability(client: AppClient) -> None:
    body = client.post("/score", customer(as_of="2027-11-21T00:00:00Z")).json()
    assert body["status"] == "lapsed"
    assert body["churn_probability"] is None


@pytest.mark.parametrize("most", [0, 1, 8])
def test_no_more_reasons_than_asked_for(client: AppClient, most: int) -> None:
    body = client.post("/score", customer(max_reasons=most)).json()
    assert len(body["reasons"]) <= most


def test_reasons_and_action_speak_the_language_asked_for(client: AppClient) -> None:
    english = client.post("/score", customer(language="en")).json()
    russian = client.post("/score", customer(language="ru")).json()
    assert english["action"]["code"] == russian["action"]["code"]
    assert english["action"]["why"] != russian["action"]["why"]


def test_feeds_may_say_that_complaints_are_not_recorded(client: AppClient) -> None:
    body = client.post("/score", customer(feeds=["orders", "cheques"], max_reasons=8)).json()
    assert body["status"] == "scored"
    assert "complaints" not in {reason["family"] for reason in body["reasons"]}


def test_the_order_of_the_events_does_not_matter(client: AppClient) -> None:
    forward = client.post("/score", customer(), x_request_id="a").json()
    backward = client.post("/score", customer(events=purchases()[::-1]), x_request_id="a").json()
    assert forward == backward


def test_an_event_sent_twice_counts_once(client: AppClient) -> None:
    events = purchases(event_id=None)
    once = client.post("/score", customer(events=events), x_request_id="a").json()
    twice = client.post("/score", customer(events=events * 2), x_request_id="a").json()
    assert once == twice


def test_a_well_formed_request_id_is_kept(client: AppClient) -> None:
    answer = client.post("/score", customer(), x_request_id="order-7:retry.1_a")
    assert answer.headers["x-request-id"] == "order-7:retry.1_a"
    assert answer.json()["request_id"] == "order-7:retry.1_a"


@pytest.mark.parametrize("sent", ["x" * 65, "a b", "a\tb", 'a"b', "<a>", ""])
def test_another_request_id_is_replaced(client: AppClient, sent: str) -> None:
    answer = client.post("/score", customer(), x_request_id=sent)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] != sent
    assert 0 < len(answer.headers["x-request-id"]) <= 64


def test_answers_name_the_model_and_are_not_to_be_cached(client: AppClient) -> None:
    answer = client.post("/score", customer())
    assert answer.headers["x-model-version"] == answer.json()["model_version"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("number", [1e15, -1e15, 1e-300, -0.0, 0])
def test_any_number_a_feature_may_have_gives_a_finite_answer(
    client: AppClient, number: float
) -> None:
    may = [f.name for f in FEATURES if number >= 0 or f.unit in ("rating", "log days")]
    sent = dict.fromkeys(may, number) | {"days_since_last_purchase": 41.0}
    answer = client.post("/score", {"customer_id": "c", "features": sent})
    assert answer.status_code == 200
    assert math.isfinite(answer.json()["churn_probability"])


def test_extreme_events_give_a_finite_answer(client: AppClient) -> None:
    events = [
        {"occurred_at": "1970-01-01T00:00:00Z", "kind": "purchase", "amount": 1e15},
        {"occurred_at": "2026-11-20T23:59:59.999999Z", "kind": "purchase", "amount": 1e-300},
        {"occurred_at": "2026-11-20T23:59:59Z", "kind": "review", "value": -1e15},
        {"occurred_at": "2026-11-20T23:59:59Z", "kind": "return", "amount": 1e15, "quantity": 0},
        {"occurred_at": "2026-11-20T23:59:59Z", "kind": "purchase", "amount": 1, "discount": 1e15},
    ]
    answer = client.post("/score", customer(events=events, max_reasons=8))
    assert answer.status_code == 200
    assert math.isfinite(answer.json()["churn_probability"])
