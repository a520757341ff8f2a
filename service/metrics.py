"""Prometheus metrics, in a registry of the app's own. Labels never hold customer data."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import logs

PREFIX = "churn"
UNMATCHED = "unmatched"
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
PREDICT_SECONDS = (0.0001, 0.00025, 0.0005, *REQUEST_SECONDS)
BATCH_ROWS = (1, 5, 10, 50, 100, 250, 500, 1000)
PROBABILITIES = tuple(step / 20 for step in range(1, 21))
DIFFERENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
OF_WINDOW = {
    "drift_window_rows": ("Customers scored within the window of drift.",),
    "drift_psi_ratio": (
        "PSI of a feature against the model's own customers.",
        "feature",
    ),
    "probability_psi_ratio": ("PSI of the churn probability, likewise.",),
    "expected_churn_rate": ("Mean churn probability of the customers in the window.",),
    "estimated_roc_auc": ("ROC AUC that the window's probabilities promise.", "bound"),
    "estimated_log_loss": ("Log loss, in nats, that the window's probabilities promise.", "bound"),
    "model_judged_roc_auc": ("ROC AUC of the model that serves, judged out of time.",),
}
"""Gauges of what was scored of late: their words and labels."""
OF_OUTCOMES = {
    "label_maturity_timestamp_seconds": ("Scores of before then have a known outcome.",),
    "realised_customers": ("Customers whose outcome is looked at.", "part"),
    "realised_churn_rate": ("Share of them who left.",),
    "realised_roc_auc": ("ROC AUC of what had been said of them.",),
    "realised_log_loss": ("Log loss, in nats, of what had been said of them.",),
    "realised_calibration_ratio": ("Leavers over those expected.",),
    "realised_calibration_error": ("ECE, ten equal-count bins, of what had been said.",),
}
"""Gauges of recorded scores whose outcome is known: their words and labels."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


_log = logging.getLogger(f"{logs.ROOT}.metrics")


class Counter(prometheus_client.Counter):
    """The library's, counting at once: it asks each time whether it has labels without values."""

    def inc(self, amount: float = 1, exemplar: object = None) -> None:
        """Count so many."""
        self._value.inc(amount)


class Histogram(prometheus_client.Histogram):
    """The library's, which looks at one bucket after the other, and asks as its counter does."""

    def observe(self, amount: float, exemplar: object = None) -> None:
        """Count one of so much; not NaN."""
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)


M = TypeVar("M", Counter, Histogram)
Told = Mapping[str, float | Mapping[str, float] | None]
"""Values by metric, or by metric and label; None and what is left out is not known."""


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
        # In a thread, while the event loop counts: so of a copy, and a child is found until it is
        # gone from the metric, or one that is counted nowhere could take its place.
        for known in [one for one in list(self) if one not in values]:
            self._metric.remove(*((known,) if isinstance(known, str) else known))
            del self[known]


class Asked(Collector):
    """Gauges whose values are asked for at every scrape; what is not known has no value.

    Parameters
    ----------
    gauges : mapping of str to tuple of str
        Words, and a label if there is one, by name.

    Attributes
    ----------
    gauges : mapping of str to tuple of str
        As given.
    ask : callable
        Tells the values.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, ...]]) -> None:
        self.gauges = gauges
        self.ask: Callable[[], Told] = dict

    def collect(self) -> Iterator[Metric]:
        """Give every gauge, with a value or without."""
        try:
            told = self.ask()
        except Exception:  # the other metrics are told all the same
            _log.exception("metrics could not be told")
            told = {}
        for name, (text, *labels) in self.gauges.items():
            family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
            value = told.get(name)
            if isinstance(value, Mapping):
                for label, number in value.items():
                    family.add_metric([label], number)
            elif value is not None:
                family.add_metric([], value)
            yield family


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
        self.window = Asked(OF_WINDOW)
        self.outcomes = Asked(OF_OUTCOMES)
        for asked in (self.window, self.outcomes):
            self.registry.register(asked)

    def exposition(self) -> tuple[bytes, str]:
        """Render the metrics as Prometheus reads them, and name their content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
