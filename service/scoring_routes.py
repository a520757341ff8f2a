"""`POST /score` and `POST /v1/score/batch`.

The handlers take the raw request and answer with raw bytes: strictness needs the bytes, and the
framework's own parsing and serialising would cost more than the scoring.
"""

import logging
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from service import batch, body, contract, logs
from service.answers import MODE_BATCH, MODE_SINGLE, Scoring
from service.context import MODEL_VERSION_HEADER, request_id, route_template
from service.problems import Problem, internal_error
from service.responses import BatchAnswer, Score
from service.state import State, count_failure, state_of
from service.strict_json import BadJson
from service.strict_json import parse as parse_json
from service.validation import FIELD_NAMES, batch_customers, score_request

router = APIRouter(tags=["scoring"])

_log = logging.getLogger(f"{logs.ROOT}.scoring")


@router.post(
    "/score",
    response_model=Score,
    responses=contract.problems_of(400, 413, 415, 422, 500, 503),
    openapi_extra=contract.score_body(),
    operation_id="score",
    summary="Score one customer",
)
@router.post(
    "/v1/score",
    response_model=Score,
    responses=contract.problems_of(400, 413, 415, 422, 500, 503),
    openapi_extra=contract.score_body(),
    operation_id="score_v1",
    summary="Score one customer",
)
async def score(request: Request) -> Response:
    """Churn probability, reasons and an action for one customer.

    Send the customer's `events` in the observation window, or ready `features`.
    """
    state = state_of(request)
    body.media_type(request, (body.JSON,))
    raw = await body.read(request, state.settings.max_body_bytes)
    loaded = state.loaded()
    checked = score_request(
        await batch.parse(raw, FIELD_NAMES),
        max_events=state.settings.max_events,
        feature_names=loaded.feature_names,
    )
    scoring = Scoring(
        loaded,
        state.metrics,
        now=state.clock(),
        request_id=request_id(request),
        mode=MODE_SINGLE,
    )
    answer = scoring.answer(checked)
    state.metrics.predict_duration_seconds.labels(MODE_SINGLE).observe(scoring.seconds)
    return Response(
        orjson.dumps(answer),
        media_type=body.JSON,
        headers={MODEL_VERSION_HEADER: loaded.version},
    )


@router.post(
    "/v1/score/batch",
    response_model=BatchAnswer,
    responses=contract.batch_responses() | contract.problems_of(400, 413, 415, 422, 500, 503),
    openapi_extra=contract.batch_body(),
    operation_id="score_batch",
    summary="Score a list of customers",
)
async def score_batch(request: Request) -> Response:
    """Answer every customer with a result or a problem, in input order.

    The status is 200 even where rows are refused. A JSON body is answered with JSON, an NDJSON
    body with NDJSON of as many lines.
    """
    state = state_of(request)
    media_type = body.media_type(request, (body.JSON, body.NDJSON))
    raw = await body.read(request, state.settings.max_batch_body_bytes)
    rows = _Rows(state, request)
    if media_type == body.NDJSON:
        out = await rows.of_lines(batch.lines(raw, state.settings.max_batch_customers))
        content = b"".join(line + b"\n" for line in out)
    else:
        out = await rows.of_document(await batch.parse(raw, FIELD_NAMES))
        content = b'{"model_version":%b,"request_id":%b,"results":[%b]}' % (
            orjson.dumps(rows.loaded.version),
            orjson.dumps(rows.request_id),
            b",".join(out),
        )
    state.metrics.batch_rows.observe(len(out))
    state.metrics.predict_duration_seconds.labels(MODE_BATCH).observe(rows.scoring.seconds)
    return Response(
        content, media_type=media_type, headers={MODEL_VERSION_HEADER: rows.loaded.version}
    )


class _Rows:
    """Answers the rows of one batch, all with one model and one clock reading."""

    def __init__(self, state: State, request: Request) -> None:
        self.loaded = state.loaded()
        self.request_id = request_id(request)
        self.scoring = Scoring(
            self.loaded,
            state.metrics,
            now=state.clock(),
            request_id=self.request_id,
            mode=MODE_BATCH,
        )
        self._instance = route_template(request.scope)
        self._state = state

    async def of_lines(self, lines: list[bytes]) -> list[bytes]:
        def answer(index: int, line: bytes) -> dict[str, Any]:
            if len(line) > self._state.settings.max_body_bytes:
                raise batch.line_too_long(self._state.settings.max_body_bytes)
            try:
                return self._answer(parse_json(line, FIELD_NAMES), "")
            except BadJson as error:
                raise batch.malformed(error) from None

        return await batch.each(lines, answer, self._refuse)

    async def of_document(self, document: Any) -> list[bytes]:
        customers = batch_customers(document)
        root = "" if isinstance(document, list) else "/customers"
        batch.check_count(len(customers), self._state.settings.max_batch_customers)
        return await batch.each(
            customers,
            lambda index, customer: self._answer(customer, f"{root}/{index}"),
            self._refuse,
        )

    def _answer(self, customer: Any, root: str) -> dict[str, Any]:
        checked = score_request(
            customer,
            max_events=self._state.settings.max_events,
            feature_names=self.loaded.feature_names,
            root=root,
        )
        return self.scoring.answer(checked, root)

    def _refuse(self, index: int, error: Exception) -> dict[str, Any]:
        if isinstance(error, Problem):
            problem = error
        else:
            problem = internal_error(self.request_id)
            fields = {"request_id": self.request_id, "row": index}
            _log.error("row failed", exc_info=error, extra={"fields": fields})
        metrics = self._state.metrics
        count_failure(metrics, problem)
        metrics.predict_rows.labels(MODE_BATCH, "error").inc()
        document = problem.document(instance=self._instance, request_id=self.request_id)
        return {"index": index, **document}
