"""What is known of one customer: the recorded scores, and how they changed."""

import re
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from service import contract, instants, parameters
from service.problems import UNKNOWN_CUSTOMER, FieldError, Problem
from service.recorded_responses import CustomerScores
from service.schemas import LONGEST_IDENTIFIER, NO_CONTROL_CHARACTERS, Label
from service.state import state_of
from service.store.recorded import Place

router = APIRouter(tags=["customers"])

NOTABLE = 0.1
"""Log-odds by which a contribution has to move to be told of: the odds by a tenth."""

_IDENTIFIER = re.compile(NO_CONTROL_CHARACTERS)
_PLACE = re.compile(r"([0-9-]{10})_([^\x00-\x1f\x7f-\x9f]+)")

# Declared, not checked by the framework: what is no id is a customer of whom nothing is known.
CustomerId = Annotated[
    str,
    Path(
        description="The customer; a slash in it may be sent as it is.",
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_IDENTIFIER},
    ),
]


class Page(parameters.Paged):
    """Which scores to tell."""

    model_version: Annotated[Label | None, Field(description="Only the scores of this model.")] = (
        None
    )


@router.get(
    "/v1/customers/{customer_id:path}/scores",
    response_model=CustomerScores,
    responses=contract.problems_of(404, 422, 500, 503),
    openapi_extra={"parameters": parameters.declared(Page)},
    operation_id="customer_scores",
    summary="A customer's recorded scores",
)
async def customer_scores(request: Request, customer_id: CustomerId) -> Response:
    """The scores that were asked to be recorded, newest first, each beside the one before."""
    asked = parameters.read(Page, request.query_params)
    place = None if asked.cursor is None else _place(asked.cursor)
    state = state_of(request)
    rows = None
    if is_possible(customer_id):
        find = partial(
            state.scores.of_customer,
            customer_id,
            limit=asked.limit + 1,
            before=place,
            model_version=asked.model_version,
        )
        rows = await state.reading.call(find)
    if rows is None:
        raise Problem(
            UNKNOWN_CUSTOMER,
            "No score of this customer is recorded; POST /score with `record: true` does that.",
            (FieldError("", "unknown_customer"),),
        )
    shown = rows[: asked.limit]
    if state.audit is not None:
        state.audit.act("scores_read", request.scope, customer_id)
    content = {
        "customer_id": customer_id,
        "scores": [_told(row) for row in shown],
        "next": _cursor(shown[-1]) if len(rows) > asked.limit else None,
    }
    return Response(orjson.dumps(content), media_type="application/json")


def is_possible(customer_id: str) -> bool:
    """Whether anything could have been recorded of a customer of this id."""
    return len(customer_id) <= LONGEST_IDENTIFIER and bool(_IDENTIFIER.match(customer_id))


def _told(row: Any) -> dict[str, Any]:
    now, earlier = row.probability, row.previous_probability
    reasons = orjson.loads(row.reasons)
    return {
        "as_of": instants.text(row.as_of),
        "scored_at": instants.text(row.scored_at),
        "model_version": row.model_version,
        "status": row.status,
        "churn_probability": now,
        "risk_band": row.band,
        "horizon_days": row.horizon_days,
        "reasons": reasons,
        "previous_as_of": None if row.previous_as_of is None else instants.text(row.previous_as_of),
        "previous_probability": earlier,
        "change": None if now is None or earlier is None else now - earlier,
        **_changes(
            reasons,
            reasons if row.previous_reasons is None else orjson.loads(row.previous_reasons),
        ),
    }


def _changes(reasons: list[dict[str, Any]], earlier: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Codes of the reasons that came, went, and moved by `NOTABLE` or more, by their families."""
    now = {(one["family"], one["direction"]): one for one in reasons}
    before = {(one["family"], one["direction"]): one for one in earlier}
    grown: list[dict[str, Any]] = []
    shrunk: list[dict[str, Any]] = []
    for known in now.keys() & before.keys():
        moved = abs(now[known]["contribution"]) - abs(before[known]["contribution"])
        if abs(moved) >= NOTABLE:
            (grown if moved > 0 else shrunk).append(now[known])
    return {
        "reasons_new": _codes([one for known, one in now.items() if known not in before]),
        "reasons_gone": _codes([one for known, one in before.items() if known not in now]),
        "reasons_grown": _codes(grown),
        "reasons_shrunk": _codes(shrunk),
    }


def _codes(reasons: list[dict[str, Any]]) -> list[str]:
    """Largest contribution first."""
    in_order = sorted(reasons, key=lambda one: (-abs(one["contribution"]), one["code"]))
    return [one["code"] for one in in_order]


def _cursor(row: Any) -> str:
    return f"{instants.day_text(row.day)}_{row.model_version}"


def _place(cursor: str) -> Place:
    found = _PLACE.fullmatch(cursor)
    if found is not None:
        with suppress(ValueError):  # such as a 31st of February
            return Place(instants.day(found[1]), found[2])
    raise parameters.bad_cursor()
