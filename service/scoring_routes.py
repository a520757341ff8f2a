"""`POST /score` and `POST /v1/score/batch`, as the contract declares them.

The handlers take the raw request and answer with raw bytes: strictness needs the bytes, and the
framework's own parsing and serialising would cost more than the scoring. `service.direct` calls
them before the framework.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from service import batch, contract, single
from service.direct import Endpoint
from service.responses import BatchAnswer, Score
from service.state import State, state_of

router = APIRouter(tags=["scoring"])

_SINGLE = ("/score", "/v1/score")
_BATCH = "/v1/score/batch"


def direct(state: State) -> dict[str, Endpoint]:
    """The endpoints that are answered before the framework, by path."""
    one = partial(single.score, state)
    return {**dict.fromkeys(_SINGLE, one), _BATCH: partial(batch.score, state)}


def _declared(path: str, operation_id: str) -> Callable[[Any], Any]:
    return router.post(
        path,
        response_model=Score,
        responses=contract.problems_of(400, 413, 415, 422, 500, 503),
        openapi_extra=contract.score_body(),
        operation_id=operation_id,
        summary="Score one customer",
    )


@_declared(_SINGLE[0], "score")
@_declared(_SINGLE[1], "score_v1")
async def score(request: Request) -> Response:
    """Churn probability, reasons and an action for one customer.

    Send the customer's `events` in the observation window, or ready `features`; with neither, the
    events that `POST /v1/events` brought are scored.
    """
    return (await single.score(state_of(request), request.scope, request.receive)).response()


@router.post(
    _BATCH,
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
    return (await batch.score(state_of(request), request.scope, request.receive)).response()
