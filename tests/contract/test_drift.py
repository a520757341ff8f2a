"""Who was scored of late: counted whatever form they came in, held against the model's own."""

import asyncio
import io
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.features import FEATURE_NAMES
from churn.registry import Registry
from service import instants, realised
from service.metrics import OF_WINDOW, Metrics
from service.settings import Settings
from service.window import BLOCK_ROWS, LEAST_ROWS, PARTS, Told, Window
from tests.contract.client import AS_OF, NOW, AppClient, build, keep, purchases
from tests.contract.test_reload import SECOND, add_version
from tests.jobs import carried, job, ndjson, promoted

DAY = 86_400_000_000
N = 300
WITHOUT = "spend_90d"


def people(n: int = N) -> list[dict[str, Any]]:
    """Customers by features; of some the feeds are said, of none `WITHOUT` is known."""
    rng = np.random.default_rng(5)
    rows = []
    for at in range(n):
        numbers = rng.gamma(2.0, 5.0, size=len(FEATURE_NAMES)).round(3).tolist()
        features = dict(zip(FEATURE_NAMES, numbers, strict=True))
        features["days_since_last_purchase"] = 20.0 if at % 10 else 1000.0  # a tenth has lapsed
        del features[WITHOUT]
        row = {"customer_id": f"c-{at}", "as_of": AS_OF, "features": features}
        rows.append(row | ({"feeds": ["orders", "cheques"]} if at % 3 == 0 else {}))
    return rows


def window_of(client: AppClient) -> Window:
    window = client.app.state.keepwell.models.current.window
    assert isinstance(window, Window)
    return window


def table(sent: list[dict[str, Any]]) -> Any:
    """Their features by column."""
    columns = {name: [row["features"].get(name) for row in sent] for name in FEATURE_NAMES}
    given = {"customer_id": [row["customer_id"] for row in sent]} | columns
    return pa.table({k: pa.array(v, None if k[-3:] == "_id" else pa.float64())
                     for k, v in given.items()})  # fmt: skip


def features_of(metrics: Metrics) -> dict[tuple[str, str], float]:
    """What was counted of features, by metric and feature."""
    return {
        (sample.name, sample.labels["feature"]): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name.startswith("churn_feature_") and sample.name.endswith("_total")
    }


def told(client: AppClient, sent: list[dict[str, Any]], form: str) -> Told:
    if form == "alone":
        for row in sent:
            assert client.post("/score", row).status_code == 200
    elif form == "list":
        assert client.post("/v1/score/batch", sent).status_code == 200
    elif form == "plan":
        assert client.post("/v1/plan", {"customers": sent}).status_code == 200
    else:
        made, sink = table(sent), io.BytesIO()
        with pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made)
        answer = client.post(
            "/v1/score/batch",
            sink.getvalue(),
            content_type="application/vnd.apache.arrow.stream",
        )
        assert answer.status_code == 200
    return window_of(client).told()


def test_metrics_tell_of_those_who_were_scored(published: Path) -> None:
    with build(Settings(models_dir=published)) as client:
        answers = client.post("/v1/score/batch", people()).json()["results"]
        p = [row["churn_probability"] for row in answers if row["status"] == "scored"]
        assert len(p) == 270
        metric = client.metric
        assert metric("drift_window_rows") == 270
        assert metric("expected_churn_rate") == pytest.approx(np.mean(p))
        assert metric("drift_psi_ratio", feature=WITHOUT) > 1.0
        assert metric("probability_psi_ratio") > 0.0
        auc = {end: metric("estimated_roc_auc", bound=end) for end in ("low", "mean", "high")}
        assert 0.5 < auc["low"] < auc["mean"] < auc["high"] <= 1.0
        assert metric("estimated_log_loss", bound="mean") < math.log(2)
        assert metric("model_judged_roc_auc") == 0.75
        text = client.get("/metrics").text
    manifest = promoted(published).manifest
    told = [line for line in text.splitlines() if line.startswith("churn_drift_psi_ratio{")]
    assert len(told) == len(manifest.features)


def test_of_few_customers_nothing_is_told_but_how_many(published: Path) -> None:
    with build(Settings(models_dir=published)) as client:
        text = client.get("/metrics").text
        assert "churn_drift_window_rows 0.0" in text
        told(client, people(LEAST_ROWS), "list")
        text = client.get("/metrics").text
        assert f"churn_drift_window_rows {LEAST_ROWS * 9 / 10}" in text
        for name in OF_WINDOW:
            assert f"\n# HELP churn_{name} " in text
            has_value = f"\nchurn_{name} " in text or f"\nchurn_{name}{{" in text
            assert has_value is (name in {"drift_window_rows", "model_judged_roc_auc"})


