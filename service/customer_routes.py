"""`/v1/customers/{customer_id}`: what is kept of one person, and forgetting them."""

import asyncio
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from service import contract
from service.erasure import Erased
from service.faults import fault_of
from service.problems import INVALID_FIELD, NOT_FOUND, FieldError, Problem
from service.responses import Erasure
from service.schemas import IDENTIFIER
from service.state import state_of

router = APIRouter(tags=["customers"])

CUSTOMERS = "/v1/customers/"


@router.delete(
    "/v1/customers/{customer_id:path}",
    response_model=Erasure,
    responses=contract.erasure_responses() | contract.problems_of(404, 422, 500, 503),
    operation_id="erase_customer",
    summary="Forget a customer",
)
async def erase_customer(request: Request) -> Response:
    """Remove everything about a customer: events, recorded scores, rows of jobs and their results.

    Erasing somebody who is unknown, or has been erased, is the same and finds nothing. Events from
    before the erasure are not taken again; later ones are.
    """
    state = state_of(request)
    customer_id = identifier(request, "")

    def erase() -> Erased:
        erased = state.eraser.erase(customer_id)
        # Here, since the thread goes on where nobody waits for its answer any more.
        if state.audit is not None:
            state.audit.act("erasure", request.scope, customer_id, **erased.document())
        return erased

    erased = await asyncio.get_running_loop().run_in_executor(state.clearing, erase)
    return Response(
        orjson.dumps(erased.document()),
        status_code=202 if erased.pending else 200,
        media_type="application/json",
    )


def identifier(request: Request, rest: str) -> str:
    """Return the customer that the path names, between `/v1/customers/` and `rest`.

    An identifier may hold a slash, which is sent as `%2F`.

    Raises
    ------
    Problem
        The path is another one, or names no possible customer.
    """
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    sent = raw.decode("ascii", "replace").removeprefix(CUSTOMERS).removesuffix(rest)
    if "/" in sent:
        raise Problem(
            NOT_FOUND,
            "There is nothing at this path; a slash within a customer's id is sent as %2F.",
        )
    try:
        return IDENTIFIER.validate_python(unquote(sent, errors="strict"))
    except UnicodeDecodeError:
        code, sentence = "bad_unicode", "must be UTF-8, percent-encoded"
    except ValidationError as error:
        code, sentence = fault_of(error.errors()[0])
    raise Problem(
        INVALID_FIELD, f"The customer's id in the path {sentence}.", [FieldError("", code)]
    )
