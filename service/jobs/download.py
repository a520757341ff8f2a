"""Finished results over HTTP: whole or in part, and not again where the client has them.

The ETag is the SHA-256 of the bytes, so it is strong, and the same on every replica.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from service import body
from service.context import MODEL_VERSION_HEADER
from service.jobs.job import Format
from service.jobs.records import Record
from service.problems import NO_RESULTS, RANGE_NOT_SATISFIABLE, FieldError, Problem

MEDIA_TYPES: Mapping[Format, str] = {
    "ndjson": body.NDJSON,
    "csv": body.CSV,
    "parquet": body.PARQUET,
}

_ONE_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.I)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class Span(NamedTuple):
    """A part of a file: from `start` to before `end`."""

    start: int
    end: int


def etag(job: Record) -> str:
    """The results' entity tag."""
    return f'"{job.results_sha256}"'


def answer(job: Record, path: Path, headers: Headers) -> Response:
    """Answer a request for the results.

    Parameters
    ----------
    job : Record
        A finished job.
    path : Path
        Its results.
    headers : Headers
        Of the request: `If-None-Match`, `If-Range` and `Range` are looked at.

    Raises
    ------
    Problem
        The range lies beyond the end, or the results are being changed.
    FileNotFoundError
        The results are not there any more.
    """
    tag = etag(job)
    told = {"etag": tag, MODEL_VERSION_HEADER: job.model_version}
    if is_matched(headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=told)
    found = os.stat(path)
    if found.st_size != job.results_bytes:
        raise Problem(
            NO_RESULTS,
            "The results are being written anew without somebody who was erased; ask again.",
            (FieldError("", "not_done"),),
            {"Retry-After": "1"},
        )
    asked = headers.getlist("range")
    condition = headers.get("if-range")
    span = None
    if len(asked) == 1 and condition in (None, tag):
        span = one_range(asked[0], found.st_size)
    return _Part(
        path,
        span,
        stat_result=found,
        media_type=MEDIA_TYPES[job.results_format],
        filename=f"keepwell-{job.job_id}.{job.results_format}",
        headers=told,
    )


def is_matched(told: list[str], tag: str) -> bool:
    """Whether the client has what the tag names; weak and strong tags compare alike here."""
    text = ",".join(told).strip()
    return text == "*" or tag in _ETAG.findall(text)


def one_range(text: str, size: int) -> Span | None:
    """Read a `Range` header.

    Returns
    -------
    Span or None
        The part asked for. None is the whole file: of another unit, of several ranges, or without
        sense, which a server may pass over.

    Raises
    ------
    Problem
        It lies beyond the end.

    Examples
    --------
    >>> one_range("bytes=2-5", 10)
    Span(start=2, end=6)
    >>> one_range("bytes=-3", 10)
    Span(start=7, end=10)
    """
    found = _ONE_RANGE.fullmatch(text.strip())
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        span = Span(max(0, size - int(suffix)), size)
    else:
        span = Span(int(first), min(int(last) + 1, size) if last else size)
        if last and int(last) < int(first):
            return None
    if span.start >= span.end:
        raise Problem(
            RANGE_NOT_SATISFIABLE,
            f"The results have {size} bytes; ask for a part of them.",
            (FieldError("", "range"),),
            {"Content-Range": f"bytes */{size}"},
        )
    return span


class _Part(FileResponse):
    """A file or one part of it; which part is decided before, as RFC 9110 has it.

    Starlette's own reading of `Range` answers 400 to what is to be passed over, and its 416 is no
    problem document.
    """

    def __init__(self, path: Path, span: Span | None, **options: object) -> None:
        super().__init__(path, **options)  # type: ignore[arg-type]
        self._span = span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        headers = MutableHeaders(raw=list(scope["headers"]))
        for name in ("range", "if-range"):
            del headers[name]
        if self._span is not None:
            headers["range"] = f"bytes={self._span.start}-{self._span.end - 1}"
        await super().__call__({**scope, "headers": headers.raw}, receive, send)