def test_the_same_customers_count_the_same_in_whatever_form_they_come(
    published: Path, tmp_path: Path
) -> None:
    sent = people()
    found, features = {}, {}
    for form in ("alone", "list", "plan"):
        with build(Settings(models_dir=published)) as client:
            found[form] = told(client, sent, form)
            features[form] = features_of(client.app.state.keepwell.metrics)
    loaded = promoted(published)
    for results in ("ndjson", "csv", "parquet"):
        window = Window(loaded.scorer.schema, loaded.manifest.drift, 7.0, lambda: NOW)
        watched = replace(loaded, window=window)
        asked, metrics = job("ndjson", results), Metrics()
        carried(tmp_path / results, ndjson(sent), watched, asked, chunk=70, metrics=metrics)
        found[results], features[results] = window.told(), features_of(metrics)
    assert found["alone"].rows == 270
    assert features["alone"]["churn_feature_missing_total", WITHOUT] == N
    assert any(name == "churn_feature_out_of_range_total" for name, _ in features["alone"])
    for form, one in found.items():
        assert one.drift == found["alone"].drift, form
        assert features[form] == features["alone"], form
        assert one.expected_churn_rate == pytest.approx(found["alone"].expected_churn_rate), form
    same = [{name: row[name] for name in ("customer_id", "features")} for row in sent]
    with build(Settings(models_dir=published)) as client:
        by_column = told(client, same, "arrow")
        of_columns = features_of(client.app.state.keepwell.metrics)
    with build(Settings(models_dir=published)) as client:
        by_row = told(client, same, "list")
        assert features_of(client.app.state.keepwell.metrics) == of_columns
    assert by_column.rows == by_row.rows == 270
    assert by_column.drift == by_row.drift
    sink, metrics = io.BytesIO(), Metrics()
    pq.write_table(table(same), sink)
    asked = job("parquet", "parquet")
    carried(tmp_path / "columns", sink.getvalue(), loaded, asked, metrics=metrics)
    assert features_of(metrics) == of_columns


def test_the_window_forgets_what_is_too_old(published: Path) -> None:
    now = NOW
    loaded = promoted(published)
    window = Window(loaded.scorer.schema, loaded.manifest.drift, 7.0, lambda: now)
    rows = [
        loaded.scorer.rows.of_features(row["customer_id"], row["features"], NOW)
        for row in people(BLOCK_ROWS)
    ]
    scores = loaded.scorer.score_rows(rows)
    scored = sum(score.churn_probability is not None for score in scores)
    for _ in range(4):
        window.rows(rows, scores)
        window.told()  # what was put aside is counted at every scrape
        now += 2 * DAY
    assert window.told().rows == 3 * scored  # of days 2, 4 and 6; it is day 8
    now += 7 * DAY + 7 * DAY // PARTS
    assert window.told() == Told(0)


def test_another_model_begins_a_window_of_its_own(models_dir: Path) -> None:
    with build(Settings(models_dir=models_dir)) as client:
        told(client, people(), "list")
        assert client.metric("drift_window_rows") == 270
        add_version(models_dir, SECOND)
        Registry(models_dir).promote(SECOND)
        client.refresh()
        assert client.metric("drift_window_rows") == 0
        told(client, people(20), "list")
        assert client.metric("drift_window_rows") == 18


def test_a_bundle_without_a_reference_serves_and_tells_the_rest(models_dir: Path) -> None:
    version = Registry(models_dir).current()
    path = models_dir / str(version) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["drift"]
    path.write_text(json.dumps(manifest))
    with build(Settings(models_dir=models_dir)) as client:
        found = told(client, people(), "list")
        assert found.drift == {}
        assert found.probability_drift is None
        assert found.rows == 270
        assert client.metric("expected_churn_rate") > 0.0
        assert "churn_drift_psi_ratio{" not in client.get("/metrics").text


def test_a_fault_in_what_is_asked_for_leaves_the_other_metrics(published: Path) -> None:
    with build(Settings(models_dir=published)) as client:
        metrics = client.app.state.keepwell.metrics

        def fails() -> dict[str, float]:
            raise ValueError

        metrics.window.ask = fails
        text = client.get("/metrics").text
    assert "churn_model_info{" in text
    assert "\nchurn_drift_window_rows " not in text


def test_a_running_service_looks_up_what_became_of_customers(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = partial(realised.look_always, seconds=0.02)
    monkeypatch.setattr(realised, "look_always", often)
    with build(Settings(models_dir=published)) as client:
        keep(client, "c", purchases())

        async def live() -> None:
            async with client.app.router.lifespan_context(client.app):
                for _ in range(500):
                    await asyncio.sleep(0.01)
                    if client.metric("label_maturity_timestamp_seconds"):
                        return

        asyncio.run(live())
        horizon = client.get("/v1/model").json()["horizon_days"]
        newest = instants.parse(purchases()[0]["occurred_at"])
        matured = (newest - horizon * DAY) / 1e6
        assert client.metric("label_maturity_timestamp_seconds") == matured
        assert client.metric("realised_customers", part="counted") == 0
