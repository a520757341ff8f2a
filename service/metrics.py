"""Prometheus metrics, in a registry of the app's own. Labels never hold customer data."""

from collections.abc import Collection
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

PREFIX = "churn"
UNMATCHED = "unmatched"
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PREDICT_SECONDS = (0.0001, 0.00025, 0.0005, *REQUEST_SECONDS)
BATCH_ROWS = (1, 5, 10, 50, 100, 250, 500, 1000)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))
DIFFERENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


M = TypeVar("M", Counter, Histogram)


class ByLabels(dict[str | tuple[str, ...], M]):
    """A metric by its labels' values: ``metric[route, method].inc()``.

    The library finds the child of a metric anew at each call, which takes as long as counting
    itself five times; here it is found once.
    """

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric: M = metric

    def __missing__(self, values: str | tuple[str, ...]) -> M:
        labels = (values,) if isinstance(values, str) else values
        child: M = self._metric.labels(*labels)
        self[values] = child
        return child

    def keep_only(self, values: Collection[str | tuple[str, ...]]) -> None:
        """Forget the series of all other labels."""
        for known in [one for one in self if one not in values]:
            del self[known]
            self._metric.remove(*((known,) if isinstance(known, str) else known))


class Metrics:
    """All metrics of one app; the attribute is the metric's name without the prefix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> ByLabels[Counter]:
            return ByLabels(Counter(name, text, labels, namespace=PREFIX, registry=self.registry))

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, namespace=PREFIX, registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                name, text, labels, namespace=PREFIX, registry=self.registry, buckets=buckets
            )

        self.http_requests = counter(
            "http_requests", "Requests answered.", "route", "method", "status"
        )
        self.http_request_duration_seconds = ByLabels(
            histogram(
                "http_request_duration_seconds",
                "From a request's first byte to its answer's last.",
                REQUEST_SECONDS,
                "route",
                "method",
            )
        )
        self.http_requests_in_progress = gauge("http_requests_in_progress", "Requests now open.")
        self.predict_duration_seconds = ByLabels(
            histogram(
                "predict_duration_seconds",
                "Scoring alone, of one customer or of a whole batch.",
                PREDICT_SECONDS,
                "mode",
            )
        )
        self.predict_rows = counter("predict_rows", "Customers answered.", "mode", "status")
        self.batch_rows = histogram("batch_rows", "Customers in a batch.", BATCH_ROWS)
        self.probability = ByLabels(
            histogram(
                "probability", "Churn probabilities answered.", PROBABILITIES, "model_version"
            )
        )
        self.reasons = counter("reasons", "Reasons given.", "code")
        self.actions = counter("actions", "Actions suggested.", "action", "holdout")
        self.validation_failures = counter(
            "validation_failures", "Requests or rows refused.", "code"
        )
        self.events_ingested = counter(
            "events_ingested", "Events sent to be kept.", "kind", "outcome"
        )
        self.requests_shed = counter("requests_shed", "Requests refused for the load.", "reason")
        self.connections_refused = counter(
            "connections_refused", "Connections ended for what came on them.", "reason"
        )
        self.feature_missing = counter(
            "feature_missing", "Scored customers without the feature.", "feature"
        )
        self.feature_out_of_range = counter(
            "feature_out_of_range", "Scored customers beyond training's range.", "feature"
        )
        self.feature_unseen = counter(
            "feature_unseen", "Customers with a category that training did not meet.", "feature"
        )
        self.model_info = gauge("model_info", "1 for the model that serves.", "version", "sha256")
        self.model_loaded_timestamp_seconds = gauge(
            "model_loaded_timestamp_seconds", "When the model that serves was loaded."
        )
        self.model_created_timestamp_seconds = gauge(
            "model_created_timestamp_seconds", "When the model that serves was trained."
        )
        self.model_reloads = counter("model_reloads", "Attempts to load a model.", "result")
        self.shadow_reloads = counter("shadow_reloads", "Attempts to load a shadow.", "result")
        self.shadow_info = gauge("shadow_info", "1 for the shadow model.", "version", "sha256")
        self.shadow_rows = counter(
            "shadow_rows", "Answers held against the shadow model's.", "outcome"
        )
        self.shadow_bands = counter(
            "shadow_bands", "Compared answers by both models' bands.", "live", "shadow"
        )
        self.shadow_probability_difference = histogram(
            "shadow_probability_difference",
            "How far the shadow model's probability is from the one answered.",
            DIFFERENCES,
        )
        self.shadow_probability_sum = counter(
            "shadow_probability_sum", "Sum of the probabilities that were compared.", "model"
        )
        self.policy_reloads = counter("policy_reloads", "Attempts to read the policy.", "result")
        self.key_reloads = counter("key_reloads", "Attempts to read the file of keys.", "result")
        self.auth_failures = counter("auth_failures", "Requests not let in.", "reason")
        self.audit_lines = counter("audit_lines", "Lines of the audit log.", "outcome")
        self.audit_write_failures = Counter(
            "audit_write_failures",
            "Times that the audit log could not be written.",
            namespace=PREFIX,
            registry=self.registry,
        )
        self.feed_watermark_timestamp_seconds = gauge(
            "feed_watermark_timestamp_seconds", "When the newest stored event happened.", "feed"
        )
        self.jobs = gauge("jobs", "Jobs in the store.", "state")
        self.job_rows = counter("job_rows", "Rows of jobs that this process finished.", "outcome")

    def exposition(self) -> tuple[bytes, str]:
        """Render the metrics as Prometheus reads them, and name their content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
