"""The worker: takes jobs from the store one after the other and carries each to its end.

Two threads. One scores. The other keeps the lease of the job at hand, clears away what has expired
and counts the jobs for the metrics. The rows of a chunk are scored by kernels that let the
interpreter go, and between them the event loop gets it back at once (`service.server`).
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from churn.errors import ModelError
from service import logs
from service.jobs.folders import Folders
from service.jobs.hold import Hold, Stopped
from service.jobs.job import CHUNK, Delivered, Finished, Job, JobFailed, KeepGoing, Read
from service.jobs.queue import Outcome, Queue
from service.jobs.records import STATES, Record, counts
from service.jobs.sweep import sweep
from service.marks import Marks
from service.metrics import Metrics
from service.models import Loaded
from service.store.database import Database
from service.store.errors import StoreUnavailable

POLL_SECONDS = 1.0
"""How often the store is asked for jobs that other processes were sent."""

KEEP_SECONDS = 1.0
"""How often a job's lease is renewed and its progress told: a round of the keeper."""

ROUNDS_TO_SWEEP, ROUNDS_TO_COUNT = 300, 5
STOP_SECONDS = 20.0
"""How long a worker may take to finish its chunk when the service stops."""

_log = logging.getLogger(f"{logs.ROOT}.jobs")


class Run(Protocol):
    """Scores a job."""

    def __call__(
        self,
        folder: Path,
        job: Job,
        loaded: Loaded,
        read: Read,
        *,
        keep_going: KeepGoing,
        delivered: Delivered | None = ...,
        chunk: int = ...,
    ) -> Finished | None:
        """Work on a job; None if it was asked to stop."""
        ...


