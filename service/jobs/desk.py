"""Where jobs are handed in and asked after: what the endpoints of jobs share."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from churn.policy.contacts import Contact
from service.instants import MICROSECONDS_PER_DAY
from service.jobs import records
from service.jobs.answers import unknown_job
from service.jobs.folders import Folders
from service.jobs.job import Limits
from service.jobs.queue import Queue
from service.jobs.records import Place, Record
from service.jobs.responses import JobState
from service.jobs.run import run
from service.jobs.worker import Worker, own_name
from service.marks import Marks
from service.metrics import Metrics
from service.models import Loaded
from service.settings import Settings
from service.store.contacts import contacts_of
from service.store.database import Database
from service.store.histories import Histories
from service.store.outcomes import any_delivered

THREADS = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """The jobs of one app.

    Attributes
    ----------
    database, folders, queue
        Their rows and files.
    worker : Worker
        Who works on them.
    received : callable
        Number of the last write of events to the store.
    marks : callable
        How far the feeds have come.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    limits : Limits
        What a customer of a list may have.
    threads : ThreadPoolExecutor
        Where the store is asked, so that nobody else waits for it.
    """

    database: Database
    folders: Folders
    queue: Queue
    worker: Worker
    received: Callable[[], int]
    marks: Callable[[], Marks]
    clock: Callable[[], int]
    limits: Limits
    threads: ThreadPoolExecutor

    def start(self) -> None:
        """Begin to work on jobs."""
        self.worker.start()

    def stop(self) -> None:
        """Finish the chunk at hand and end."""
        self.worker.stop()
        self.threads.shutdown(wait=False)

    async def ask(self, question: Callable[[], T]) -> T:
        """Do something that waits for the store or the disk."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, question)

    def get(self, job_id: str, client: str | None = None) -> Record:
        """Return a job: a client's, or anybody's.

        Raises
        ------
        Problem
            There is none of this id, or it is another client's, which nobody else hears of.
        """
        with self.database.reading() as connection:
            found = records.get(connection, job_id)
        if found is None or (client is not None and found.client != client):
            raise unknown_job()
        return found

    def page(
        self, state: JobState | None, limit: int, after: Place | None, client: str | None = None
    ) -> list[Record]:
        """List jobs, newest first: a client's, or all."""
        return records.page(self.database, state=state, limit=limit, after=after, client=client)

    def cancel(self, job_id: str, client: str | None = None) -> tuple[JobState, Record]:
        """Cancel a job; return the state it was in, and what it is now.

        Raises
        ------
        Problem
            As of `get`.
        """
        self.get(job_id, client)
        before, job = self.queue.cancel(job_id, self.clock())
        if before is None or job is None:
            raise unknown_job()
        if job.state == "cancelled":
            self.folders.remove(job_id)
        return before, job

    def delete(self, job_id: str, client: str | None = None) -> None:
        """Remove a job with its key and files; who works on it hears of it and stops.

        Raises
        ------
        Problem
            As of `get`.
        """
        self.get(job_id, client)
        with self.database.writing() as connection:
            known = records.remove(connection, job_id)
        if not known:
            raise unknown_job()
        self.folders.remove(job_id)


def delivered_by(
    database: Database, customer_ids: Sequence[str], since: int, told_by: int
) -> Mapping[str, Sequence[Contact]]:
    """What was delivered after an instant, and had been told by another: `jobs.job.Delivered`."""
    with database.reading() as connection:
        if not any_delivered(connection):
            return {}
        return contacts_of(connection, customer_ids, since, told_by)


def opened(
    settings: Settings,
    database: Database,
    *,
    histories: Histories,
    model: Callable[[str], Loaded],
    metrics: Metrics,
    marks: Callable[[], Marks],
    clock: Callable[[], int],
) -> Desk:
    """Make the jobs of an app; its worker is not started yet."""
    folders = Folders(settings.jobs_dir)
    queue = Queue(
        database,
        own_name(),
        lease=round(settings.job_lease_seconds * 1e6),
        keep=round(settings.jobs_keep_days * MICROSECONDS_PER_DAY),
    )
    limits = Limits(settings.max_body_bytes, settings.max_events)
    worker = Worker(
        database,
        folders,
        queue,
        model=model,
        read=histories.read,
        delivered=partial(delivered_by, database),
        metrics=metrics,
        clock=clock,
        run=partial(run, limits=limits, metrics=metrics),
    )
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="keepwell-jobs-desk")
    return Desk(database, folders, queue, worker, histories.received, marks, clock, limits, threads)
