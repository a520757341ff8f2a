"""A connection: what may come on it before an answer is due, and how long that may take.

uvicorn reads heads of any size, waits for slow senders and slow readers without end, keeps what
follows a chunked body as headers, and answers garbage before the request in front of it. This
class is its protocol with these doors closed. It costs a request nothing that can be measured:
time is looked at by `Traffic.sweep`, for all connections at once, not by a timer of each.
"""

from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.context import identity_of
from service.metrics import UNMATCHED
from service.problems import HEADERS_TOO_LARGE, MALFORMED_REQUEST, REQUEST_TIMEOUT, Problem
from service.traffic import SWEEP_SECONDS, Traffic, lines

MOST_HEAD = 16 * 1024
"""Bytes of a request beside its body: the first line and the headers, and what frames a body."""

PIECE = 8 * 1024
"""Bytes of a head that are read at once: so many are looked at before more is."""

MOST_HEADERS = 100
MOST_PIPELINED = 16
"""Requests that a client may send before the answer of an earlier one."""

SLOWEST = 256 * 1024
"""Bytes of a body that are a second more to send it."""

MOST_UNREAD = 16 << 20
"""Bytes of a body that are read to no use, because its request is answered."""

SEND_SECONDS = 30.0
"""How long a client may read nothing of its answer."""


