"""The published contract: what OpenAPI says beside what the routes say themselves.

Request bodies are read raw, so they are declared here; every error is declared on its endpoint.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import body, problems
from service.access.keys import KeyScope
from service.access.table import needed
from service.probes import PROBES
from service.responses import Erasure, KeptEvent, Problem, RefusedEvent, RowProblem, Score
from service.schemas import (
    BatchRequest,
    CustomerEvent,
    EventsRequest,
    OutcomeRequest,
    PlanRequest,
    ScoreRequest,
)

TITLE = "Keepwell"
DESCRIPTION = "Which customers are about to leave, why, and what is worth doing about it."
PROMETHEUS_TEXT = "text/plain"
REF = "#/components/schemas/"

EXAMPLE_EVENTS: dict[str, Any] = {
    "customer_id": "c-1042",
    "as_of": "2026-11-21T00:00:00Z",
    "events": [
        {
            "occurred_at": "2026-08-19T16:40:00Z",
            "kind": "purchase",
            "amount": 61.0,
            "order_id": "o-5",
        },
        {
            "occurred_at": "2026-10-02T10:11:00Z",
            "kind": "purchase",
            "amount": 54.9,
            "order_id": "o-7",
        },
        {"occurred_at": "2026-10-05T09:00:00Z", "kind": "complaint", "case_id": "k-1"},
    ],
    "max_reasons": 3,
    "language": "en",
}
EXAMPLE_FEATURES: dict[str, Any] = {
    "customer_id": "c-1042",
    "as_of": "2026-11-21T00:00:00Z",
    "features": {"days_since_last_purchase": 41.0, "purchases_30d": 0},
}
EXAMPLE_ID: dict[str, Any] = {"customer_id": "c-1042", "as_of": "2026-11-21T00:00:00Z"}


def _package_version() -> str:
    try:
        return version("keepwell")
    except PackageNotFoundError:
        return "0.1.0"


VERSION = _package_version()


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF + model.__name__}


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare error answers on an endpoint, each with the kinds of problem it may be."""
    declared: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        kinds = [kind for kind in problems.KINDS if kind.status == status]
        declared[status] = {
            "description": "; ".join(f"{kind.title} (`{kind.type}`)" for kind in kinds),
            "content": {problems.MEDIA_TYPE: {"schema": _ref(Problem)}},
        }
    return declared


def score_body() -> dict[str, Any]:
    """Declare the body of `POST /score`."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.JSON: {
                    "schema": _ref(ScoreRequest),
                    "examples": {
                        "events": {"summary": "A history", "value": EXAMPLE_EVENTS},
                        "features": {"summary": "Ready features", "value": EXAMPLE_FEATURES},
                        "stored": {"summary": "What is stored", "value": EXAMPLE_ID},
                    },
                }
            },
        }
    }


def batch_body() -> dict[str, Any]:
    """Declare the body of `POST /v1/score/batch`."""
    customers = {"type": "array", "items": _ref(ScoreRequest)}
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.JSON: {
                    "schema": {"anyOf": [_ref(BatchRequest), customers]},
                    "examples": {
                        "customers": {"value": {"customers": [EXAMPLE_EVENTS, EXAMPLE_FEATURES]}}
                    },
                },
                body.NDJSON: {
                    "schema": {
                        "type": "string",
                        "description": "One customer per line, each as in `POST /score`.",
                    }
                },
                body.ARROW: {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": "An Arrow IPC stream, not compressed, of the columns "
                        "`customer_id`, `as_of` (optional) and features named as in "
                        "`GET /v1/model`.",
                    }
                },
            },
        }
    }


def batch_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the NDJSON answer of `POST /v1/score/batch`; the JSON one is the route's model."""
    return {
        200: {
            "description": "A result or a problem per customer, in input order",
            "content": {
                body.NDJSON: {
                    "schema": {
                        "type": "string",
                        "description": "One `Score` or `RowProblem` per line of the request.",
                    }
                },
                body.ARROW: {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": "An Arrow IPC stream of one row per customer, its columns "
                        "named as the fields of `Score`.",
                    }
                },
            },
        }
    }


def plan_body() -> dict[str, Any]:
    """Declare the body of `POST /v1/plan`."""
    example = {
        "customers": ["c-7", EXAMPLE_EVENTS],
        "budget": 1000.0,
        "capacity": {"agent_call": 1},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.JSON: {
                    "schema": _ref(PlanRequest),
                    "examples": {"plan": {"value": example}},
                }
            },
        }
    }


