import json
from datetime import datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from churn.features import FEATURE_NAMES
from service.settings import Settings
from tests.contract.client import AppClient, build, customer, purchases

REQUEST_BUCKETS = ".001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2.5 5"


def fresh(published: Path) -> AppClient:
    return build(Settings(models_dir=published))


def test_requests_are_counted_by_route_template(published: Path) -> None:
    with fresh(published) as client:
        client.post("/score", customer())
        client.post("/score", {})
        client.get("/customers/c-1042?name=secret")
        client.request("BREW", "/score")
        text = client.get("/metrics").text
        count = client.metric
        assert count("http_requests_total", route="/score", method="POST", status="200") == 1
        assert count("http_requests_total", route="/score", method="POST", status="422") == 1
        assert count("http_requests_total", route="/score", method="other", status="405") == 1
        assert count("http_requests_total", route="unmatched", method="GET", status="404") == 1
        assert count("http_request_duration_seconds_count", route="/score", method="POST") == 2
        assert count("http_requests_in_progress") == 0
    assert "c-1042" not in text
    assert "secret" not in text


def test_request_durations_have_the_published_buckets(published: Path) -> None:
    with fresh(published) as client:
        client.get("/health/live")
        text = client.get("/metrics").text
    (family,) = (
        family
        for family in text_string_to_metric_families(text)
        if family.name == "churn_http_request_duration_seconds"
    )
    limits = [
        float(sample.labels["le"])
        for sample in family.samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == "/health/live"
    ]
    assert limits == [*(float(limit) for limit in REQUEST_BUCKETS.split()), float("inf")]


def test_one_answer_is_counted_in_every_way(published: Path) -> None:
    with fresh(published) as client:
        body = client.post("/score", customer(max_reasons=8)).json()
        count = client.metric
        assert count("predict_rows_total", mode="single", status="scored") == 1
        assert count("predict_duration_seconds_count", mode="single") == 1
        assert count("probability_count", model_version=body["model_version"]) == 1
        assert (
            count("probability_sum", model_version=body["model_version"])
            == (body["churn_probability"])
        )
        assert body["reasons"]
        for reason in body["reasons"]:
            assert count("reasons_total", code=reason["code"]) == 1
        action, holdout = body["action"]["code"], str(body["action"]["holdout"]).lower()
        assert count("actions_total", action=action, holdout=holdout) == 1


def test_a_batch_is_counted_by_row(published: Path) -> None:
    rows = [customer(), customer(events=[]), customer(events=purchases(1, amount="x")), None]
    with fresh(published) as client:
        client.post("/v1/score/batch", rows)
        count = client.metric
        assert count("predict_rows_total", mode="batch", status="scored") == 1
        assert count("predict_rows_total", mode="batch", status="insufficient_history") == 1
        assert count("predict_rows_total", mode="batch", status="error") == 2
        assert count("predict_duration_seconds_count", mode="batch") == 1
        assert count("batch_rows_sum") == 4
        assert count("validation_failures_total", code="not_a_number") == 1
        assert count("validation_failures_total", code="not_an_object") == 1


def test_refusals_are_counted_by_code(published: Path) -> None:
    with fresh(published) as client:
        client.post("/score", b"{")
        client.post("/score", customer(max_reasons=9))
        client.post("/score", customer(), content_type="text/plain")
        for code in ("malformed_json", "too_big", "content_type"):
            assert client.metric("validation_failures_total", code=code) == 1, code


def test_features_missing_and_out_of_range_are_counted_by_name(published: Path) -> None:
    sent: dict[str, float | None] = dict.fromkeys(FEATURE_NAMES, 1.0)
    sent |= {"average_cheque": None, "spend_90d": 9e14, "days_since_last_purchase": 9.0}
    with fresh(published) as client:
        client.post("/score", {"customer_id": "c", "features": sent})
        assert client.metric("feature_missing_total", feature="average_cheque") == 1
        assert client.metric("feature_missing_total", feature="spend_90d") == 0
        assert client.metric("feature_out_of_range_total", feature="spend_90d") == 1


def test_the_loaded_model_is_told(published: Path) -> None:
    with fresh(published) as client:
        model = client.get("/v1/model").json()
        info = {"version": model["model_version"], "sha256": model["sha256"]}
        assert client.metric("model_info", **info) == 1
        assert client.metric("model_loaded_timestamp_seconds") > 1.7e9
        created = datetime.fromisoformat(model["created_at"])
        assert client.metric("model_created_timestamp_seconds") == created.timestamp()
        assert client.metric("model_reloads_total", result="ok") == 1


def test_every_name_begins_with_the_prefix(published: Path) -> None:
    with fresh(published) as client:
        client.post("/score", customer())
        names = [
            family.name for family in text_string_to_metric_families(client.get("/metrics").text)
        ]
    assert names
    assert all(name.startswith("churn_") for name in names)


def test_two_apps_do_not_share_their_counts(published: Path) -> None:
    with fresh(published) as first, fresh(published) as second:
        first.post("/score", customer())
        labels = {"mode": "single", "status": "scored"}
        assert first.metric("predict_rows_total", **labels) == 1
        assert second.metric("predict_rows_total", **labels) == 0


def test_no_customer_reaches_the_metrics(published: Path) -> None:
    with fresh(published) as client:
        canary = customer(
            customer_id="canary-7", events=purchases(order_id="canary-8", category="canary-9")
        )
        client.post("/score", canary | {"canary-1": 1})
        client.post("/score", canary)
        client.post(
            "/v1/score/batch", json.dumps(canary).encode(), content_type="application/x-ndjson"
        )
        client.get("/canary-2?canary-3=canary-4")
        assert "canary" not in client.get("/metrics").text
