"""Recorded decisions: what came of one, and those about a customer."""

import asyncio
import re
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response

from churn.policy.action import BY_SCORE
from service import body, contract, instants, parameters
from service.problems import UNKNOWN_CUSTOMER, UNKNOWN_DECISION, FieldError, Problem, invalid_field
from service.recorded_responses import CustomerDecisions, OutcomeAnswer
from service.recorded_routes import CustomerId, is_possible
from service.state import state_of
from service.store.decisions import CameOf, Decided
from service.store.outcomes import Contradiction, Fault, Outcome, UnknownDecision
from service.validation import outcome_body

router = APIRouter(tags=["decisions"])

_DECISION_ID = re.compile(r"[0-9a-f]{32}")
_WHY = {
    Fault.WITHHELD: "The action was withheld, as the customer is held out: nothing reaches them, "
    "and only `retained` or `lost` can come of it.",
    Fault.NOTHING_TO_DELIVER: "The decision was to do nothing: only `retained` or `lost` can "
    "come of it.",
    Fault.BEFORE_DECISION: "/occurred_at lies before the decision.",
    Fault.CONTRADICTS: "The opposite of /outcome is known of this decision.",
}
_POINTERS = {Fault.BEFORE_DECISION: "/occurred_at"}

# Declared, not checked by the framework: what is no id is a decision that there is not.
DecisionId = Annotated[
    str,
    Path(
        description="As the score had it.",
        json_schema_extra={"pattern": f"^{_DECISION_ID.pattern}$"},
    ),
]


@router.post(
    "/v1/decisions/{decision_id}/outcome",
    response_model=OutcomeAnswer,
    responses=contract.problems_of(400, 404, 413, 415, 422, 500, 503),
    openapi_extra=contract.outcome_body(),
    operation_id="decision_outcome",
    summary="Tell what came of a decision",
)
async def decision_outcome(request: Request, decision_id: DecisionId) -> Response:
    """Keep an outcome, once: telling it again changes nothing. The cooldown begins at `delivered`.

    What is answered is on disk.
    """
    state = state_of(request)
    told = body.told(request.scope)
    body.media_type(told, (body.JSON,))
    raw = await body.read(told, request.receive, state.settings.max_body_bytes, state.bodies)
    sent = outcome_body(raw)
    now = state.clock()
    allowance = state.settings.clock_allowance_seconds * 1_000_000
    at = now if sent.occurred_at is None else sent.occurred_at
    if at > now + allowance:
        raise invalid_field(
            "/occurred_at lies in the future; tell what has happened, and look at the clock that "
            "told the time.",
            "/occurred_at",
            "in_the_future",
        )
    if not _DECISION_ID.fullmatch(decision_id):
        raise _unknown()
    add = partial(
        state.outcomes.add, decision_id, Outcome(sent.outcome), at, now=now, allowance=allowance
    )
    try:
        kept = await asyncio.get_running_loop().run_in_executor(state.writer, add)
    except UnknownDecision:
        raise _unknown() from None
    except Contradiction as error:
        raise invalid_field(
            _WHY[error.fault], _POINTERS.get(error.fault, "/outcome"), error.fault.value
        ) from None
    if kept.came_of.outcome == Outcome.DELIVERED:
        state.deliveries.note()
    content = {
        "decision_id": decision_id,
        **_came_of(kept.came_of),
        "status": "duplicate" if kept.is_repeat else "accepted",
    }
    return Response(orjson.dumps(content), media_type=body.JSON)


@router.get(
    "/v1/customers/{customer_id:path}/decisions",
    response_model=CustomerDecisions,
    responses=contract.problems_of(404, 422, 500, 503),
    openapi_extra={"parameters": parameters.declared(parameters.Paged)},
    operation_id="customer_decisions",
    summary="A customer's recorded decisions",
)
async def customer_decisions(request: Request, customer_id: CustomerId) -> Response:
    """What was decided to do about a customer, newest first, and what came of it."""
    asked = parameters.read(parameters.Paged, request.query_params)
    before = None if asked.cursor is None else _day(asked.cursor)
    state = state_of(request)
    rows: list[tuple[Decided, list[CameOf]]] = []
    if is_possible(customer_id):
        find = partial(
            state.decisions.of_customer, customer_id, limit=asked.limit + 1, before=before
        )
        rows = await state.reading.call(find)
    if not rows and before is None:
        raise Problem(
            UNKNOWN_CUSTOMER,
            "No decision about this customer is recorded; POST /score with `record: true` does "
            "that.",
            (FieldError("", "unknown_customer"),),
        )
    if state.audit is not None:
        state.audit.act("decisions_read", request.scope, customer_id)
    shown = rows[: asked.limit]
    more = len(rows) > asked.limit
    content = {
        "customer_id": customer_id,
        "decisions": [_told(decided, came) for decided, came in shown],
        "next": instants.day_text(shown[-1][0].day) if more else None,
    }
    return Response(orjson.dumps(content), media_type=body.JSON)


def _told(decided: Decided, came: list[CameOf]) -> dict[str, Any]:
    facts = orjson.loads(decided.facts)
    act_by = facts["act_by"]
    return {
        "decision_id": decided.decision_id,
        "decided_at": instants.text(decided.decided_at),
        "as_of": instants.text(decided.as_of),
        "model_version": decided.model_version,
        "policy_version": decided.policy_version,
        "by": facts.get("by", BY_SCORE),
        "action": decided.action,
        "channel": facts["channel"],
        "act_by": None if act_by is None else instants.day_text(act_by),
        "why": facts["why"],
        "expected_value": decided.expected_value,
        "lower_bound": decided.lower_bound,
        "cost": decided.cost,
        "alternatives": facts["alternatives"],
        "withheld": decided.withheld,
        "explored": decided.explored,
        "propensity": decided.propensity,
        "situation": decided.situation,
        "reason": decided.reason,
        "churn_probability": decided.probability,
        "risk_band": decided.band,
        "value_segment": decided.segment,
        "customer_value": decided.value,
        "horizon_days": decided.horizon_days,
        "outcomes": [_came_of(one) for one in came],
    }


def _came_of(one: CameOf) -> dict[str, str]:
    return {
        "outcome": one.outcome,
        "occurred_at": instants.text(one.at),
        "received_at": instants.text(one.received_at),
    }


def _day(cursor: str) -> int:
    try:
        return instants.day(cursor)
    except ValueError:
        raise parameters.bad_cursor() from None


def _unknown() -> Problem:
    return Problem(
        UNKNOWN_DECISION,
        "There is no such decision: it was never recorded, its customer was erased, or it was "
        "removed for its age.",
        (FieldError("", "unknown_decision"),),
    )