def events_body() -> dict[str, Any]:
    """Declare the body of `POST /v1/events`."""
    events = {"type": "array", "items": _ref(CustomerEvent)}
    sent = [{"customer_id": "c-1042", **event} for event in EXAMPLE_EVENTS["events"]]
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.JSON: {
                    "schema": {"anyOf": [_ref(EventsRequest), events]},
                    "examples": {"events": {"value": {"events": sent}}},
                },
                body.NDJSON: {
                    "schema": {
                        "type": "string",
                        "description": "One event per line, each a `CustomerEvent`.",
                    }
                },
            },
        }
    }


def events_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the NDJSON answer of `POST /v1/events`; the JSON one is the route's model."""
    return {
        200: {
            "description": "What became of each event, in input order",
            "content": {
                body.NDJSON: {
                    "schema": {
                        "type": "string",
                        "description": "One `KeptEvent` or `RefusedEvent` per line of the request.",
                    }
                }
            },
        }
    }


def outcome_body() -> dict[str, Any]:
    """Declare the body of `POST /v1/decisions/{decision_id}/outcome`."""
    example = {"outcome": "delivered", "occurred_at": "2026-11-21T12:00:00Z"}
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.JSON: {
                    "schema": _ref(OutcomeRequest),
                    "examples": {"delivered": {"value": example}},
                }
            },
        }
    }


def erasure_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the answer of `DELETE /v1/customers/{customer_id}` that promises more to come."""
    return {
        202: {
            "description": "Nobody finds the customer any more; remains are still being removed",
            "content": {body.JSON: {"schema": _ref(Erasure)}},
        }
    }


def metrics_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the answer of `GET /metrics`."""
    return {
        200: {
            "description": "Prometheus's text format",
            "content": {PROMETHEUS_TEXT: {"schema": {"type": "string"}}},
        }
    }


def install(app: FastAPI) -> None:
    """Make the app serve this contract at `/openapi.json`."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    _, requests = models_json_schema(
        [
            (model, "validation")
            for model in (
                ScoreRequest,
                BatchRequest,
                CustomerEvent,
                EventsRequest,
                PlanRequest,
                OutcomeRequest,
            )
        ],
        ref_template=REF + "{model}",
    )
    _, answers = models_json_schema(
        [
            (model, "serialization")
            for model in (Problem, RowProblem, Score, KeptEvent, RefusedEvent)
        ],
        ref_template=REF + "{model}",
    )
    schemas = document["components"]["schemas"]
    for name, schema in {**requests["$defs"], **answers["$defs"]}.items():
        schemas.setdefault(name, schema)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["securitySchemes"] = {SCHEME: _KEY}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path not in PROBES:
                statuses = (429,) if operation["operationId"] in _UNTIMED else (429, 504)
                for status, answer in problems_of(*statuses).items():
                    operation["responses"][str(status)] = answer
            _declare_access(operation, needed(method.upper(), path))
            for answer in operation["responses"].values():
                answer["headers"] = {**answer.get("headers", {}), **_HEADERS}
    return document


_UNTIMED = frozenset({"submit_job", "job_results", "job_results_head"})
"""What carries whole files, however long that takes."""


def _declare_access(operation: dict[str, Any], scopes: frozenset[KeyScope]) -> None:
    """Say of an operation which keys it takes, and how it refuses the others."""
    operation["security"] = [{SCHEME: [scope]} for scope in sorted(scopes)]
    if scopes:
        refusals = {str(status): told for status, told in problems_of(401, 403).items()}
        for told in refusals.values():
            told["headers"] = _CHALLENGE
        answers = operation["responses"] | refusals
        operation["responses"] = dict(sorted(answers.items()))


SCHEME = "key"
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "kw_<id>_<secret>",
    "description": "Asked for where the service has keys. An operation takes a key with one of the "
    "scopes that it lists.",
}
_CHALLENGE = {
    "WWW-Authenticate": {
        "description": "`Bearer`, with 403 also why.",
        "schema": {"type": "string"},
    }
}


_HEADERS = {
    "X-Request-Id": {
        "description": "The request's own, if well formed, or a new one.",
        "schema": {"type": "string", "maxLength": 64},
    },
    "X-Model-Version": {
        "description": "The model that serves; absent where none is loaded, and where the request "
        "was not looked at.",
        "schema": {"type": "string"},
    },
}
