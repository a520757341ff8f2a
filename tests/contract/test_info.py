import json
from pathlib import Path

import pytest

from churn.features import FEATURE_NAMES
from churn.registry import Registry
from tests.contract.client import AppClient, customer


def test_the_model_tells_its_features_with_units_and_ranges(
    client: AppClient, published: Path
) -> None:
    body = client.get("/v1/model").json()
    registry = Registry(published)
    version = registry.current()
    assert version is not None
    manifest = json.loads((registry.path(version) / "manifest.json").read_text())
    assert body["model_version"] == version
    for name in ("features", "thresholds", "horizon_days", "metrics", "feeds", "created_at"):
        assert body[name] == manifest[name], name
    assert {feature["name"] for feature in body["features"]} <= set(FEATURE_NAMES)
    assert len(body["sha256"]) == 64


@pytest.mark.parametrize(("path", "name"), [("/v1/reasons", "reasons"), ("/v1/actions", "actions")])
def test_catalogues_speak_both_languages_and_english_by_default(
    client: AppClient, path: str, name: str
) -> None:
    english = client.get(path).json()
    russian = client.get(path, params={"language": "ru"}).json()
    assert english == client.get(path, params={"language": "en"}).json()
    assert english["language"] == "en"
    assert [entry["code"] for entry in english[name]] == [entry["code"] for entry in russian[name]]
    assert english[name][0]["text"] != russian[name][0]["text"]


@pytest.mark.parametrize("path", ["/v1/reasons", "/v1/actions"])
def test_a_language_that_is_not_spoken_is_422(client: AppClient, path: str) -> None:
    answer = client.get(path, params={"language": "secret"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/language", "code": "unknown_value"}]
    assert "secret" not in answer.text


def test_what_is_answered_is_in_the_catalogues(client: AppClient) -> None:
    codes = {entry["code"] for entry in client.get("/v1/reasons").json()["reasons"]}
    actions = {entry["code"] for entry in client.get("/v1/actions").json()["actions"]}
    score = client.post("/score", customer(max_reasons=8)).json()
    assert {reason["code"] for reason in score["reasons"]} <= codes
    assert score["action"]["code"] in actions


def test_with_a_model_the_service_is_ready(client: AppClient) -> None:
    client.app.state.keepwell.store.prepare()
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "model_version": client.get("/v1/model").json()["model_version"],
        "store": "ready",
    }


def test_without_a_model_the_service_is_live_but_not_ready(empty_client: AppClient) -> None:
    assert empty_client.get("/health/live").status_code == 200
    assert empty_client.get("/health/ready").status_code == 503
    assert "x-model-version" not in empty_client.get("/health/live").headers


@pytest.mark.parametrize("path", ["/score", "/v1/score", "/v1/score/batch"])
def test_without_a_model_scoring_is_503_with_what_to_do(empty_client: AppClient, path: str) -> None:
    answer = empty_client.post(path, customer())
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/model-unavailable"
    assert "keepwell train" in answer.json()["detail"]
    assert int(answer.headers["retry-after"]) > 0


def test_without_a_model_there_is_none_to_tell_of(empty_client: AppClient) -> None:
    assert empty_client.get("/v1/model").status_code == 503


@pytest.mark.parametrize("path", ["/nothing", "/score/", "/v1/score/batch/c-1042", "/docs", "/"])
def test_an_unknown_path_is_404_and_not_repeated(client: AppClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"
    assert answer.json()["instance"] == "unmatched"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/score", "POST"),
        ("DELETE", "/v1/score/batch", "POST"),
        ("POST", "/v1/model", "GET"),
        ("BREW", "/health/live", "GET"),
    ],
)
def test_another_method_is_405_with_those_allowed(
    client: AppClient, method: str, path: str, allowed: str
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert answer.json()["type"] == "/problems/method-not-allowed"
