"""How much the service takes on: what it answers "later" at once, so that the rest is quick.

One event loop scores one request after the other, so whoever is read waits for all who were read
before. How many that may be depends on whether it is a burst or lasts: a burst is taken and worked
off; once it was too much, few may wait until nobody has been refused for a while (ADR 24).
"""

import heapq
from collections.abc import Awaitable, Collection
from typing import Protocol

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from service.metrics import METHODS, UNMATCHED, Metrics
from service.probes import PROBES
from service.problems import MEDIA_TYPE, RETRY_SECONDS, overloaded
from service.settings import Settings

SWEEP_SECONDS = 0.5
"""How often connections are looked at, and how long an overload is taken to last at least."""

UNDER_LOAD = 64
"""The 64th part of those who may wait in a burst may wait while it is too much: whoever is taken on
then waits for all the refusals of that turn of the loop as well."""

_PROBES = frozenset(path.encode() for path in PROBES)
_ID = "REQUEST-ID"


class Waiting:
    """How many requests are read and not begun.

    Attributes
    ----------
    count : int
        So many.
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Looked(Protocol):
    """A connection, as those see it who look after all of them."""

    def look(self, now: float) -> None:
        """End it if it takes too long."""

    def is_spare(self) -> bool:
        """Whether nobody waits for an answer of ours on it."""

    def idle_since(self) -> float:
        """Since when it is idle, or would be had a body come at the slowest rate that may be."""

    def give_up(self) -> None:
        """End it for others' sake."""


class Traffic:
    """What the connections of one server share.

    Parameters
    ----------
    app : ASGI application
        What answers.
    settings : Settings
        Say how much may be.
    metrics : Metrics
        Told of what is refused.
    paths : collection of str, optional
        Those without parameters, as declared: the routes by which refusals are counted.
    waiting : Waiting, optional
        Whom to tell of requests that are read and not begun.

    Attributes
    ----------
    waiting : Waiting
        The same.
    draining : bool
        Whether connections end with the answer at hand.
    linger_seconds : float
        How long a connection that is idle stays open when the service stops to listen.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        metrics: Metrics,
        paths: Collection[str] = (),
        waiting: Waiting | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.waiting = waiting or Waiting()
        self.draining = False
        self.linger_seconds = 1.0
        self._app = app
        self._routes = {path.encode(): path for path in paths}
        self._few = max(1, settings.max_waiting // UNDER_LOAD)
        self._allowed = settings.max_waiting
        self._has_refused = False
        self._rendered: dict[tuple[str, str], list[bytes]] = {}

    def begin(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request that was among those waiting."""
        self.waiting.count -= 1
        return self._app(scope, receive, send)

    def refusal(self, url: bytes, connections: int) -> str | None:
        """Why a request is not taken on; None if it is. Probes and scrapes always are."""
        is_too_much = self.waiting.count >= self._allowed
        if not is_too_much and connections <= self.settings.max_connections:
            return None
        if url.partition(b"?")[0] in _PROBES:
            return None
        if not is_too_much:
            return "connections"
        self._allowed = self._few
        self._has_refused = True
        return "waiting"

    def refused(self, reason: str, method: str, url: bytes, identity: str) -> tuple[bytes, bytes]:
        """Count a request that is not taken on; return the head's lines and the body."""
        route = self._routes.get(url.partition(b"?")[0], UNMATCHED)
        self.metrics.requests_shed[reason].inc()
        self.metrics.http_requests[route, method if method in METHODS else "other", "429"].inc()
        rendered = self._rendered.get((reason, route))
        if rendered is None:
            problem = overloaded(_WHY[reason])
            rendered = orjson.dumps(problem.document(instance=route, request_id=_ID)).split(
                _ID.encode()
            )
            self._rendered[reason, route] = rendered
        body = identity.encode().join(rendered)
        return lines(body, identity) + b"retry-after: %b\r\n" % RETRY_SECONDS.encode(), body

    def sweep(self, connections: Collection[Looked], now: float) -> None:
        """Look at every connection, and whether an overload is over."""
        if not self._has_refused:
            self._allowed = self.settings.max_waiting
        self._has_refused = False
        for connection in list(connections):
            connection.look(now)

    def make_room(self, connections: Collection[Looked], new: Looked) -> None:
        """End those connections that are idle, or behind with sending, for longest: a twentieth."""
        spare = [one for one in connections if one is not new and one.is_spare()]
        for one in heapq.nsmallest(1 + len(spare) // 20, spare, key=lambda one: one.idle_since()):
            one.give_up()


_WHY = {
    "waiting": "More requests wait to be answered than may; send the same again later.",
    "connections": "More connections are open than may be; send the same again later.",
}


def lines(body: bytes, identity: str) -> bytes:
    """The lines of a problem's head, without the first and the empty last one."""
    return (
        b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\ncache-control: no-store\r\n"
    ) % (MEDIA_TYPE.encode(), len(body), identity.encode())
