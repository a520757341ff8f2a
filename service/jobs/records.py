"""The rows of jobs in the store: added, read, listed, removed."""

import json
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, get_args

from sqlalchemy import and_, delete, func, insert, or_, select
from sqlalchemy.engine import Connection, Row

from churn.reasons import Direction
from churn.words import Language
from service.jobs.job import Format
from service.jobs.responses import JobState
from service.store.database import Database
from service.store.tables import idempotency, jobs

STATES: tuple[JobState, ...] = get_args(JobState)
OPEN: tuple[JobState, ...] = ("queued", "running")
"""States that a job leaves again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One job's row. Instants are microseconds since 1970-01-01 UTC.

    Attributes
    ----------
    received : int
        Number of the last write of events before the submission; later ones are not read.
    owner, lease_until
        The worker that has the job, and until when others leave it alone.
    attempts : int
        Times that it was begun since it last came forward.
    client : str
        Whose key submitted it; None where nobody was asked for a key.
    marks : str
        How far the feeds had come at the submission, as `service.marks.Marks` has it.
    outcomes : str
        Rows by outcome, as a JSON object, once it is done.
    """

    job_id: str
    state: JobState
    created_at: int
    input_format: Format
    input_bytes: int
    results_format: Format
    as_of: int
    received: int
    model_version: str
    max_reasons: int
    direction: Direction
    language: Language
    marks: str | None = None
    client: str | None = None
    cancel_requested: bool = False
    owner: str | None = None
    lease_until: int | None = None
    attempts: int = 0
    rows_read: int = 0
    outcomes: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    reason: str | None = None
    results_bytes: int | None = None
    results_sha256: str | None = None

    @property
    def rows(self) -> dict[str, int] | None:
        """Rows by outcome."""
        counts: dict[str, int] | None = json.loads(self.outcomes) if self.outcomes else None
        return counts


_NAMES = tuple(field.name for field in fields(Record))


def record(row: Row[Any]) -> Record:
    """Make a record of a row of `jobs`."""
    given = row._mapping
    return Record(**{name: given[name] for name in _NAMES})


class Place(NamedTuple):
    """Where a page of the list ends: the last job on it."""

    created_at: int
    job_id: str


def add(connection: Connection, new: Record) -> None:
    """Add a job."""
    connection.execute(insert(jobs).values({name: getattr(new, name) for name in _NAMES}))


def get(connection: Connection, job_id: str) -> Record | None:
    """Return a job, or None where there is none of this id."""
    row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).first()
    return None if row is None else record(row)


def remove(connection: Connection, job_id: str) -> bool:
    """Remove a job and the key that it was sent with; say whether it was there."""
    connection.execute(delete(idempotency).where(idempotency.c.job_id == job_id))
    return connection.execute(delete(jobs).where(jobs.c.job_id == job_id)).rowcount > 0


def page(
    database: Database,
    *,
    state: JobState | None,
    limit: int,
    after: Place | None,
    client: str | None = None,
) -> list[Record]:
    """List jobs, newest first: a client's, or all."""
    query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.job_id.desc()).limit(limit)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if client is not None:
        query = query.where(jobs.c.client == client)
    if after is not None:
        query = query.where(
            or_(
                jobs.c.created_at < after.created_at,
                and_(jobs.c.created_at == after.created_at, jobs.c.job_id < after.job_id),
            )
        )
    with database.reading() as connection:
        return [record(row) for row in connection.execute(query)]


def counts(database: Database) -> dict[JobState, int]:
    """Count the jobs in each state."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    with database.reading() as connection:
        found = {state: count for state, count in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}
