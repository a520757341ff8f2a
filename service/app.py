"""The one place where the service is put together."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service import (
    contract,
    customer_routes,
    decisions_routes,
    events_routes,
    info_routes,
    instants,
    jobs_routes,
    management_routes,
    models,
    plan_routes,
    realised,
    recorded_routes,
    rooms,
    scoring_routes,
    seeing,
    tracing,
    trust,
)
from service.access.gate import Gate
from service.access.holder import KeyHolder
from service.audit import audit as audit_log
from service.body import Arriving
from service.contacts import Deliveries, look_always
from service.context import RequestContext, request_id, route_template
from service.deadlines import Deadlines
from service.direct import Direct, Service
from service.drain import Drain
from service.erasure import Eraser, finish_always
from service.freshness import Freshness
from service.jobs import desk
from service.jobs.taking_out import TakingOut
from service.management import Management
from service.metrics import Metrics
from service.models import Loaded, ModelHolder
from service.policies import PolicyHolder
from service.problems import (
    INVALID_FIELD,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    FieldError,
    Problem,
    store_unavailable,
)
from service.realised import Realised
from service.retention import Retention, sweep_always
from service.settings import Settings
from service.state import State, count_failure, state_of
from service.store import watch
from service.store.database import Database
from service.store.decisions import Decisions
from service.store.errors import StoreTooNew, StoreUnavailable
from service.store.histories import Histories
from service.store.outcomes import Outcomes
from service.store.reading import Reading
from service.store.recorded import Scores
from service.store.recorder import Recorder
from service.together import Together
from service.window import Window


def create_app(
    settings: Settings | None = None,
    *,
    clock: Callable[[], int] = instants.now,
    load: Callable[[Path], Loaded] | None = None,
) -> FastAPI:
    """Build the service.

    Parameters
    ----------
    settings : Settings, optional
        By default those of the environment.
    clock : callable, optional
        The present, microseconds since 1970-01-01 UTC.
    load : callable, optional
        Makes a `Loaded` of a bundle's folder; by default one that the trusted keys signed.

    Raises
    ------
    ConfigError
        The keys that are trusted or the file of keys cannot be read, or are wrong; the audit log
        cannot be written.
    BadStoreUrl
        The store's URL can never work.
    PolicyError
        The policy file cannot be read, or cannot work.
    """
    settings = settings or Settings()
    metrics = Metrics()
    keys = None if settings.keys_file is None else KeyHolder(settings.keys_file, metrics)
    gate = None if keys is None else Gate(keys, metrics, clock)
    policies = PolicyHolder(settings.policy_file, metrics)
    trust.trusted(settings)

    def load_trusted(path: Path) -> Loaded:
        return models.load(path, trust.trusted(settings))

    def window(loaded: Loaded) -> Window:
        schema, entry = loaded.scorer.schema, loaded.manifest.drift
        return Window(schema, entry, settings.drift_window_days, clock)

    holder = ModelHolder(settings.models_dir, metrics, load or load_trusted, policies, window)
    metrics.window.ask = partial(seeing.of_window, holder)
    audit = audit_log.opened(settings, metrics, clock)
    worker = ThreadPoolExecutor(1, thread_name_prefix="keepwell-worker")
    writer = ThreadPoolExecutor(1, thread_name_prefix="keepwell-writer")
    clearing = ThreadPoolExecutor(1, thread_name_prefix="keepwell-clearing")
    store = Database(settings.store_url, erasure_key=settings.tombstone_key)
    histories = Histories(store, settings.max_stored_events)
    scores = Scores(store)
    reading = Reading(store)
    freshness = Freshness(settings, store, reading, metrics)
    jobs = desk.opened(
        settings,
        store,
        histories=histories,
        model=holder.of_version,
        metrics=metrics,
        marks=freshness.read,
        clock=clock,
    )
    take_out = TakingOut(store, jobs.folders, jobs.limits)
    eraser = Eraser(store, clock, take_out, hour=settings.vacuum_hour)
    retention = Retention(store, settings, clock, holder.window_days)
    deliveries = Deliveries(store)
    deadlines = Deadlines(settings.request_seconds)
    outcomes = Realised(store, holder)
    metrics.outcomes.ask = outcomes.told
    together = Together(settings.max_events)
    state = State(
        settings=settings,
        metrics=metrics,
        models=holder,
        clock=clock,
        worker=worker,
        store=store,
        histories=histories,
        reading=reading,
        scores=scores,
        recorder=Recorder(scores, writer, together.is_busy),
        decisions=Decisions(store),
        outcomes=Outcomes(store),
        deliveries=deliveries,
        freshness=freshness,
        management=Management(store, clock, metrics),
        writer=writer,
        eraser=eraser,
        clearing=clearing,
        rooms=rooms.opened(settings, metrics),
        bodies=Arriving(settings.max_bodies_bytes, metrics),
        together=together,
        deadlines=deadlines,
        jobs=jobs,
        drain=Drain(),
        keys=keys,
        audit=audit,
    )
    state.drain.tell(jobs.worker.stop)

    if audit is not None:
        holder.on_change = audit.changed
        if keys is not None:
            keys.on_change = audit.changed

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if audit is not None:
            audit.act(
                "start",
                version=contract.VERSION,
                model=None if holder.current is None else holder.current.version,
                policy=policies.current.version,
                keys=None if keys is None else keys.current.told(),
            )
        watching = [
            asyncio.create_task(holder.poll(settings.models_poll_seconds)),
            asyncio.create_task(watch.watch(store)),
            asyncio.create_task(finish_always(eraser)),
            asyncio.create_task(sweep_always(retention)),
            asyncio.create_task(look_always(deliveries)),
            asyncio.create_task(deadlines.watch()),
            asyncio.create_task(realised.look_always(outcomes)),
        ]
        if keys is not None:
            watching.append(asyncio.create_task(keys.poll(settings.models_poll_seconds)))
        if audit is not None:
            watching.append(asyncio.create_task(audit.go_on()))
        jobs.start()
        try:
            yield
        finally:
            await asyncio.to_thread(jobs.stop)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            worker.shutdown(wait=False)
            reading.close()
            await asyncio.to_thread(writer.shutdown)  # what was taken is finished
            await asyncio.to_thread(clearing.shutdown)
            await asyncio.to_thread(store.close)
            if audit is not None:
                audit.act("stop")
                await asyncio.to_thread(audit.close)
            if tracer is not None:
                await asyncio.to_thread(tracer.stop)

    app = Service(
        title=contract.TITLE,
        version=contract.VERSION,
        description=contract.DESCRIPTION,
        openapi_url=None,  # served by `info_routes`, so that it is measured like the others
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        dependencies=[] if gate is None else [Depends(gate.routed)],
        # Asked for anew at each request, whether it is configured or not; metrics are our own.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            Problem: _answer_problem,
            StoreUnavailable: _answer_store_unavailable,
            StoreTooNew: _answer_store_unavailable,
            HTTPException: _answer_http_exception,
            RequestValidationError: _answer_bad_parameter,
        },
    )
    app.state.keepwell = state
    app.state.tracing = tracer = tracing.configured(os.environ)
    context = partial(
        RequestContext,
        metrics=metrics,
        models=holder,
        deadlines=deadlines,
        access_log=settings.access_log,
        tracing=tracer,
    )
    app.add_middleware(context)
    app.direct = {
        path: context(
            Direct(path, endpoint, metrics, None if gate is None else gate.to("POST", path))
        )
        for path, endpoint in (scoring_routes.direct(state) | events_routes.direct(state)).items()
    }
    app.include_router(scoring_routes.router)
    app.include_router(plan_routes.router)
    app.include_router(events_routes.router)
    app.include_router(jobs_routes.router)
    app.include_router(customer_routes.router)
    app.include_router(recorded_routes.router)
    app.include_router(decisions_routes.router)
    app.include_router(management_routes.router)
    app.include_router(info_routes.router)
    contract.install(app)
    return app


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    count_failure(state_of(request).metrics, error)
    return error.response(instance=route_template(request.scope), request_id=request_id(request))


async def _answer_store_unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreUnavailable | StoreTooNew)
    return await _answer_problem(request, store_unavailable(error))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == METHOD_NOT_ALLOWED.status:
        allowed = (error.headers or {}).get("Allow", "")
        problem = Problem(
            METHOD_NOT_ALLOWED,
            f"This path knows {allowed or 'other methods'}.",
            headers={"Allow": allowed} if allowed else {},
        )
    elif error.status_code == NOT_FOUND.status:
        problem = Problem(NOT_FOUND, "There is nothing at this path; GET /openapi.json lists all.")
    else:
        raise error
    return await _answer_problem(request, problem)


async def _answer_bad_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    names = [str(detail["loc"][-1]) for detail in error.errors()]
    allowed = error.errors()[0].get("ctx", {}).get("expected", "another value")
    problem = Problem(
        INVALID_FIELD,
        f"The query parameter `{names[0]}` must be {allowed}.",
        [FieldError(f"/{name}", "unknown_value") for name in names],
    )
    return await _answer_problem(request, problem)
