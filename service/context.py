"""What is known of the request at hand, and the middleware that keeps it.

Outermost of the app: gives every request an id, measures it, logs it, and turns whatever went
wrong inside into a problem document.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterable
from random import getrandbits
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import logs
from service.deadlines import Deadlines
from service.metrics import METHODS, UNMATCHED, Metrics
from service.models import ModelHolder
from service.problems import given_up, internal_error
from service.tracing import Tracing

REQUEST_ID_HEADER = "X-Request-Id"
MODEL_VERSION_HEADER = "X-Model-Version"
MODEL_VERSION = MODEL_VERSION_HEADER.lower().encode()
ROUTE = "keepwell.route"
"""Where a scope has the path as declared, if it was not the framework that found it."""

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CLIENT_CLOSED = 499

_log = logging.getLogger(f"{logs.ROOT}.requests")


def request_id(request: Request) -> str:
    """Return the id under which the log has this request."""
    return id_of(request.scope)


def id_of(scope: Scope) -> str:
    """Return the id under which the log has this request."""
    value: str = scope["state"]["request_id"]
    return value


def route_template(scope: Scope) -> str:
    """Return the path as declared, such as `/v1/model`; never the path as sent."""
    direct: str | None = scope.get(ROUTE)
    if direct is not None:
        return direct
    # Without the parameters' kinds, as in `/v1/customers/{customer_id:path}/scores`.
    path: str = getattr(scope.get("route"), "path_format", UNMATCHED)
    return path


class RequestContext:
    """ASGI middleware: request id, metrics, one log line, and the last line of defence.

    Parameters
    ----------
    app : ASGI application
        What it wraps.
    metrics : Metrics
        Where requests are counted.
    models : ModelHolder
        Whose version goes into the headers.
    deadlines : Deadlines
        How long each request may take.
    access_log : bool
        Whether each request is logged.
    tracing : Tracing, optional
        Where requests are traced.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        models: ModelHolder,
        deadlines: Deadlines,
        access_log: bool,
        tracing: Tracing | None = None,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.models = models
        self.deadlines = deadlines
        self.access_log = access_log
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identity = identity_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = identity
        status = 0
        version: str | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, version
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"], version = self._headers(message.get("headers", ()), identity)
            await send(message)

        span = None if self.tracing is None else self.tracing.begin(scope)
        started = time.perf_counter()
        task = asyncio.current_task()
        self.deadlines.open[task] = started
        self.metrics.http_requests_in_progress.inc()
        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CLIENT_CLOSED
        except asyncio.CancelledError:
            is_late = self.deadlines.has_passed(task)
            if status or task is None:
                raise
            task.uncancel()
            problem = given_up(is_late)
            response = problem.response(instance=route_template(scope), request_id=identity)
            await response(scope, receive, send_with_headers)
        except Exception:
            _log.exception("request failed", extra={"fields": {"request_id": identity}})
            if status:
                raise
            problem = internal_error(identity)
            response = problem.response(instance=route_template(scope), request_id=identity)
            await response(scope, receive, send_with_headers)
        finally:
            self.deadlines.open.pop(task, None)
            self.metrics.http_requests_in_progress.dec()
            self._record(scope, status, time.perf_counter() - started, version, span)

    def _headers(
        self, given: Iterable[tuple[bytes, bytes]], identity: str
    ) -> tuple[list[tuple[bytes, bytes]], str | None]:
        """What the answer says of itself and what every answer says; the model version in it."""
        headers = [
            *given,
            (b"x-request-id", identity.encode()),
            (b"cache-control", b"no-store"),
        ]
        for name, value in given:
            if name == MODEL_VERSION:
                return headers, value.decode()
        serving = self.models.current
        if serving is None:
            return headers, None
        headers.append((MODEL_VERSION, serving.version.encode()))
        return headers, serving.version

    def _record(
        self, scope: Scope, status: int, seconds: float, version: str | None, span: Any
    ) -> None:
        route = route_template(scope)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.http_requests[route, method, str(status)].inc()
        self.metrics.http_request_duration_seconds[route, method].observe(seconds)
        if self.access_log:
            fields = {
                "method": method,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 2),
                "request_id": scope["state"]["request_id"],
                "model_version": version,
            }
            if self.tracing is not None and span is not None:
                fields["trace_id"] = self.tracing.trace_id(span)
            logs.request(_log, fields)
        if self.tracing is not None and span is not None:
            self.tracing.end(span, route, status, version)


def identity_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the request's own id if it is well formed, or a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            sent: str = value.decode("latin-1")
            if _WELL_FORMED_ID.fullmatch(sent):
                return sent
            break
    return f"{getrandbits(128):032x}"  # unique, not secret: no call of the system for it
