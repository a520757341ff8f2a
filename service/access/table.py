"""What each endpoint asks of a key: the one place that says so.

`docs/keys.md` shows the same table, the contract declares it, and the tests hold both against it.
An endpoint that is not in it is not served where keys are asked for.
"""

from collections.abc import Mapping

from service.access.keys import KeyScope

_SCORE = frozenset({KeyScope.SCORE})
_BATCH = frozenset({KeyScope.BATCH})
_EVENTS = frozenset({KeyScope.EVENTS})
_METRICS = frozenset({KeyScope.METRICS})
_ADMIN = frozenset({KeyScope.ADMIN})
_ANY = frozenset(KeyScope)
_OPEN: frozenset[KeyScope] = frozenset()

ACCESS: Mapping[str, frozenset[KeyScope]] = {
    "POST /score": _SCORE,
    "POST /v1/score": _SCORE,
    "POST /v1/score/batch": _BATCH,
    "POST /v1/plan": _BATCH,
    "POST /v1/jobs": _BATCH,
    "GET /v1/jobs": _BATCH | _ADMIN,
    "GET /v1/jobs/{job_id}": _BATCH | _ADMIN,
    "GET /v1/jobs/{job_id}/results": _BATCH | _ADMIN,
    "HEAD /v1/jobs/{job_id}/results": _BATCH | _ADMIN,
    "POST /v1/jobs/{job_id}/cancel": _BATCH | _ADMIN,
    "DELETE /v1/jobs/{job_id}": _BATCH | _ADMIN,
    "POST /v1/events": _EVENTS,
    "GET /v1/customers/{customer_id}/scores": _SCORE,
    "GET /v1/customers/{customer_id}/decisions": _SCORE,
    "POST /v1/decisions/{decision_id}/outcome": _SCORE,
    "DELETE /v1/customers/{customer_id}": _ADMIN,
    "GET /v1/retention": _BATCH,
    "GET /v1/model": _SCORE | _BATCH,
    "GET /v1/reasons": _SCORE | _BATCH,
    "GET /v1/actions": _SCORE | _BATCH,
    "GET /openapi.json": _ANY,
    "GET /metrics": _METRICS,
    "GET /health/live": _OPEN,
    "GET /health/ready": _OPEN,
}
"""One of these scopes lets a key in; where there are none nobody is asked for a key."""


def needed(method: str, path: str) -> frozenset[KeyScope]:
    """Return the scopes of which an endpoint asks one; none where it asks for no key.

    Raises
    ------
    KeyError
        Nobody has decided on the endpoint.
    """
    return ACCESS[f"{method} {path}"]
