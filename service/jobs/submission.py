"""How a list becomes a job: received to disk, then entered in the store, then promised.

The job's row is written only after its input is durable, and the answer only after the row. So
what was promised is kept over a crash at any moment, and what was not leaves nothing that anybody
would work on.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.types import Receive

from churn.reasons import Direction
from churn.words import Language
from service.body import Told
from service.jobs import keys, receiving, records
from service.jobs.desk import Desk
from service.jobs.folders import INPUT, Folders
from service.jobs.job import Format
from service.jobs.keys import Holder
from service.jobs.pinned import pin
from service.jobs.records import Record
from service.jobs.staleness import refuse_stale
from service.jobs.worker import submitted
from service.models import Loaded
from service.problems import IDEMPOTENCY_CONFLICT, KEY_IN_FLIGHT, FieldError, Problem
from service.store.errors import StoreUnavailable

IN_FLIGHT_SECONDS = 1
"""When to ask again for a key under which a list is being received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for, as it was told; `as_of` None is the instant of submission."""

    input_format: Format
    results_format: Format
    as_of: int | None
    max_reasons: int
    direction: Direction
    language: Language

    def fingerprint(self, body_sha256: bytes) -> bytes:
        """What two requests under one key must share."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return keys.fingerprint_of(body_sha256, told)


@dataclass(frozen=True, slots=True)
class Request:
    """One submission: headers and body, what it asks for, the model and policy that serve it.

    `client` is whose key was shown; None where nobody is asked for one.
    """

    told: Told
    receive: Receive
    asked: Asked
    key: str | None
    loaded: Loaded
    limit: int
    client: str | None = None


async def submit(desk: Desk, request: Request) -> tuple[Record, bool]:
    """Take in a list.

    Returns
    -------
    tuple of Record and bool
        The job, and whether it is new: the key of an earlier request leads to its job.

    Raises
    ------
    Problem
        The body is empty, too large, or other than the one first sent under the key; or the store
        is too far behind for what it asks.
    StoreUnavailable
        Nothing was promised.
    ClientDisconnect
        The client went away; nothing is kept.
    """
    receiving.check_declared(request.told, request.limit)
    job_id = secrets.token_hex(16)
    try:
        async with _incoming(desk.folders, job_id) as folder:
            if request.key is None:
                return await _receive(desk, request, job_id, folder, None), True
            digest = keys.digest_of(request.key, request.client)
            holder = await desk.ask(partial(_claim, desk, digest, job_id))
            if holder is None:
                return await _receive(desk, request, job_id, folder, digest), True
            if holder.fingerprint is None:
                raise _in_flight()
    except OSError as error:
        if error.errno in receiving.FULL:
            raise receiving.storage_full() from None
        raise
    return await _repeat(desk, request, holder), False


@contextlib.asynccontextmanager
async def _incoming(folders: Folders, job_id: str) -> AsyncIterator[Path]:
    handle = await asyncio.to_thread(folders.begin, job_id)
    try:
        yield folders.incoming(job_id)
    finally:
        await asyncio.to_thread(folders.end, job_id, handle)


async def _receive(
    desk: Desk, request: Request, job_id: str, folder: Path, digest: bytes | None
) -> Record:
    try:
        body = await receiving.to_file(request.told, request.receive, request.limit, folder / INPUT)
        await asyncio.to_thread(pin, folder, request.loaded.scorer.policy)
        return await desk.ask(partial(_enter, desk, request, job_id, folder, body, digest))
    except BaseException:
        if digest is not None:
            # Where the store is away, the key is free as soon as the folder's lock is.
            with contextlib.suppress(StoreUnavailable):
                await desk.ask(partial(keys.release, desk.database, digest, job_id))
        raise


def _enter(
    desk: Desk,
    request: Request,
    job_id: str,
    folder: Path,
    body: receiving.Received,
    digest: bytes | None,
) -> Record:
    """Put the list in its place and write the job's row; from here on it is promised."""
    asked = request.asked
    received, now = desk.received(), desk.clock()
    job = Record(
        job_id=job_id,
        state="queued",
        created_at=now,
        input_format=asked.input_format,
        input_bytes=body.size,
        results_format=asked.results_format,
        as_of=now if asked.as_of is None else asked.as_of,
        received=received,
        model_version=request.loaded.version,
        max_reasons=asked.max_reasons,
        direction=asked.direction,
        language=asked.language,
        marks=desk.marks().encode(),
        client=request.client,
    )
    refuse_stale(folder, submitted(job), request.loaded, desk.limits)
    desk.folders.accept(job_id)
    with desk.database.writing() as connection:
        if digest is not None and not keys.settle(
            connection, digest, job_id, asked.fingerprint(body.sha256)
        ):
            desk.folders.remove(job_id)
            raise _in_flight()
        records.add(connection, job)
    desk.worker.wake()
    return job


def _claim(desk: Desk, digest: bytes, job_id: str) -> Holder | None:
    """Take the key for a job, also from one that died or expired; else tell who has it."""
    while True:
        holder = keys.claim(desk.database, digest, job_id, desk.clock())
        if holder is None:
            return None
        if holder.fingerprint is None:
            if desk.folders.is_receiving(holder.job_id):
                return holder
            if keys.take_over(desk.database, digest, job_id, dead=holder.job_id):
                return None
        elif keys.expire(desk.database, digest, holder.job_id, desk.clock()):
            continue
        else:
            return holder


async def _repeat(desk: Desk, request: Request, holder: Holder) -> Record:
    """Answer a request that was sent before with the job that it became."""
    job = await desk.ask(partial(desk.get, holder.job_id))
    declared = request.told.content_length
    if declared.isdecimal() and int(declared) != job.input_bytes:
        raise _conflict()
    body = await receiving.to_nowhere(request.told, request.receive, request.limit)
    if request.asked.fingerprint(body.sha256) != holder.fingerprint:
        raise _conflict()
    return job


def _in_flight() -> Problem:
    return Problem(
        KEY_IN_FLIGHT,
        "A list is being received under this Idempotency-Key; ask again when it is in.",
        (FieldError("", "key_in_flight"),),
        {"Retry-After": str(IN_FLIGHT_SECONDS), "Connection": "close"},
    )


def _conflict() -> Problem:
    return Problem(
        IDEMPOTENCY_CONFLICT,
        "This Idempotency-Key was used for another list or other parameters; use a new key for a "
        "new job.",
        (FieldError("", "idempotency_conflict"),),
        {"Connection": "close"},
    )
