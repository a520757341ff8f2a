"""Idempotency keys: a list that is sent twice under one key becomes one job.

A key is kept as a digest, with the job that it belongs to and the fingerprint of what was sent. It
has none while the list is still being received. Each client has keys of its own: what another one
sends under the same key is another matter.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection

from service.store.database import Database
from service.store.tables import idempotency, jobs

HEADER = "Idempotency-Key"
LONGEST = 255


class Holder(NamedTuple):
    """What a key belongs to: `fingerprint` is None while the job is being received."""

    job_id: str
    fingerprint: bytes | None


def is_key(text: str) -> bool:
    """Whether a text may be a key: 1 to 255 printable ASCII characters."""
    return 0 < len(text) <= LONGEST and text.isascii() and text.isprintable()


def digest_of(key: str, client: str | None = None) -> bytes:
    """What is kept of a client's key."""
    whose = "" if client is None else f"{client}\n"
    return hashlib.sha256(f"keepwell jobs\n{whose}{key}".encode()).digest()


def fingerprint_of(body_sha256: bytes, parameters: Mapping[str, object]) -> bytes:
    """What two requests must share to be the same: the body and what was asked of it."""
    told = json.dumps(dict(parameters), sort_keys=True).encode()
    return hashlib.sha256(body_sha256 + told).digest()


def claim(database: Database, digest: bytes, job_id: str, now: int) -> Holder | None:
    """Take a free key for a job that is to be received, or tell who has it."""
    with database.writing() as connection:
        query = select(idempotency.c.job_id, idempotency.c.fingerprint)
        row = connection.execute(query.where(idempotency.c.digest == digest)).first()
        if row is not None:
            return Holder(row.job_id, None if row.fingerprint is None else bytes(row.fingerprint))
        connection.execute(insert(idempotency).values(digest=digest, job_id=job_id, created_at=now))
    return None


def take_over(database: Database, digest: bytes, job_id: str, *, dead: str) -> bool:
    """Take the key of a job whose reception has died; False where another was faster."""
    with database.writing() as connection:
        return _change(connection, digest, dead, job_id=job_id)


def expire(database: Database, digest: bytes, job_id: str, now: int) -> bool:
    """Free the key of a job that has expired or is gone; say whether it was."""
    with database.writing() as connection:
        query = select(jobs.c.expires_at).where(jobs.c.job_id == job_id)
        row = connection.execute(query).first()
        if row is not None and (row.expires_at is None or row.expires_at > now):
            return False
        mine = idempotency.c.digest == digest, idempotency.c.job_id == job_id
        connection.execute(delete(idempotency).where(*mine))
    return True


def settle(connection: Connection, digest: bytes, job_id: str, fingerprint: bytes) -> bool:
    """Bind a claimed key to its job for good; False where the claim was lost."""
    return _change(connection, digest, job_id, fingerprint=fingerprint)


def release(database: Database, digest: bytes, job_id: str) -> None:
    """Free the key of a job that was not received."""
    with database.writing() as connection:
        connection.execute(
            delete(idempotency).where(
                idempotency.c.digest == digest,
                idempotency.c.job_id == job_id,
                idempotency.c.fingerprint.is_(None),
            )
        )


def _change(connection: Connection, digest: bytes, claimed_by: str, **values: object) -> bool:
    changed = connection.execute(
        update(idempotency)
        .where(
            idempotency.c.digest == digest,
            idempotency.c.job_id == claimed_by,
            idempotency.c.fingerprint.is_(None),
        )
        .values(**values)
    )
    return changed.rowcount > 0
