"""Forgetting a person: everything that the service keeps about them.

The tables come first, in one transaction with the tombstone. From then on the person is unknown,
whatever happens to this process. What takes longer is noted in the store until it is done, so
that whoever comes next finishes it.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from service import instants, logs
from service.background import always
from service.jobs.taking_out import TakenOut, TakingOut
from service.store import cleaning, forgetting
from service.store.database import Database
from service.store.errors import StoreUnavailable

LOG_SECONDS = 2.0
"""How long to try to empty SQLite's log while others read or write."""

AGAIN_SECONDS = 15.0
"""How often what is left undone is gone on with."""

JOBS_SECONDS = 20.0
"""How long to wait for workers to let go of a job."""

JOBS, FILE = "jobs", "file"
HOUR = 3
"""Of the day in UTC, when a large file is written anew unless told otherwise."""

_log = logging.getLogger(f"{logs.ROOT}.erasure")


@dataclass(frozen=True, slots=True)
class Erased:
    """What was removed of a person.

    Attributes
    ----------
    events, scores, decisions, job_rows : int
        Stored events, recorded scores and decisions, and rows of lists and of results.
    jobs : tuple of str
        The jobs that had such rows.
    erased_at : int
        Events from before are not taken again; microseconds since 1970-01-01 UTC.
    pending : tuple of str
        What is still being removed: ``jobs`` are rows of jobs, ``file`` the remains in SQLite's
        files.
    rewritten_at : int or None
        When its file will be written anew, likewise; None where it has been, or soon is.
    """

    events: int
    scores: int
    decisions: int
    job_rows: int
    jobs: tuple[str, ...]
    erased_at: int
    pending: tuple[str, ...]
    rewritten_at: int | None = None

    def document(self) -> dict[str, object]:
        """Render it as the contract has it."""
        return {
            "events": self.events,
            "scores": self.scores,
            "decisions": self.decisions,
            "job_rows": self.job_rows,
            "jobs": list(self.jobs),
            "erased_at": instants.text(self.erased_at),
            "pending": list(self.pending),
            "rewritten_at": None if self.rewritten_at is None else instants.text(self.rewritten_at),
        }


class _Files(NamedTuple):
    """Whether SQLite's files hold no trace any more, and otherwise until when, if that is known."""

    are_clean: bool
    rewritten_at: int | None = None


class Eraser:
    """Erases people from one store.

    Parameters
    ----------
    database : Database
        The store.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    take_out : callable
        Takes a person out of the files of jobs.
    hour : int, optional
        Of the day in UTC, when a large SQLite file is written anew.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], int],
        take_out: TakingOut,
        *,
        hour: int = HOUR,
    ) -> None:
        self._database = database
        self._take_out = take_out
        self._clock = clock
        self._hour = hour
        self._is_log_empty = False  # whoever was here before may have been killed

    def erase(self, customer_id: str, *, at_once: bool = False) -> Erased:
        """Remove everything about a person; nobody need have heard of them.

        Parameters
        ----------
        at_once : bool, optional
            Write SQLite's file anew now, however long that takes.

        Raises
        ------
        StoreUnavailable
            Nothing was removed, or it cannot be known whether it was: erase them again.
        """
        self._is_log_empty = False
        with self._database.writing() as connection:
            gone = forgetting.forget(connection, customer_id, self._clock())
        taken = self._of_jobs(customer_id)
        try:
            files = self._clean(at_once=at_once)
        except StoreUnavailable:  # the tables are rid of them, and the rest is noted
            files = _Files(are_clean=False)
        done = {JOBS: taken.is_all, FILE: files.are_clean}
        return Erased(
            events=gone.events,
            scores=gone.scores,
            decisions=gone.decisions,
            job_rows=taken.rows,
            jobs=taken.jobs,
            erased_at=gone.erased_at,
            pending=tuple(what for what, is_done in done.items() if not is_done),
            rewritten_at=files.rewritten_at,
        )

    def finish(self) -> bool:
        """Go on with what earlier erasures left undone; say whether nothing is left.

        Raises
        ------
        StoreUnavailable
            The store does not answer.
        """
        with self._database.reading() as connection:
            left = forgetting.unfinished(connection)
        is_all = True
        for customer_id in left:
            self._is_log_empty = False
            is_all &= self._of_jobs(customer_id).is_all
        return self._clean().are_clean and is_all

    def _of_jobs(self, customer_id: str) -> TakenOut:
        until = time.monotonic() + JOBS_SECONDS
        taken = self._take_out(customer_id, self._clock(), until)
        if taken.is_all:
            with self._database.writing() as connection:
                forgetting.finish(connection, customer_id, self._clock())
        return taken

    def _clean(self, *, at_once: bool = False) -> _Files:
        """Remove the last traces, if that is due."""
        since = cleaning.noted(self._database)
        if since is not None:
            due_at = cleaning.due_at(self._database, since, self._hour)
            if due_at is not None and due_at > self._clock() and not at_once:
                self._empty_log()
                return _Files(are_clean=False, rewritten_at=due_at)
            cleaning.rewrite(self._database, since)
            self._is_log_empty = False
        if not self._empty_log():
            return _Files(are_clean=False)
        if since is not None:
            _log.info("no trace is left of those who were erased")
        return _Files(are_clean=True)

    def _empty_log(self) -> bool:
        deadline = time.monotonic() + LOG_SECONDS
        while not self._is_log_empty:
            self._is_log_empty = cleaning.empty_log(self._database)
            if time.monotonic() > deadline:
                break
            if not self._is_log_empty:
                time.sleep(0.05)
        return self._is_log_empty


async def finish_always(eraser: Eraser, seconds: float = AGAIN_SECONDS) -> None:
    """Finish what erasures left undone, at once and then for ever, beside the requests."""
    await always(eraser.finish, seconds, _log, "erasures could not be finished")
