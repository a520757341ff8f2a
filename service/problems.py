"""Errors as RFC 9457 problem documents.

Every kind of problem is one entry of `KINDS`: its `type` is stable and described in
`docs/api.md`. A problem never holds a part of the input: pointers and messages name only fields
that the contract itself names.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

from service import logs
from service.store.errors import StoreReadOnly, StoreTooNew, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
TYPE_ROOT = "/problems/"
MAX_ERRORS = 20

_log = logs.Sparing(logging.getLogger(f"{logs.ROOT}.store"))


class Kind(NamedTuple):
    """A kind of problem: what its `type` ends in, the HTTP status and the title."""

    slug: str
    status: int
    title: str

    @property
    def type(self) -> str:
        """The stable URI reference that names the kind."""
        return TYPE_ROOT + self.slug


MALFORMED_REQUEST = Kind("malformed-request", 400, "The request is not acceptable HTTP")
MALFORMED_JSON = Kind("malformed-json", 400, "The body is not acceptable JSON")
MALFORMED_ARROW = Kind("malformed-arrow", 400, "The body is not an acceptable Arrow stream")
UNAUTHORIZED = Kind("unauthorized", 401, "There is no key that counts")
FORBIDDEN = Kind("forbidden", 403, "The key does not allow this")
NOT_FOUND = Kind("not-found", 404, "There is nothing at this path")
UNKNOWN_CUSTOMER = Kind("unknown-customer", 404, "Nothing is recorded of this customer")
UNKNOWN_DECISION = Kind("unknown-decision", 404, "There is no such decision")
UNKNOWN_JOB = Kind("unknown-job", 404, "There is no such job")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The path does not know this method")
JOB_HAS_ENDED = Kind("job-has-ended", 409, "The job has ended")
KEY_IN_FLIGHT = Kind("key-in-flight", 409, "A request with this key is being received")
NO_RESULTS = Kind("no-results", 409, "The job has no results")
RESULTS_EXPIRED = Kind("results-expired", 410, "The results have been removed")
REQUEST_TIMEOUT = Kind("request-timeout", 408, "The request took too long to arrive")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The body is in another format")
RANGE_NOT_SATISFIABLE = Kind("range-not-satisfiable", 416, "The range lies beyond the end")
INVALID_FIELD = Kind("invalid-field", 422, "A field is wrong")
HISTORY_UNAVAILABLE = Kind("history-unavailable", 422, "There is nothing to score from")
OVERLOADED = Kind("overloaded", 429, "Too much is waiting already")
HEADERS_TOO_LARGE = Kind("headers-too-large", 431, "The request's headers are too large")
IDEMPOTENCY_CONFLICT = Kind("idempotency-conflict", 422, "The key was used for another request")
INTERNAL_ERROR = Kind("internal-error", 500, "The service failed")
MODEL_UNAVAILABLE = Kind("model-unavailable", 503, "No model is loaded")
DRAINING = Kind("draining", 503, "The service is about to end")
STORE_UNAVAILABLE = Kind("store-unavailable", 503, "The store cannot be used now")
DEADLINE = Kind("deadline", 504, "The answer took too long")
STORAGE_FULL = Kind("storage-full", 507, "The server has no room for the list")
STALE_HISTORY = Kind("stale-history", 503, "What is stored is too old to be scored")

KINDS: tuple[Kind, ...] = (
    MALFORMED_JSON,
    MALFORMED_ARROW,
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    UNKNOWN_CUSTOMER,
    UNKNOWN_DECISION,
    UNKNOWN_JOB,
    METHOD_NOT_ALLOWED,
    JOB_HAS_ENDED,
    KEY_IN_FLIGHT,
    NO_RESULTS,
    RESULTS_EXPIRED,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    RANGE_NOT_SATISFIABLE,
    INVALID_FIELD,
    HISTORY_UNAVAILABLE,
    OVERLOADED,
    IDEMPOTENCY_CONFLICT,
    INTERNAL_ERROR,
    MODEL_UNAVAILABLE,
    DRAINING,
    STORE_UNAVAILABLE,
    STALE_HISTORY,
    DEADLINE,
    STORAGE_FULL,
)

CONNECTION_KINDS: tuple[Kind, ...] = (MALFORMED_REQUEST, REQUEST_TIMEOUT, HEADERS_TOO_LARGE)
"""What is answered before a request has reached its endpoint; the connection is closed then."""

RETRY_SECONDS = "1"
"""When to come again where too much was waiting."""


class FieldError(NamedTuple):
    """Where a request is wrong (a JSON pointer) and how (a stable code)."""

    pointer: str
    code: str


class Problem(Exception):
    """A request that is answered with a problem document.

    Parameters
    ----------
    kind : Kind
        What kind of problem it is.
    detail : str
        What is wrong, where, and what to do.
    errors : sequence of FieldError, optional
        The fields at fault; at most `MAX_ERRORS` are shown.
    headers : mapping of str to str, optional
        Further response headers, such as `Allow`.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self, *, instance: str, request_id: str) -> dict[str, Any]:
        """Render the problem as RFC 9457 has it.

        Parameters
        ----------
        instance : str
            The path that was called, as the route's template.
        request_id : str
            Under which the log has the request.
        """
        document = self.told()
        errors = document.pop("errors")
        return {**document, "instance": instance, "request_id": request_id, "errors": errors}

    def told(self) -> dict[str, Any]:
        """The members of the document that do not depend on the request."""
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "errors": [error._asdict() for error in self.errors[:MAX_ERRORS]],
        }

    def response(self, *, instance: str, request_id: str) -> Response:
        """Render the problem as an HTTP response."""
        return Response(
            orjson.dumps(self.document(instance=instance, request_id=request_id)),
            status_code=self.kind.status,
            media_type=MEDIA_TYPE,
            headers=self.headers,
        )


def invalid_field(detail: str, pointer: str, code: str) -> Problem:
    """Make a problem with one field."""
    return Problem(INVALID_FIELD, detail, (FieldError(pointer, code),))


def overloaded(detail: str) -> Problem:
    """Make the answer to a request that comes while too much is waiting."""
    return Problem(OVERLOADED, detail, headers={"Retry-After": RETRY_SECONDS})


def given_up(is_late: bool) -> Problem:
    """Make the answer to a request whose work was ended: it took too long, or the service ends."""
    if is_late:
        return Problem(
            DEADLINE,
            "The answer took longer than KEEPWELL_REQUEST_SECONDS. Whether something was stored is "
            "not known: sending the same again is harmless.",
        )
    return Problem(
        DRAINING,
        "The service ends before the answer is there; send the same to another replica.",
        headers={"Retry-After": RETRY_SECONDS},
    )


def internal_error(request_id: str) -> Problem:
    """Make the answer to a fault of the service itself: nothing but where to look."""
    return Problem(
        INTERNAL_ERROR,
        f"The service failed while answering; its log has the details under request {request_id}.",
    )


def store_unavailable(error: StoreUnavailable | StoreTooNew) -> Problem:
    """Make the answer to a request that needs the store while it cannot be used.

    Where the store is and what ails it is for the log, not for who asks.
    """
    _log.warning(str(error))
    if isinstance(error, StoreReadOnly):
        detail = "The store takes no writes now; what it holds can still be read."
    else:
        detail = "The store does not answer now; scoring a history in the body works without it."
    return Problem(STORE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
