"""`POST /v1/plan`, as the contract declares it."""

from fastapi import APIRouter, Request, Response

from service import contract, planning
from service.plan.responses import PlanAnswer
from service.state import state_of

router = APIRouter(tags=["scoring"])


@router.post(
    "/v1/plan",
    response_model=PlanAnswer,
    responses=contract.problems_of(400, 404, 413, 415, 422, 500, 503),
    openapi_extra=contract.plan_body(),
    operation_id="plan",
    summary="Who gets what under a budget",
)
async def plan(request: Request) -> Response:
    """Give each customer one action at most, so that all together are worth the most.

    What is owed comes first; who is held out takes neither places nor money.
    """
    return (await planning.plan(state_of(request), request.scope, request.receive)).response()
