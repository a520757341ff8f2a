"""`POST /v1/events`, as the contract declares it."""

from functools import partial

from fastapi import APIRouter, Request, Response

from service import contract, events
from service.direct import Endpoint
from service.responses import EventsAnswer
from service.state import State, state_of

router = APIRouter(tags=["events"])

_EVENTS = "/v1/events"


def direct(state: State) -> dict[str, Endpoint]:
    """The endpoints that are answered before the framework, by path."""
    return {_EVENTS: partial(events.ingest, state)}


@router.post(
    _EVENTS,
    response_model=EventsAnswer,
    responses=contract.events_responses() | contract.problems_of(400, 413, 415, 422, 429, 500, 503),
    openapi_extra=contract.events_body(),
    operation_id="ingest_events",
    summary="Keep events",
)
async def ingest_events(request: Request) -> Response:
    """Keep customers' events, and say of each row what became of it, in input order.

    What is accepted is on disk when it is answered. Sending the same again changes nothing. The
    status is 200 even where rows are refused. A JSON body is answered with JSON, an NDJSON body
    with NDJSON of as many lines.
    """
    return (await events.ingest(state_of(request), request.scope, request.receive)).response()
