"""Taking a person out of all jobs: those that wait, those at work, and those that are done.

A job whose list holds the person is taken from its worker, by the lease, and its files from
whoever still writes there, by their lock. Then the rows leave the list, and the job waits to be
begun anew: what comes out is what a list without them would have given. Done results are written
anew without their rows.
"""

import json
import time
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, update

from service.jobs import records
from service.jobs.erasure import input_without, is_in_input, without
from service.jobs.folders import Folders
from service.jobs.job import Finished, JobFailed, Limits, results_path
from service.jobs.records import OPEN, Record
from service.jobs.worker import submitted
from service.store.database import Database
from service.store.tables import idempotency, jobs

OWNER = "erasure"
LEASE = 60_000_000
"""Microseconds that a job is kept from workers while its list is being changed."""


class TakenOut(NamedTuple):
    """How many rows went, of which jobs, and whether nothing is left to be done."""

    rows: int
    jobs: tuple[str, ...]
    is_all: bool


class TakingOut:
    """Takes people out of the jobs of one store.

    Parameters
    ----------
    database, folders
        The jobs' rows and files.
    limits : Limits
        What a customer of a list may have.
    """

    def __init__(self, database: Database, folders: Folders, limits: Limits) -> None:
        self._database = database
        self._folders = folders
        self._limits = limits

    def __call__(self, customer_id: str, now: int, until: float) -> TakenOut:
        """Take a person out of every job that was handed in before.

        Parameters
        ----------
        now : int
            Microseconds since 1970-01-01 UTC.
        until : float
            When to give up waiting for workers, of `time.monotonic`.
        """
        rows, touched, is_all = 0, list[str](), True
        self._folders.remove_abandoned()
        with self._database.reading() as connection:
            present = list(connection.scalars(select(jobs.c.job_id).order_by(jobs.c.job_id)))
        for job_id in present:
            try:
                gone = self._of_job(job_id, customer_id, now, until)
            except (JobFailed, OSError):
                gone = None
            if gone is None:
                is_all = False
            elif gone:
                rows += gone
                touched.append(job_id)
        return TakenOut(rows, tuple(touched), is_all)

    def _of_job(self, job_id: str, customer_id: str, now: int, until: float) -> int | None:
        """How many rows left a job; None if it must be tried again."""
        while True:
            job = self._get(job_id)
            if job is None:
                return 0
            if job.state not in OPEN:
                break
            try:
                if not is_in_input(
                    self._folders.of(job_id), submitted(job), customer_id, self._limits
                ):
                    return 0
                break
            except FileNotFoundError:
                # Its worker has put the results together and is about to say so, or was killed.
                if results_path(self._folders.of(job_id), submitted(job)).exists():
                    break
                if time.monotonic() > until:
                    return None
                time.sleep(0.05)
        while True:
            with self._database.writing() as connection:
                job = records.get(connection, job_id)
                if job is None:
                    return 0
                if job.state in OPEN:
                    self._seize(connection, job_id, now)
            with self._folders.working(job_id, alone=True) as is_granted:
                if is_granted:
                    return self._alone(job, customer_id)
            if time.monotonic() > until:
                if job.state in OPEN:
                    self._requeue(job_id, begun_anew=False)
                return None
            time.sleep(0.05)

    def _alone(self, job: Record, customer_id: str) -> int:
        folder, asked = self._folders.of(job.job_id), submitted(job)
        if job.state not in (*OPEN, "done"):
            self._folders.remove(job.job_id)
            return 0
        if results_path(folder, asked).exists():
            gone, results = without(folder, asked, customer_id)
            if job.state == "done":
                self._note(job, results, is_changed=bool(gone))
            else:
                self._requeue(job.job_id, begun_anew=bool(gone))
            return gone
        if job.state == "done":  # its results have expired
            return 0
        gone = input_without(folder, asked, customer_id, self._limits)
        self._requeue(job.job_id, begun_anew=bool(gone))
        return gone

    def _get(self, job_id: str) -> Record | None:
        with self._database.reading() as connection:
            return records.get(connection, job_id)

    def _seize(self, connection: Connection, job_id: str, now: int) -> None:
        """Take a job from its worker, who hears of it within a second."""
        connection.execute(
            update(jobs)
            .where(jobs.c.job_id == job_id)
            .values(state="running", owner=OWNER, lease_until=now + LEASE)
        )

    def _requeue(self, job_id: str, *, begun_anew: bool) -> None:
        values: dict[str, object] = {"state": "queued", "owner": None, "lease_until": None}
        if begun_anew:
            values |= {"attempts": 0, "rows_read": 0}
        with self._database.writing() as connection:
            connection.execute(
                update(jobs).where(jobs.c.job_id == job_id, jobs.c.owner == OWNER).values(values)
            )
            if begun_anew:
                _forget_key(connection, job_id)

    def _note(self, job: Record, results: Finished, *, is_changed: bool) -> None:
        if not is_changed and results.sha256 == job.results_sha256:
            return
        outcomes = json.dumps(dict(sorted(results.by_status.items())))
        with self._database.writing() as connection:
            connection.execute(
                update(jobs)
                .where(jobs.c.job_id == job.job_id, jobs.c.state == "done")
                .values(
                    rows_read=results.rows,
                    outcomes=outcomes,
                    results_bytes=results.size,
                    results_sha256=results.sha256,
                )
            )
            _forget_key(connection, job.job_id)


def _forget_key(connection: Connection, job_id: str) -> None:
    """Forget what was sent under which key: the fingerprint is that of a list with the person."""
    connection.execute(delete(idempotency).where(idempotency.c.job_id == job_id))
