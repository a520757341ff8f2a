"""The table of jobs as a queue: whoever holds a job's lease works on it, nobody else.

A worker takes the oldest job that waits, or that a worker has left: one whose lease has ended. It
renews the lease while it works. What it reports counts only while the job is still its own, so a
worker that was taken for dead and comes back changes nothing.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy import and_, case, or_, select, update
from sqlalchemy.engine import Connection

from service.jobs.records import Record, get, record
from service.jobs.responses import JobState
from service.store.database import Database
from service.store.tables import jobs

MOST_ATTEMPTS = 10
"""Starts without a single finished chunk between them: such a job takes its process down."""

GAVE_UP = (
    f"{MOST_ATTEMPTS} attempts ended without a step forward: the list seems to bring the service "
    "down; split it to find the rows that do"
)


class Outcome(NamedTuple):
    """How a job ended; the results' size and hash belong to `done`, the reason to `failed`."""

    state: Literal["done", "failed", "cancelled"]
    rows_read: int
    rows: Mapping[str, int] | None = None
    reason: str | None = None
    results_bytes: int | None = None
    results_sha256: str | None = None


class Queue:
    """The queue, as one worker sees it.

    Parameters
    ----------
    database : Database
        The store.
    owner : str
        Name of the worker, its own among all workers of the store.
    lease : int
        How long a lease lasts, microseconds.
    keep : int
        How long an ended job is kept, microseconds.
    """

    def __init__(self, database: Database, owner: str, *, lease: int, keep: int) -> None:
        self.owner = owner
        self._database = database
        self._lease = lease
        self._keep = keep

    def take(self, now: int) -> Record | None:
        """Lease the next job, if there is one."""
        ready = or_(
            jobs.c.state == "queued",
            and_(jobs.c.state == "running", jobs.c.lease_until < now),
        )
        next_ready = select(jobs).where(ready).order_by(jobs.c.created_at, jobs.c.job_id).limit(1)
        with self._database.reading() as connection:
            if connection.execute(next_ready).first() is None:
                return None  # as nearly always: without a transaction that writes
        with self._database.writing() as connection:
            while (row := connection.execute(next_ready).first()) is not None:
                found = record(row)
                if found.cancel_requested:
                    self._end(connection, found.job_id, Outcome("cancelled", found.rows_read), now)
                elif found.attempts >= MOST_ATTEMPTS:
                    outcome = Outcome("failed", found.rows_read, reason=GAVE_UP)
                    self._end(connection, found.job_id, outcome, now)
                else:
                    connection.execute(
                        update(jobs)
                        .where(jobs.c.job_id == found.job_id)
                        .values(
                            state="running",
                            owner=self.owner,
                            lease_until=now + self._lease,
                            attempts=found.attempts + 1,
                            started_at=found.started_at or now,
                        )
                    )
                    return get(connection, found.job_id)
        return None

    def renew(self, job_id: str, rows_read: int, now: int) -> Literal["mine", "cancel", "lost"]:
        """Keep a job for another lease and tell how far it is.

        Returns
        -------
        str
            ``lost``: it is no longer this worker's; ``cancel``: it is, and is to be cancelled.
        """
        forward = jobs.c.rows_read < rows_read
        with self._database.writing() as connection:
            renewed = connection.execute(
                update(jobs)
                .where(self._mine(job_id))
                .values(
                    lease_until=now + self._lease,
                    attempts=case((forward, 0), else_=jobs.c.attempts),
                    rows_read=case((forward, rows_read), else_=jobs.c.rows_read),
                )
            )
            if not renewed.rowcount:
                return "lost"
            query = select(jobs.c.cancel_requested).where(jobs.c.job_id == job_id)
            return "cancel" if connection.execute(query).scalar_one() else "mine"

    def give_back(self, job_id: str) -> None:
        """Let another worker go on at once with what is done."""
        with self._database.writing() as connection:
            connection.execute(
                update(jobs)
                .where(self._mine(job_id))
                .values(state="queued", owner=None, lease_until=None, attempts=0)
            )

    def is_known(self, job_id: str) -> bool:
        """Whether the store has a job of this id."""
        with self._database.reading() as connection:
            return get(connection, job_id) is not None

    def is_mine(self, job_id: str) -> bool:
        """Whether this worker still has a job; asked without writing."""
        with self._database.reading() as connection:
            query = select(jobs.c.job_id).where(self._mine(job_id))
            return connection.execute(query).first() is not None

    def end(self, job_id: str, outcome: Outcome, now: int) -> bool:
        """Report how a job ended; False where it is no longer this worker's."""
        with self._database.writing() as connection:
            query = select(jobs.c.job_id).where(self._mine(job_id))
            if connection.execute(query).first() is None:
                return False
            self._end(connection, job_id, outcome, now)
        return True

    def cancel(self, job_id: str, now: int) -> tuple[JobState | None, Record | None]:
        """Cancel a job: at once where no worker has it, else as soon as its worker hears of it.

        Returns
        -------
        tuple of str and Record
            The state before and the job after; both None where there is no such job.
        """
        with self._database.writing() as connection:
            found = get(connection, job_id)
            if found is None:
                return None, None
            abandoned = found.state == "running" and (found.lease_until or 0) < now
            if found.state == "queued" or abandoned:
                self._end(connection, job_id, Outcome("cancelled", found.rows_read), now)
            elif found.state == "running":
                connection.execute(
                    update(jobs).where(jobs.c.job_id == job_id).values(cancel_requested=True)
                )
            return found.state, get(connection, job_id)

    def _mine(self, job_id: str) -> Any:
        return and_(jobs.c.job_id == job_id, jobs.c.state == "running", jobs.c.owner == self.owner)

    def _end(self, connection: Connection, job_id: str, outcome: Outcome, now: int) -> None:
        rows = None if outcome.rows is None else json.dumps(dict(sorted(outcome.rows.items())))
        connection.execute(
            update(jobs)
            .where(jobs.c.job_id == job_id)
            .values(
                state=outcome.state,
                owner=None,
                lease_until=None,
                rows_read=outcome.rows_read,
                outcomes=rows,
                reason=outcome.reason,
                results_bytes=outcome.results_bytes,
                results_sha256=outcome.results_sha256,
                finished_at=now,
                expires_at=now + self._keep,
            )
        )