class Connection(HttpToolsProtocol):
    """One connection of a client.

    Parameters
    ----------
    traffic : Traffic
        What all connections share.
    **given
        What uvicorn gives to a protocol.

    Attributes
    ----------
    since : float
        When the request at hand began to arrive, or else when the connection became idle.
    """

    def __init__(self, traffic: Traffic, **given: Any) -> None:
        super().__init__(**given)
        self.app = traffic.begin
        self.traffic = traffic
        self.since = 0.0
        self._has_asked = False
        self._is_over = False
        # Of the request that is arriving:
        self._is_open = False
        self._in_head = False
        self._is_refused = False
        self._mine: RequestResponseCycle | None = None
        self._before: RequestResponseCycle | None = None
        self._beside = 0
        self._body_bytes = 0
        # Of what is not sent yet:
        self._unsent = 0
        self._moved = 0.0

    def connection_made(self, transport: Any) -> None:
        """Begin, if need be in the place of another."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > self.traffic.settings.max_connections:
            self.traffic.make_room(self.connections, self)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Read what came; heads by small pieces."""
        if len(data) <= PIECE or (self._is_open and not self._in_head):
            self._read(data)
            return
        for start in range(0, len(data), PIECE):
            if self.transport.is_closing():
                return
            self._read(data[start : start + PIECE])

    def _read(self, data: bytes) -> None:
        if self._is_over:
            return
        self._beside += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # There is no other protocol here: the request is answered, what follows is not read.
            self._is_over = True
            self._close_after_answer()
        except httptools.HttpParserError:
            self._refuse(_HEADERS if self._in_head and self._has_many_headers() else _MALFORMED)
        else:
            if self._beside > MOST_HEAD or self._has_many_headers():
                self._refuse(_HEADERS)

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        super().on_message_begin()
        self.since = self.loop.time()
        self._is_open = self._in_head = True
        self._is_refused = False
        self._mine = None
        self._beside = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        """Take a request on, or answer at once that there is too much."""
        if self._has_many_headers():
            raise ValueError("too many headers")
        if self._is_answering():
            if len(self.pipeline) >= MOST_PIPELINED:
                raise ValueError("too many requests at once")
        else:
            why = self.traffic.refusal(self.url, len(self.connections))
            if why is not None:
                self._in_head = False
                self._shed(why)
                return
        self._before = self.cycle
        super().on_headers_complete()
        self._in_head = False
        self._mine = self.cycle
        self.headers = []  # of a trailer: what the request's own are is settled
        if self.traffic.draining:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body on, unless its request is answered already."""
        self._body_bytes += len(body)
        self._beside -= 2 * len(body)
        if self._is_refused or (self._mine is not None and self._mine.response_complete):
            if self._body_bytes > MOST_UNREAD:
                self._end("unread_body")
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has arrived whole."""
        self._is_open = False
        if not self._is_refused:
            super().on_message_complete()
        if not self._is_answering():
            self.since = self.loop.time()

    def on_response_complete(self) -> None:
        """Go on with the next request of the client, if it is here already."""
        # As uvicorn does, but without a timer: `look` ends what is idle.
        self.server_state.total_requests += 1
        self._has_asked = True
        if not self._is_open:
            self.since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.traffic.waiting.count += 1
        super()._start_asgi_task(cycle, app)

    def look(self, now: float) -> None:
        """End the connection if its client, or what it sends, takes too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent:
            if unsent != self._unsent:
                self._unsent, self._moved = unsent, now
            elif now - self._moved > SEND_SECONDS:
                self._count("unread_answer")
                self.transport.abort()
            return
        self._unsent = 0
        if self.transport.is_closing():
            return
        settings = self.traffic.settings
        lasted = now - self.since
        if self._is_open and not (self._in_head and self._is_answering()):
            if self.flow.read_paused:
                self.since += SWEEP_SECONDS  # it is us who do not read
            elif lasted > settings.receive_seconds + self._body_bytes / SLOWEST:
                self._refuse(_SLOW)
        elif not self._is_answering():
            may = settings.keep_alive_seconds if self._has_asked else settings.receive_seconds
            if lasted > may:
                self.transport.close()

    def is_spare(self) -> bool:
        """Whether nobody waits for an answer of ours on it."""
        return not self.transport.is_closing() and (self._is_open or not self._is_answering())

    def idle_since(self) -> float:
        """Since when it is idle, or would be had a body come at the slowest rate that may be."""
        return self.since + self._body_bytes / SLOWEST if self._is_open else self.since

    def give_up(self) -> None:
        """End it for others' sake."""
        self._end("crowded")

    def drain(self) -> None:
        """Have the answer at hand be the last one."""
        if self._is_answering() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Have the answer at hand be the last one, and wait a moment for one more request."""
        if self._is_answering():
            self.cycle.keep_alive = False
        elif not self._is_open:
            # A request may be on its way, or in the socket: nobody could know of the end.
            self.loop.call_later(self.traffic.linger_seconds, self._leave)

    def _leave(self) -> None:
        if not self._is_open and not self._is_answering():
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_many_headers(self) -> bool:
        return self.headers is not None and len(self.headers) > MOST_HEADERS

    def _close_after_answer(self) -> None:
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _shed(self, why: str) -> None:
        """Answer that the request may come again later; what there is of its body is not kept."""
        self._is_refused = True
        self._has_asked = True
        method = self.parser.get_method().decode("ascii")
        identity = identity_of(self.headers)
        head, body = self.traffic.refused(why, method, self.url, identity)
        is_last = (
            self.expect_100_continue
            or why == "connections"
            or self.traffic.draining
            or self.parser.get_http_version() == "1.0"
            or not self.parser.should_keep_alive()
        )
        self._write(429, head, b"" if method == "HEAD" else body, is_last)

    def _refuse(self, refusal: tuple[str, Problem]) -> None:
        """Say what is wrong, in its turn, and end."""
        reason, problem = refusal
        self._is_over = True
        self._count(reason)
        mine = self._mine if self._is_open else None
        before = self._before
        if before is not None and self.pipeline and self.pipeline[0][0] is mine:
            self.pipeline.popleft()  # its turn has not come, and does not come any more
            self.cycle, mine = before, None
        if mine is None and self._is_answering():
            self.cycle.keep_alive = False  # an earlier request is answered first
            return
        if mine is not None and mine.response_started:
            self.transport.close()
            return
        if mine is not None:
            mine.disconnected = True
            mine.message_event.set()
        identity = identity_of(self.headers or ()) if mine is None else _identity(mine.scope)
        body = orjson.dumps(problem.document(instance=UNMATCHED, request_id=identity))
        self._write(problem.kind.status, lines(body, identity), body, True)

    def _write(self, status: int, head: bytes, body: bytes, is_last: bool) -> None:
        answer = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            answer += [name, b": ", value, b"\r\n"]
        answer += [head, b"connection: close\r\n\r\n" if is_last else b"\r\n", body]
        self.transport.write(b"".join(answer))
        if is_last:
            self._is_over = True
            self.transport.close()

    def _end(self, reason: str) -> None:
        self._is_over = True
        self._count(reason)
        self.transport.close()

    def _count(self, reason: str) -> None:
        self.traffic.metrics.connections_refused[reason].inc()


def _identity(scope: Any) -> str:
    """The id of a request that was taken on; if it is not begun yet, the one that it will have."""
    known: str | None = scope["state"].get("request_id")
    if known is None:
        known = identity_of(scope["headers"])
        scope["headers"].insert(0, (b"x-request-id", known.encode()))
    return known


_MALFORMED = (
    "malformed",
    Problem(
        MALFORMED_REQUEST,
        "What was sent is not HTTP/1.1 that can be read in one way only; look at Content-Length, "
        "Transfer-Encoding and the ends of lines.",
    ),
)
_HEADERS = (
    "headers",
    Problem(
        HEADERS_TOO_LARGE,
        f"A request has at most {MOST_HEADERS} headers, of {MOST_HEAD} bytes together, and chunks "
        "of more than a few bytes.",
    ),
)
_SLOW = (
    "slow",
    Problem(
        REQUEST_TIMEOUT,
        "The request was not here in time: KEEPWELL_RECEIVE_SECONDS, and a second more for every "
        f"{SLOWEST // 1024} KiB of its body.",
    ),
)
