"""`GET /v1/retention`: what a manager asks of a period."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import Field

from churn.events import MICROSECONDS_PER_DAY
from churn.retention import Period
from service import contract, instants, parameters
from service.management_responses import Retention
from service.problems import invalid_field
from service.state import state_of

router = APIRouter(tags=["management"])

PERIOD_DAYS = 90
LONGEST_DAYS = 3650

Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class Asked(parameters.Parameters):
    """The period, half-open; days begin at midnight UTC."""

    start: Annotated[
        Day | None, Field(description=f"Its first day; {PERIOD_DAYS} days before `end` by default.")
    ] = None
    end: Annotated[Day | None, Field(description="The day after its last; today by default.")] = (
        None
    )


@router.get(
    "/v1/retention",
    response_model=Retention,
    responses=contract.problems_of(422, 500, 503),
    openapi_extra={"parameters": parameters.declared(Asked)},
    operation_id="retention",
    summary="Retention figures of a period",
)
async def retention(request: Request) -> Response:
    """Customers kept, won and lost, what they bring, cohorts, each figure with its definition.

    Of the stored log; the same question within a quarter of an hour gets the same answer.
    """
    state = state_of(request)
    asked = parameters.read(Asked, request.query_params)
    loaded = state.loaded()
    today = state.clock() // MICROSECONDS_PER_DAY
    end = today if asked.end is None else _day(asked.end, "end")
    start = end - PERIOD_DAYS if asked.start is None else _day(asked.start, "start")
    if end > today:
        raise invalid_field("The query parameter `end` lies in the future.", "/end", "too_large")
    if not 0 < end - start <= LONGEST_DAYS:
        raise invalid_field(
            "The query parameter `start` must be a day before `end`, and at most "
            f"{LONGEST_DAYS} days before it.",
            "/start",
            "out_of_range",
        )
    period = Period(
        start * MICROSECONDS_PER_DAY,
        end * MICROSECONDS_PER_DAY,
        loaded.manifest.inactivity_days,
    )
    told = await state.management.figures(period, loaded)
    return Response(orjson.dumps(told), media_type="application/json")


def _day(text: str, name: str) -> int:
    try:
        return instants.day(text)
    except ValueError:
        raise invalid_field(
            f"The query parameter `{name}` must be a date such as 2026-01-31.",
            f"/{name}",
            "bad_date",
        ) from None
