"""Columns of the user's own, sent to the service."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.bundle import load
from churn.features import FEATURE_NAMES
from churn.scoring import Scorer
from service import instants
from service.quick import quick
from service.settings import Settings
from tests.contract.client import AS_OF, AppClient, build, customer
from tests.own_columns import bundle_with_own_columns

OWN = {"plan": "trial", "support_calls": 6, "stars": 2.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    bundle_with_own_columns(root)
    return root


@pytest.fixture
def client(models: Path) -> Iterator[AppClient]:
    with build(Settings(models_dir=models)) as client:
        yield client


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(load(bundle_with_own_columns(tmp_path_factory.mktemp("scorer"))))


def test_events_and_own_columns_are_scored_together(client: AppClient, scorer: Scorer) -> None:
    body = client.post("/score", customer(features=OWN, max_reasons=8)).json()
    request = quick(customer())
    assert request is not None
    expected = scorer.score_events(
        "c-1042", request.events or (), instants.parse(AS_OF), named=OWN, max_reasons=8
    )
    assert body["churn_probability"] == expected.churn_probability
    assert [reason["text"] for reason in body["reasons"]] == [r.text for r in expected.reasons]
    assert body["warnings"] == []
    quiet = client.post("/score", customer(features=OWN | {"support_calls": 0, "plan": "gold"}))
    assert quiet.json()["churn_probability"] < body["churn_probability"]


def test_an_own_column_is_a_reason_in_its_own_words(client: AppClient) -> None:
    body = client.post("/score", customer(features=OWN, max_reasons=8)).json()
    reasons = {reason["code"]: reason for reason in body["reasons"]}
    service, plan = reasons["service"], reasons["plan"]
    assert service["family"] == "service"
    assert (service["feature"], service["value"]) == ("support_calls", 6.0)
    assert service["text"] == f"6 calls; others make {service['norm']:g}"
    assert (plan["feature"], plan["value"]) == ("plan", "trial")
    assert plan["norm"] in ("basic", "gold")
    assert plan["text"] == f"plan: trial (usual: {plan['norm']})"
    russian = client.post("/score", customer(features=OWN, max_reasons=8, language="ru")).json()
    texts = {reason["code"]: reason["text"] for reason in russian["reasons"]}
    assert texts["plan"] == f"тариф: trial (обычно: {plan['norm']})"
    assert texts["service"].startswith("звонков 6; обычно ")


def test_own_columns_left_out_are_missing_and_listed(client: AppClient) -> None:
    for own in (None, {}, {"plan": None}):
        body = client.post("/score", customer(features=own)).json()
        assert body["status"] == "scored"
        assert body["warnings"] == ["missing features: plan, support_calls, stars"]
    assert client.metric("feature_missing_total", feature="plan") == 3


def test_a_category_that_was_not_learnt_is_unseen_told_and_counted(client: AppClient) -> None:
    answers = [
        client.post("/score", customer(features=OWN | {"plan": plan})).json()
        for plan in ("secret-plan", "odd", "trial")
    ]
    assert answers[0]["churn_probability"] == answers[1]["churn_probability"]
    assert answers[0]["churn_probability"] != answers[2]["churn_probability"]
    assert answers[0]["warnings"] == ["categories not seen in training: plan"]
    assert answers[2]["warnings"] == []
    assert "secret" not in json.dumps(answers)
    assert client.metric("feature_unseen_total", feature="plan") == 2
    assert "secret" not in client.get("/metrics").text


def test_features_alone_may_hold_own_columns(client: AppClient) -> None:
    named: dict[str, Any] = dict.fromkeys(FEATURE_NAMES, 1.0)
    named |= {"days_since_last_purchase": 41.0, **OWN}
    body = client.post("/score", {"customer_id": "c", "features": named}).json()
    assert body["status"] == "scored"
    assert body["warnings"] == []
    other = {"customer_id": "c", "features": named | {"plan": "gold"}}
    assert client.post("/score", other).json()["churn_probability"] != body["churn_probability"]


@pytest.mark.parametrize(
    ("features", "pointer", "code"),
    [
        ({"plan": 3}, "/features/plan", "not_a_string"),
        ({"support_calls": "3"}, "/features/support_calls", "not_a_number"),
        ({"plan": True}, "/features/plan", "not_a_number"),
        ({"support_calls": False}, "/features/support_calls", "not_a_number"),
        ({"plan": ["gold"]}, "/features/plan", "not_a_number"),
        ({"plan": ""}, "/features/plan", "empty"),
        ({"plan": "x" * 129}, "/features/plan", "too_long"),
        ({"plan": "a\nb"}, "/features/plan", "control_character"),
        ({"support_calls": 1e16}, "/features/support_calls", "too_big"),
        ({"plans": "gold"}, "/features", "unknown_feature"),
        ({"purchases_30d": 1}, "/features/purchases_30d", "computed_from_events"),
    ],
)
def test_a_wrong_value_is_named(
    client: AppClient, features: dict[str, Any], pointer: str, code: str
) -> None:
    answer = client.post("/score", customer(features=features))
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": pointer, "code": code}]
    batch = client.post("/v1/score/batch", {"customers": [customer(features=features)]}).json()
    row = batch["results"][0]
    assert row["errors"] == [{"pointer": f"/customers/0{pointer}", "code": code}]


def test_a_number_of_ones_own_may_be_below_zero(client: AppClient) -> None:
    assert client.post("/score", customer(features={"support_calls": -2})).status_code == 200


def test_lists_take_own_columns_as_single_requests_do(client: AppClient) -> None:
    single = client.post("/score", customer(features=OWN)).json()
    line = json.dumps(customer(features=OWN)).encode()
    answer = client.post("/v1/score/batch", line + b"\n", content_type="application/x-ndjson")
    (row,) = (json.loads(one) for one in answer.text.splitlines())
    assert row["churn_probability"] == single["churn_probability"]
    assert row["reasons"] == single["reasons"]


def test_the_model_lists_them_with_kind_categories_family_and_unit(client: AppClient) -> None:
    features = {entry["name"]: entry for entry in client.get("/v1/model").json()["features"]}
    plan, calls = features["plan"], features["support_calls"]
    assert plan["kind"] == "categorical"
    assert plan["categories"] == ["basic", "gold", "trial"]
    assert (plan["family"], plan["unit"], plan["feed"]) == ("plan", "category", None)
    assert (calls["kind"], calls["categories"], calls["unit"]) == ("numeric", None, "calls")
    assert features["average_cheque"]["kind"] == "numeric"


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "plan: {value} (usual: {norm})"), ("ru", "тариф: {value} (обычно: {norm})")],
)
def test_the_catalogue_of_reasons_has_them(client: AppClient, language: str, words: str) -> None:
    listed = client.get("/v1/reasons", params={"language": language}).json()["reasons"]
    assert words in [entry["text"] for entry in listed if entry["code"] == "plan"]
    assert {"service", "satisfaction"} <= {entry["code"] for entry in listed}
