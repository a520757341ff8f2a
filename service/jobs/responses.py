"""What is answered about jobs."""

from typing import Annotated, Literal

from pydantic import Field

from churn.reasons import Direction
from churn.words import Language
from service.responses import Exact

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobFormat = Literal["ndjson", "csv", "parquet"]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class JobResults(Exact):
    """Where a finished job's results are, and what they are."""

    href: str
    media_type: str
    bytes: int
    sha256: Annotated[str, Field(description="Hexadecimal; in quotes, the `ETag` too.")]


class Job(Exact):
    """A list of customers, and how far its scoring is."""

    job_id: str
    state: JobState
    cancel_requested: Annotated[
        bool, Field(description="Asked for while it ran; it ends after the chunk at hand.")
    ]
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at: Annotated[
        Timestamp | None, Field(description="When an ended job and its results are removed.")
    ]
    input_format: JobFormat
    input_bytes: int
    results_format: JobFormat
    as_of: Annotated[Timestamp, Field(description="For rows that name none.")]
    model_version: Annotated[str, Field(description="Pinned at submission.")]
    max_reasons: int
    direction: Direction
    language: Language
    rows_read: Annotated[int, Field(description="Rows done so far.")]
    rows: Annotated[
        dict[str, int] | None,
        Field(description="Rows by `status`, and refused ones as `error`; null until done."),
    ]
    reason: Annotated[str | None, Field(description="Why the job failed.")]
    results: Annotated[JobResults | None, Field(description="Null until done.")]


class JobList(Exact):
    """Jobs, newest first."""

    jobs: list[Job]
    next: Annotated[
        str | None, Field(description="The `cursor` of the next page; null on the last.")
    ]
