"""Reading a request's body: its format first, then its bytes, never more than allowed."""

import asyncio
from io import BytesIO
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from service.metrics import Metrics
from service.problems import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, FieldError, Problem, overloaded

JSON = "application/json"
NDJSON = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"


REST_BYTES, REST_SECONDS = 256 * 1024, 0.001
"""After so much of a body that arrives in parts the others have so long for themselves: a sender
next door fills the loop otherwise. A list of 16 MB takes 64 ms longer, of the seconds it takes."""


class Told(NamedTuple):
    """What a request's headers tell of its body; the first of each name counts."""

    content_type: str
    content_encoding: str
    content_length: str


def told(scope: Scope) -> Told:
    """Read the headers that tell of the body."""
    kind = encoding = length = None
    for name, value in scope["headers"]:
        if name == b"content-type" and kind is None:
            kind = value
        elif name == b"content-length" and length is None:
            length = value
        elif name == b"content-encoding" and encoding is None:
            encoding = value
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            encoding = value  # such as `gzip, chunked`: as compressed as any other
    return Told(
        (kind or b"").decode("latin-1"),
        (b"identity" if encoding is None else encoding).decode("latin-1"),
        (length or b"").decode("latin-1"),
    )


def media_type(headers: Told, allowed: tuple[str, ...]) -> str:
    """Return the body's media type.

    Raises
    ------
    Problem
        It is none of those allowed, not UTF-8, or compressed.
    """
    if headers.content_encoding.strip().lower() != "identity":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed, which is not supported; send it without Content-Encoding.",
            (FieldError("", "content_encoding"),),
        )
    name, *parameters = (part.strip() for part in headers.content_type.lower().split(";"))
    if name not in allowed:
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type must be {' or '.join(allowed)}.",
            (FieldError("", "content_type"),),
        )
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            raise Problem(
                UNSUPPORTED_MEDIA_TYPE,
                "The body's charset must be UTF-8.",
                (FieldError("", "charset"),),
            )
    return name


class Arriving:
    """Bytes of all bodies that arrive in parts, until each is whole.

    Parameters
    ----------
    most : int
        How many there may be.
    metrics : Metrics
        Where those are counted whose body finds no room.
    """

    def __init__(self, most: int, metrics: Metrics) -> None:
        self.bytes = 0
        self._most = most
        self._metrics = metrics

    def add(self, count: int) -> None:
        """Count what came of a body of which more will come.

        Raises
        ------
        Problem
            There is more than may be.
        """
        self.bytes += count
        if self.bytes > self._most:
            self._metrics.requests_shed["bodies"].inc()
            problem = overloaded("More is arriving than may; send the same again later.")
            problem.headers["Connection"] = "close"
            raise problem


async def read(headers: Told, receive: Receive, limit: int, arriving: Arriving) -> bytes:
    """Read the whole body; stop as soon as it is larger than `limit` bytes.

    Raises
    ------
    Problem
        The body is larger, or too much is arriving in all.
    ClientDisconnect
        The client went away before the body was whole.
    """
    declared = headers.content_length
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise _too_large(limit)
    whole: BytesIO | None = None  # its value is its buffer: there is no second copy of it
    size = counted = rested = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            more = message.get("more_body", False)
            if whole is None:
                if not more:
                    return chunk
                whole = BytesIO()
            whole.write(chunk)
            if not more:
                return whole.getvalue()
            counted = size
            arriving.add(len(chunk))
            if size - rested >= REST_BYTES:
                rested = size
                await asyncio.sleep(REST_SECONDS)
    finally:
        arriving.bytes -= counted


def _too_large(limit: int) -> Problem:
    # What is left of the body is not read, so the connection cannot be used again.
    return Problem(
        TOO_LARGE,
        f"The body is larger than {limit} bytes; send a shorter history or a smaller batch.",
        (FieldError("", "body_too_large"),),
        {"Connection": "close"},
    )
