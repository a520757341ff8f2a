"""Endpoints that are answered below the framework.

Routing, the request and response objects and the middleware between them take longer than a score
does (`python -m benchmarks serving`). So POST requests of the paths that are called at high rates
go straight to their endpoints. The framework's routes declare them, and answer where the app is
mounted under another path.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.context import MODEL_VERSION, MODEL_VERSION_HEADER, ROUTE, id_of, route_template
from service.metrics import Metrics
from service.problems import Problem, store_unavailable
from service.state import count_failure
from service.store.errors import StoreTooNew, StoreUnavailable

PIECE = 256 * 1024
"""Bytes of an answer that are sent at once, which takes a tenth of a millisecond."""


class Reply(NamedTuple):
    """A good answer, before it is put on the wire; `model_version` is of the model that gave it."""

    content: bytes
    media_type: str
    model_version: str | None = None

    def response(self) -> Response:
        """The same as the framework's response."""
        headers = {"Content-Type": self.media_type}
        if self.model_version is not None:
            headers[MODEL_VERSION_HEADER] = self.model_version
        return Response(self.content, headers=headers)


Endpoint = Callable[[Scope, Receive], Awaitable[Reply]]
"""What answers a request; it raises `Problem` as any endpoint does."""


class Direct:
    """An endpoint as an ASGI application.

    Parameters
    ----------
    path : str
        The path as declared.
    endpoint : callable
        What answers.
    metrics : Metrics
        Told of every problem.
    check : callable, optional
        Raises `Problem` where a request is not to be let in.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        metrics: Metrics,
        check: Callable[[Scope], None] | None = None,
    ) -> None:
        self.path = path
        self.endpoint = endpoint
        self.metrics = metrics
        self.check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope[ROUTE] = self.path
        try:
            if self.check is not None:
                self.check(scope)
            content, media_type, version = await self.endpoint(scope, receive)
        except (Problem, StoreUnavailable, StoreTooNew) as error:
            # Not here: the error knows this frame, and a frame that knew the error would keep it,
            # and a body of many megabytes, until cycles are looked for.
            await self._refuse(error, scope, receive, send)
            return
        headers = [
            (b"content-type", media_type.encode()),
            (b"content-length", b"%d" % len(content)),
        ]
        if version is not None:
            headers.append((MODEL_VERSION, version.encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = content if len(content) <= PIECE else await _begun(content, send)
        await send({"type": "http.response.body", "body": last})

    async def _refuse(
        self,
        error: Problem | StoreUnavailable | StoreTooNew,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        problem = error if isinstance(error, Problem) else store_unavailable(error)
        count_failure(self.metrics, problem)
        response = problem.response(instance=route_template(scope), request_id=id_of(scope))
        await response(scope, receive, send)


async def _begun(content: bytes, send: Send) -> memoryview:
    """Send a large answer but for its last piece; the others have their turn after each."""
    rest = memoryview(content)
    while len(rest) > PIECE:
        await send({"type": "http.response.body", "body": rest[:PIECE], "more_body": True})
        await asyncio.sleep(0)
        rest = rest[PIECE:]
    return rest


class Service(FastAPI):
    """The framework's application, with some paths answered before it.

    Attributes
    ----------
    direct : mapping of path to ASGI application
        What answers POST requests of exactly these paths.
    """

    direct: Mapping[str, ASGIApp]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.direct = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "http" and scope["method"] == "POST":
            direct = self.direct.get(scope["path"])
            if direct is not None:
                await direct(scope, receive, send)
                return
        await super().__call__(scope, receive, send)
