"""A request's body as a stream to disk: never in memory whole, hashed on the way, flushed.

Blocks are written in a thread, so that a slow disk holds up this request alone.
"""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from service.body import Told
from service.problems import STORAGE_FULL, TOO_LARGE, FieldError, Problem, invalid_field

BLOCK_BYTES = 1 << 20
"""Bytes gathered before they are written."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when there is no room: on the disk, in the quota, for so large a file."""


class Received(NamedTuple):
    """The size and the SHA-256 of a body."""

    size: int
    sha256: bytes


async def to_file(headers: Told, receive: Receive, limit: int, path: Path) -> Received:
    """Write a body to a new file and wait until it is on disk.

    Raises
    ------
    Problem
        The body is empty, larger than `limit` bytes, or the disk is full.
    ClientDisconnect
        The client went away before the body was whole.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("xb", buffering=0) as file:

            def write(block: bytes) -> None:
                digest.update(block)
                left = memoryview(block)
                while left:
                    left = left[file.write(left) :]

            async for block in _blocks(headers, receive, limit):
                size += len(block)
                await asyncio.to_thread(write, block)
            await asyncio.to_thread(os.fsync, file.fileno())
    except OSError as error:
        if error.errno in FULL:
            raise storage_full() from None
        raise
    return Received(size, digest.digest())


async def to_nowhere(headers: Told, receive: Receive, limit: int) -> Received:
    """Read a body for its size and hash alone.

    Raises
    ------
    Problem
        The body is empty or larger than `limit` bytes.
    ClientDisconnect
        The client went away before the body was whole.
    """
    digest = hashlib.sha256()
    size = 0
    async for block in _blocks(headers, receive, limit):
        size += len(block)
        await asyncio.to_thread(digest.update, block)
    return Received(size, digest.digest())


def check_declared(headers: Told, limit: int) -> None:
    """Refuse a body that says beforehand that it is too large.

    Raises
    ------
    Problem
        It does.
    """
    declared = headers.content_length
    if declared.isdecimal() and (len(declared) > 19 or int(declared) > limit):
        raise _too_large(limit)


def storage_full() -> Problem:
    """Make the problem of a full disk."""
    return Problem(
        STORAGE_FULL,
        "The server has no room for the list; nothing of it is kept. Send it again when its "
        "operator has made room in KEEPWELL_JOBS_DIR, or delete jobs that are done with.",
        headers={"Connection": "close"},
    )


async def _blocks(headers: Told, receive: Receive, limit: int) -> AsyncIterator[bytes]:
    check_declared(headers, limit)
    pieces: list[bytes] = []
    gathered = total = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece = message.get("body", b"")
        more = message.get("more_body", False)
        gathered += len(piece)
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        pieces.append(piece)
        if gathered and (gathered >= BLOCK_BYTES or not more):
            yield b"".join(pieces)
            pieces, gathered = [], 0
    if not total:
        raise invalid_field("The body is empty; send the list.", "", "empty")


def _too_large(limit: int) -> Problem:
    # What is left of the body is not read, so the connection cannot be used again.
    return Problem(
        TOO_LARGE,
        f"The list is larger than {limit} bytes; split it, or send it as Parquet.",
        (FieldError("", "body_too_large"),),
        {"Connection": "close"},
    )
