"""From checked requests to their answers: scoring, metrics, and the bodies that go out."""

import time
from collections.abc import Sequence
from typing import Any

import orjson

from churn.errors import RequestError
from churn.history import History
from churn.policy.action import Action
from churn.rows import Rows, Sent
from churn.scoring import CustomerRow, CustomerScore
from service import instants
from service.marks import Held, Marks
from service.metrics import Metrics
from service.models import Loaded
from service.problems import invalid_field
from service.quick import Checked

MODE_SINGLE = "single"
MODE_BATCH = "batch"
_LABEL = {False: "false", True: "true"}


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

    Attributes
    ----------
    loaded : Loaded
        As given.
    now : int
        As given.
    seconds : float
        What scoring took so far.
    reach : int
        How long contacts matter, microseconds.
    """

    def __init__(
        self, loaded: Loaded, metrics: Metrics, *, now: int, request_id: str, mode: str
    ) -> None:
        self.loaded = loaded
        self._metrics = metrics
        self.now = now
        self._scored_at = instants.text(now)
        self._request_id = request_id
        self._mode = mode
        self.seconds = 0.0
        self.reach = loaded.scorer.policy.ready.reach

    def row(self, request: Checked, root: str = "") -> CustomerRow:
        """Make a request ready to be scored.

        Parameters
        ----------
        request : Checked
            A checked request.
        root : str, optional
            JSON pointer to the customer within the body, for problems.

        Raises
        ------
        Problem
            The domain refuses a field.
        """
        started = time.perf_counter()
        try:
            return customer_row(self.loaded.scorer.rows, request, self.now, root)
        finally:
            self.seconds += time.perf_counter() - started

    def held(self, request: Checked, marks: Marks) -> Held:
        """Hold a request with nothing but an id against how far the feeds have come.

        Raises
        ------
        Problem
            What is stored is too old.
        """
        feeds = self.loaded.scorer.feeds
        return marks.hold(self.as_of(request), request.feeds, feeds)

    def stored_row(self, request: Checked, history: History, held: Held) -> CustomerRow:
        """Make a request with nothing but an id ready to be scored, from what is stored."""
        started = time.perf_counter()
        row = self.loaded.scorer.rows.of_history(
            request.customer_id,
            history,
            self.as_of(request),
            feeds=held.feeds,
            max_reasons=request.max_reasons,
            direction=request.direction,
            language=request.language,
            channels=request.channels,
        )
        self.seconds += time.perf_counter() - started
        return row._replace(warnings=row.warnings + held.warnings) if held.warnings else row

    def unknown(self, request: Checked) -> CustomerScore:
        """Answer for a customer of whom nothing is stored."""
        score = self.loaded.scorer.unknown(request.customer_id, self.as_of(request))
        self._count(score)
        return score

    def as_of(self, request: Checked) -> int:
        """The instant to score for, microseconds since 1970-01-01 UTC."""
        return self.now if request.as_of is None else request.as_of

    def render(self, score: CustomerScore, decision_id: str | None = None) -> bytes:
        """Put an answer into JSON, with the name of its decision where one is recorded."""
        return orjson.dumps(self._body(score, decision_id))

    def scores(self, rows: Sequence[CustomerRow]) -> list[CustomerScore]:
        """Score rows and count them."""
        started = time.perf_counter()
        scores = self.loaded.scorer.score_rows(rows)
        self.seconds += time.perf_counter() - started
        for score in scores:
            self._count(score)
        if self.loaded.shadow is not None:
            self.loaded.shadow.offer(rows, scores)
        if self.loaded.window is not None:
            self.loaded.window.rows(rows, scores)
        return scores

    def _count(self, score: CustomerScore) -> None:
        metrics = self._metrics
        metrics.predict_rows[self._mode, score.status].inc()
        if score.churn_probability is not None:
            metrics.probability[self.loaded.version].observe(score.churn_probability)
        for reason in score.reasons:
            metrics.reasons[reason.code].inc()
        if score.action is not None:
            metrics.actions[score.action.code, _LABEL[score.action.holdout]].inc()
        count_features(metrics, score)

    def _body(self, score: CustomerScore, decision_id: str | None) -> dict[str, Any]:
        document = told(score)
        if decision_id is not None:
            document["action"]["decision_id"] = decision_id
        warnings = document.pop("warnings")
        document["scored_at"] = self._scored_at
        document["request_id"] = self._request_id
        document["warnings"] = warnings
        return document


def count_features(metrics: Metrics, score: CustomerScore) -> None:
    """Tell the metrics what there is to be said of a scored customer's features."""
    for name in score.features_missing:
        metrics.feature_missing[name].inc()
    for name in score.features_out_of_range:
        metrics.feature_out_of_range[name].inc()
    for name in score.features_unseen:
        metrics.feature_unseen[name].inc()


def customer_row(rows: Rows, request: Checked, now: int, root: str = "") -> CustomerRow:
    """Make a row of a request with `events` or `features`.

    Parameters
    ----------
    rows : Rows
        The model's.
    request : Checked
        A checked request.
    now : int
        `as_of` of a request without, microseconds since 1970-01-01 UTC.
    root : str, optional
        JSON pointer to the customer within the body, for problems.

    Raises
    ------
    Problem
        The domain refuses a field.
    """
    try:
        return customer_rows(rows, [(request, now)])[0]
    except RequestError as error:
        raise invalid_field(str(error), root + error.pointer, error.code) from None


def customer_rows(rows: Rows, requests: Sequence[tuple[Checked, int]]) -> list[CustomerRow]:
    """Make rows of requests with `events` or `features`, each with its `as_of` if it has none.

    Raises
    ------
    RequestError
        The domain refuses a field of one of them.
    """
    sent = [
        Sent(
            one.customer_id,
            now if one.as_of is None else one.as_of,
            one.features,
            one.feeds,
            one.max_reasons,
            one.direction,
            one.language,
            one.channels,
        )
        for one, now in requests
    ]
    histories = [one.events for one, _ in requests if one.events is not None]
    if len(histories) == len(sent):
        return rows.of_histories(sent, histories)
    if not histories:
        return rows.of_named(sent)
    return [customer_rows(rows, [one])[0] for one in requests]


def told(score: CustomerScore) -> dict[str, Any]:
    """What an answer tells of a customer, whoever asked and when."""
    expected = score.next_purchase
    worth = score.customer_value
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
        # Their fields are the contract's, which the tests see to.
        "reasons": score.reasons,
        "loss_category": score.loss_category,
        "value_segment": score.value_segment,
        "customer_value": worth
        and {"amount": worth.amount, "currency": worth.currency, "days": worth.days},
        "action": score.action and _suggested(score.action),
        "model_version": score.model_version,
        "policy_version": score.policy_version,
        "as_of": instants.text(score.as_of),
        "warnings": score.warnings,
    }


def _suggested(action: Action) -> dict[str, Any]:
    return {
        "code": action.code,
        "channel": action.channel,
        "act_by": None if action.act_by is None else instants.day_text(action.act_by),
        "expected_value": action.expected_value,
        "lower_bound": action.lower_bound,
        "cost": action.cost,
        "why": action.why,
        "alternatives": [
            {"code": code, "expected_value": value, "lower_bound": bound, "cost": cost}
            for code, value, bound, cost in action.alternatives
        ],
        "holdout": action.holdout,
        "explored": action.explored,
        "propensity": action.propensity,
        "situation": action.situation,
    }


def _date(instant: int | None) -> str | None:
    return None if instant is None else instants.date_text(instant)
