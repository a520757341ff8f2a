"""From a checked request to its answer: scoring, metrics, and the body that goes out."""

import time
from typing import Any

from churn.errors import RequestError
from churn.scoring import CustomerScore
from service import instants
from service.metrics import Metrics
from service.models import Loaded
from service.problems import invalid_field
from service.schemas import ScoreRequest
from service.validation import to_events

MODE_SINGLE = "single"
MODE_BATCH = "batch"


class Scoring:
    """Answers checked requests with one model.

    Parameters
    ----------
    loaded : Loaded
        The model; one for the whole HTTP request.
    metrics : Metrics
        Told of every answer.
    now : int
        The instant of the request, microseconds since 1970-01-01 UTC; the default `as_of`.
    request_id : str
        Goes into every answer.
    mode : str
        ``single`` or ``batch``, a metric label.
    """

    def __init__(
        self, loaded: Loaded, metrics: Metrics, *, now: int, request_id: str, mode: str
    ) -> None:
        self._loaded = loaded
        self._metrics = metrics
        self._now = now
        self._scored_at = instants.text(now)
        self._request_id = request_id
        self._mode = mode
        self.seconds = 0.0

    def answer(self, request: ScoreRequest, root: str = "") -> dict[str, Any]:
        """Score one customer.

        Parameters
        ----------
        request : ScoreRequest
            A checked request.
        root : str, optional
            JSON pointer to the customer within the body, for problems.

        Raises
        ------
        Problem
            The domain refuses a field.
        """
        as_of = self._now if request.as_of is None else request.as_of
        feeds = None if request.feeds is None else frozenset(request.feeds)
        scorer = self._loaded.scorer
        try:
            if request.events is None:
                started = time.perf_counter()
                score = scorer.score_features(
                    request.customer_id,
                    request.features or {},
                    as_of,
                    feeds=feeds,
                    max_reasons=request.max_reasons,
                    language=request.language,
                )
            else:
                events = to_events(request.events, root)
                started = time.perf_counter()
                score = scorer.score_events(
                    request.customer_id,
                    events,
                    as_of,
                    own=request.features,
                    feeds=feeds,
                    max_reasons=request.max_reasons,
                    language=request.language,
                )
        except RequestError as error:
            raise invalid_field(str(error), root + error.pointer, error.code) from None
        self.seconds += time.perf_counter() - started
        self._count(score)
        return self._body(score)

    def _count(self, score: CustomerScore) -> None:
        metrics = self._metrics
        metrics.predict_rows.labels(self._mode, score.status).inc()
        if score.churn_probability is not None:
            metrics.probability.labels(self._loaded.version).observe(score.churn_probability)
        for reason in score.reasons:
            metrics.reasons.labels(reason.code).inc()
        if score.action is not None:
            metrics.actions.labels(score.action.code, "false").inc()
        for name in score.features_missing:
            metrics.feature_missing.labels(name).inc()
        for name in score.features_out_of_range:
            metrics.feature_out_of_range.labels(name).inc()
        for name in score.features_unseen:
            metrics.feature_unseen.labels(name).inc()

    def _body(self, score: CustomerScore) -> dict[str, Any]:
        action = score.action
        expected = score.next_purchase
        return {
            "customer_id": score.customer_id,
            "status": score.status,
            "churn_probability": score.churn_probability,
            "probability_interval": score.interval
            and {"low": score.interval[0], "high": score.interval[1]},
            "risk_band": score.risk_band,
            "horizon_days": score.horizon_days,
            "risk_curve": [
                {"days": days, "probability": probability} for days, probability in score.risk_curve
            ],
            "next_purchase": expected
            and {
                "median": _date(expected.median),
                "earliest": _date(expected.earliest),
                "latest": _date(expected.latest),
            },
            "reasons": [
                {
                    "code": reason.code,
                    "family": reason.family,
                    "direction": reason.direction,
                    "contribution": reason.contribution,
                    "share": reason.share,
                    "feature": reason.feature,
                    "value": reason.value,
                    "norm": reason.norm,
                    "controllable": reason.controllable,
                    "text": reason.text,
                }
                for reason in score.reasons
            ],
            "action": action
            and {"code": action.code, "channel": action.channel, "why": action.why},
            "model_version": score.model_version,
            "as_of": instants.text(score.as_of),
            "scored_at": self._scored_at,
            "request_id": self._request_id,
            "warnings": score.warnings,
        }


def _date(instant: int | None) -> str | None:
    return None if instant is None else instants.text(instant)[:10]
