"""Reading a request's body: its format first, then its bytes, never more than allowed."""

from starlette.requests import ClientDisconnect, Request

from service.problems import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, FieldError, Problem

JSON = "application/json"
NDJSON = "application/x-ndjson"


def media_type(request: Request, allowed: tuple[str, ...]) -> str:
    """Return the body's media type.

    Raises
    ------
    Problem
        It is none of those allowed, not UTF-8, or compressed.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            "The body is compressed, which is not supported; send it without Content-Encoding.",
            (FieldError("", "content_encoding"),),
        )
    name, *parameters = (part.strip() for part in _content_type(request).lower().split(";"))
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


async def read(request: Request, limit: int) -> bytes:
    """Read the whole body; stop as soon as it is larger than `limit` bytes.

    Raises
    ------
    Problem
        The body is larger.
    ClientDisconnect
        The client went away before the body was whole.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and len(declared) < 20 and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "")


def _too_large(limit: int) -> Problem:
    # What is left of the body is not read, so the connection cannot be used again.
    return Problem(
        TOO_LARGE,
        f"The body is larger than {limit} bytes; send a shorter history or a smaller batch.",
        (FieldError("", "body_too_large"),),
        {"Connection": "close"},
    )
