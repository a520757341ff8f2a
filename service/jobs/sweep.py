"""What has had its time, and what a killed process left, is removed.

Files go when a job expires; its row a day later, so that who asks for the results meanwhile hears
that they are gone rather than that they never were.
"""

import logging

from sqlalchemy import delete, select

from service import logs
from service.jobs import records
from service.jobs.folders import Folders
from service.jobs.records import OPEN
from service.store.database import Database
from service.store.tables import idempotency, jobs

ROW_OUTLIVES = 24 * 3600 * 1_000_000
"""Microseconds that a job's row stays after its files."""

ORPHAN_SECONDS = 3600.0
"""Age from which a folder without a row is nobody's."""

AT_ONCE = 500

_log = logging.getLogger(f"{logs.ROOT}.jobs")


def sweep(database: Database, folders: Folders, now: int) -> int:
    """Remove expired jobs and orphaned files; return how many things were removed.

    Raises
    ------
    StoreUnavailable
        Nothing can be told without the store.
    """
    removed = 0
    present = folders.accepted()
    names = sorted(present)
    for at in range(0, len(names), AT_ONCE):
        some = names[at : at + AT_ONCE]
        with database.reading() as connection:
            query = select(jobs.c.job_id, jobs.c.state, jobs.c.expires_at)
            known = {
                row.job_id: row for row in connection.execute(query.where(jobs.c.job_id.in_(some)))
            }
        for job_id in some:
            row = known.get(job_id)
            if row is None:
                gone = present[job_id] > ORPHAN_SECONDS and not folders.is_receiving(job_id)
            else:
                ended = row.state not in OPEN
                gone = ended and (row.state != "done" or row.expires_at <= now)
            if gone:
                removed += _remove(folders, job_id)
    removed += folders.remove_abandoned()
    removed += _forget(database, folders, now)
    if removed:
        _log.info("swept", extra={"fields": {"removed": removed}})
    return removed


def _remove(folders: Folders, job_id: str) -> bool:
    try:
        folders.remove(job_id)
    except OSError:
        _log.exception("a job's files could not be removed", extra={"fields": {"job": job_id}})
        return False
    return True


def _forget(database: Database, folders: Folders, now: int) -> int:
    """Remove the rows of jobs that expired long ago, and keys that were never bound to a job."""
    before = now - ROW_OUTLIVES
    expired = select(jobs.c.job_id).where(jobs.c.expires_at <= before).limit(AT_ONCE)
    loose = select(idempotency.c.digest, idempotency.c.job_id).where(
        idempotency.c.fingerprint.is_(None), idempotency.c.created_at <= before
    )
    with database.reading() as connection:
        gone = list(connection.execute(expired).scalars())
        keys = [key for key in connection.execute(loose) if not folders.is_receiving(key.job_id)]
    if not gone and not keys:
        return 0
    with database.writing() as connection:
        for job_id in gone:
            records.remove(connection, job_id)
        for key in keys:
            connection.execute(
                delete(idempotency).where(
                    idempotency.c.digest == key.digest,
                    idempotency.c.job_id == key.job_id,
                    idempotency.c.fingerprint.is_(None),
                )
            )
    return len(gone) + len(keys)
