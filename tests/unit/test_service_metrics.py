"""Every metric that is promised exists with its labels, and each that exists is documented."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from service.metrics import PREFIX, Asked, Metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = "".join((ROOT / "docs" / page).read_text() for page in ("api.md", "monitoring.md"))
PROMISED = """
http_requests_total{route,method,status} http_request_duration_seconds{route,method}
http_requests_in_progress requests_shed_total{reason} predict_duration_seconds{mode}
predict_rows_total{mode,status} batch_rows probability{model_version} reasons_total{code}
actions_total{action,holdout} validation_failures_total{code} feature_missing_total{feature}
feature_out_of_range_total{feature} drift_psi_ratio{feature} probability_psi_ratio
drift_window_rows model_info{version,sha256} model_loaded_timestamp_seconds
model_reloads_total{result} jobs{state} job_rows_total{outcome}
events_ingested_total{kind,outcome} auth_failures_total{reason} expected_churn_rate
realised_churn_rate realised_roc_auc label_maturity_timestamp_seconds
"""


def exists() -> dict[str, tuple[str, ...]]:
    """Labels of every metric, by the name that it is exposed under."""
    found: dict[str, tuple[str, ...]] = {}
    for collector in Metrics().registry._collector_to_names:
        if isinstance(collector, Asked):
            for name, (_, *labels) in collector.gauges.items():
                found[name] = tuple(labels)
        else:
            assert isinstance(collector, MetricWrapperBase)
            ending = "_total" if collector._type == "counter" else ""
            name = collector._name.removeprefix(f"{PREFIX}_") + ending
            found[name] = tuple(collector._labelnames)
    return found


def test_every_promised_metric_exists_with_its_labels() -> None:
    there = exists()
    promised = re.findall(r"(\w+)(?:\{([\w,]+)\})?", PROMISED)
    assert len(promised) == 27
    for name, labels in promised:
        assert there.get(name) == (tuple(labels.split(",")) if labels else ()), name


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    rows = re.findall(rf"^\| `{PREFIX}_(\w+)` \|([^|]*)\|", DOCUMENTS, re.MULTILINE)
    documented = {name: tuple(re.findall(r"`(\w+)`", cell.split(":")[0])) for name, cell in rows}
    assert len(documented) == len(rows)
    assert documented == exists()


def test_series_can_be_forgotten_while_others_begin() -> None:
    metrics = Metrics()
    metrics.probability["old"].observe(0.5)
    metrics.probability["kept"].observe(0.5)

    class Kept(tuple[str, ...]):
        """Those to keep; a request is counted under a new label at every look."""

        def __contains__(self, label: object) -> bool:
            metrics.probability[f"new-{len(metrics.probability)}"].observe(0.5)
            return label == "kept"

    metrics.probability.keep_only(Kept())
    told = metrics.exposition()[0].decode()
    assert 'model_version="old"' not in told
    for label in ("kept", "new-2", "new-3"):
        assert f'churn_probability_count{{model_version="{label}"}} 1.0' in told
    metrics.probability["old"].observe(0.5)
    told = metrics.exposition()[0].decode()
    assert 'churn_probability_count{model_version="old"} 1.0' in told