def own_name() -> str:
    """Make a name that no other worker of the store has."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Worker:
    """Works on the jobs of one store, one at a time.

    Parameters
    ----------
    database : Database
        The store.
    folders : Folders
        The jobs' files.
    queue : Queue
        The jobs' table, under this worker's name.
    model : callable
        Returns the model of a version, loaded.
    read : callable
        Reads stored histories.
    delivered : callable
        Reads what was delivered.
    metrics : Metrics
        Told of jobs and rows.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    run : callable
        Scores a job: `service.jobs.run.run`.
    chunk : int, optional
        Rows between two checkpoints.
    """

    def __init__(
        self,
        database: Database,
        folders: Folders,
        queue: Queue,
        *,
        model: Callable[[str], Loaded],
        read: Read,
        delivered: Delivered,
        metrics: Metrics,
        clock: Callable[[], int],
        run: Run,
        chunk: int = CHUNK,
    ) -> None:
        self._database = database
        self._folders = folders
        self._queue = queue
        self._model = model
        self._read = read
        self._delivered = delivered
        self._metrics = metrics
        self._clock = clock
        self._run = run
        self._chunk = chunk
        self._held: Hold | None = None
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="keepwell-jobs", daemon=True),
            threading.Thread(target=self._keep, name="keepwell-jobs-keeper", daemon=True),
        ]
        for state in STATES:
            metrics.jobs.labels(state).set(0)

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Tell of a new job, which is then begun at once."""
        self._woken.set()

    def stop(self) -> None:
        """Finish the chunk at hand, give the job back and end."""
        self._stopping.set()
        self._woken.set()
        held = self._held
        if held is not None:
            held.stop("shutdown")
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(STOP_SECONDS)

    def step(self) -> bool:
        """Take the next job and work on it; False where there is none."""
        taken = self._queue.take(self._clock())
        if taken is None:
            return False
        held = self._held = Hold(taken)
        if self._stopping.is_set():
            held.stop("shutdown")
        try:
            with self._folders.working(taken.job_id) as is_granted:
                if not is_granted:  # somebody is being taken out of it: another time
                    return False
                self._carry(held)
        except Stopped:
            self._let_go(held)
        finally:
            self._held = None
        return True

    def _carry(self, held: Hold) -> None:
        """Work on a job until it ends.

        Raises
        ------
        Stopped
            It is to be left as it is.
        """
        outcome = self._outcome(held)
        ours = True
        if outcome.state == "failed":
            self._make_room(held.job.job_id)

        def report() -> None:
            nonlocal ours
            ours = self._queue.end(held.job.job_id, outcome, self._clock())

        held.patiently(report)
        if not ours:
            held.stop("lost")
            raise Stopped
        if outcome.state != "done":
            self._remove_files(held.job.job_id)
        for status, count in (outcome.rows or {}).items():
            self._metrics.job_rows[status].inc(count)
        fields = {"job": held.job.job_id, "state": outcome.state, "rows": outcome.rows_read}
        _log.info("job ended", extra={"fields": fields})

    def _outcome(self, held: Hold) -> Outcome:
        """Score a job and say how it ended."""
        job = held.job
        try:
            finished = self._run(
                self._folders.of(job.job_id),
                submitted(job),
                self._model(job.model_version),
                held.reader(self._read),
                keep_going=held.keep_going,
                delivered=held.reader(self._delivered),
                chunk=self._chunk,
            )
        except Stopped:
            finished = None
        except JobFailed as error:
            return Outcome("failed", held.rows_read, reason=str(error))
        except ModelError as error:
            _log.error("a job's model cannot be used", extra={"fields": {"error": str(error)}})
            reason = (
                f"the model version {job.model_version}, which the job was submitted for, cannot "
                "be loaded any more; submit the list again"
            )
            return Outcome("failed", held.rows_read, reason=reason)
        except Exception:
            # Its folder may have gone because the job was deleted or taken: the row tells.
            held.renew(self._queue, self._clock())
            if held.why is None:
                _log.exception("job failed", extra={"fields": {"job": job.job_id}})
                reason = f"the service failed; its log has the details under job {job.job_id}"
                return Outcome("failed", held.rows_read, reason=reason)
            finished = None
        if finished is None:
            if held.why == "cancel":
                return Outcome("cancelled", held.rows_read)
            raise Stopped
        return Outcome(
            "done",
            finished.rows,
            finished.by_status,
            results_bytes=finished.size,
            results_sha256=finished.sha256,
        )

    def _make_room(self, job_id: str) -> None:
        """Give the disk back what a failed job took: the store may need it to hear of the failure.

        The input stays until then, so that a job which is not reported ends the same next time.
        """
        try:
            ours = self._queue.is_mine(job_id)
        except StoreUnavailable:
            return
        if ours:
            self._folders.remove_parts(job_id)

    def _let_go(self, held: Hold) -> None:
        """Leave a job to others, or its remains to nobody."""
        job_id = held.job.job_id
        try:
            if held.why == "shutdown":
                self._queue.give_back(job_id)
            elif not self._queue.is_known(job_id):
                self._remove_files(job_id)  # deleted while we wrote there
        except StoreUnavailable:
            return  # the lease ends by itself, and the sweep finds what nobody knows

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                found = self.step()
            except StoreUnavailable:
                found = False
            except Exception:
                _log.exception("the worker of jobs goes on after a fault")
                found = False
            if not found:
                self._woken.wait(POLL_SECONDS)

    def _keep(self) -> None:
        rounds = 0
        while True:
            held = self._held
            try:
                if held is not None:
                    held.renew(self._queue, self._clock())
                if rounds % ROUNDS_TO_SWEEP == 0:
                    sweep(self._database, self._folders, self._clock())
                if rounds % ROUNDS_TO_COUNT == 0:
                    self._count()
            except StoreUnavailable:
                pass
            except Exception:
                _log.exception("the keeper of jobs goes on after a fault")
            rounds += 1
            if self._stopping.wait(KEEP_SECONDS):
                return

    def _count(self) -> None:
        for state, count in counts(self._database).items():
            self._metrics.jobs.labels(state).set(count)

    def _remove_files(self, job_id: str) -> None:
        try:
            self._folders.remove(job_id)
        except OSError:
            _log.exception("a job's files could not be removed", extra={"fields": {"job": job_id}})


def submitted(row: Record) -> Job:
    """What of a job's row its scoring depends on."""
    return Job(
        job_id=row.job_id,
        input_format=row.input_format,
        results_format=row.results_format,
        as_of=row.as_of,
        received=row.received,
        model_version=row.model_version,
        max_reasons=row.max_reasons,
        direction=row.direction,
        language=row.language,
        marks=None if row.marks is None else Marks.decode(row.marks),
        submitted_at=row.created_at,
    )
