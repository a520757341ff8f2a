"""What is loaded, what may be answered, and whether the service is well."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response

from churn import reasons
from churn.policy.catalogue import catalogue
from churn.schema import LOOP
from churn.words import Language
from service import contract
from service.info_responses import ActionCatalogue, Live, Model, Ready, ReasonCatalogue
from service.problems import DRAINING, Problem
from service.state import state_of
from service.store.errors import StoreTooNew, StoreUnavailable

router = APIRouter()

_STORE_SECONDS = 0.5

LanguageQuery = Annotated[Language, Query(description="Of the words.")]


def _json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


@router.get(
    "/v1/model",
    response_model=Model,
    responses=contract.problems_of(500, 503),
    operation_id="model",
    summary="The loaded model",
    tags=["model"],
)
async def model(request: Request) -> Response:
    """Version, horizon, thresholds, metrics, and the features with units and ranges."""
    loaded = state_of(request).loaded()
    manifest = loaded.manifest.model_dump(mode="json")
    names = Model.model_fields.keys() & manifest.keys()
    return _json({"sha256": loaded.sha256, **{name: manifest[name] for name in sorted(names)}})


@router.get(
    "/v1/reasons",
    response_model=ReasonCatalogue,
    responses=contract.problems_of(422, 500),
    operation_id="reasons",
    summary="Every reason that may be given",
    tags=["model"],
)
async def reason_catalogue(request: Request, language: LanguageQuery = "en") -> Response:
    """Codes, families and words: the built-in ones, and those of the loaded model's own columns."""
    loaded = state_of(request).models.current
    schema = LOOP if loaded is None else loaded.scorer.schema
    return _json({"language": language, "reasons": reasons.catalogue(language, schema)})


@router.get(
    "/v1/actions",
    response_model=ActionCatalogue,
    responses=contract.problems_of(422, 500),
    operation_id="actions",
    summary="Every action that may be suggested",
    tags=["model"],
)
async def action_catalogue(request: Request, language: LanguageQuery = "en") -> Response:
    """Codes, channels, words, costs and what each is believed to bring, as the policy has it."""
    policy = state_of(request).models.policies.current
    actions = catalogue(policy, language)
    content = {"language": language, "policy_version": policy.version, "actions": actions}
    return _json(content)


@router.get(
    "/health/live",
    response_model=Live,
    responses=contract.problems_of(500),
    operation_id="live",
    summary="Whether the process answers",
    tags=["operations"],
)
async def live() -> Response:
    """200 as long as the event loop turns."""
    return _json({"status": "live"})


@router.get(
    "/health/ready",
    response_model=Ready,
    responses=contract.problems_of(500, 503),
    operation_id="ready",
    summary="Whether requests can be answered",
    tags=["operations"],
)
async def ready(request: Request) -> Response:
    """200 only when a verified model is loaded, and the service is not about to end."""
    state = state_of(request)
    if state.drain.has_begun:
        raise Problem(DRAINING, "The service is about to end; send requests to another replica.")
    version = state.loaded().version
    store = "ready" if state.store.available else "unavailable"
    return _json({"status": "ready", "model_version": version, "store": store})


@router.get(
    "/metrics",
    response_class=Response,
    responses=contract.metrics_responses() | contract.problems_of(500),
    operation_id="metrics",
    summary="Prometheus metrics",
    tags=["operations"],
)
async def metrics(request: Request) -> Response:
    """Metrics in Prometheus's text format."""
    state = state_of(request)
    # What the store tells is told as of the last look where it does not answer at once.
    with suppress(StoreUnavailable, StoreTooNew, TimeoutError):
        await asyncio.wait_for(state.freshness.marks(), _STORE_SECONDS)
    content, media_type = state.metrics.exposition()
    return Response(content, headers={"Content-Type": media_type})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Answer the contract itself."""
    return _json(request.app.openapi())
