"""What is said of a job: its document, and why there is nothing to fetch."""

from typing import Any

from service import instants
from service.jobs.download import MEDIA_TYPES
from service.jobs.records import OPEN, Record
from service.problems import (
    JOB_HAS_ENDED,
    NO_RESULTS,
    RESULTS_EXPIRED,
    UNKNOWN_JOB,
    FieldError,
    Problem,
)

ASK_AGAIN_SECONDS = 5
"""When to ask again for the results of a job that is not done."""


def document(job: Record) -> dict[str, Any]:
    """Render a job as the contract has it."""
    results = None
    if job.state == "done":
        results = {
            "href": f"{place(job)}/results",
            "media_type": MEDIA_TYPES[job.results_format],
            "bytes": job.results_bytes,
            "sha256": job.results_sha256,
        }
    return {
        "job_id": job.job_id,
        "state": job.state,
        "cancel_requested": job.cancel_requested,
        "created_at": instants.text(job.created_at),
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
        "expires_at": _text(job.expires_at),
        "input_format": job.input_format,
        "input_bytes": job.input_bytes,
        "results_format": job.results_format,
        "as_of": instants.text(job.as_of),
        "model_version": job.model_version,
        "max_reasons": job.max_reasons,
        "direction": job.direction,
        "language": job.language,
        "rows_read": job.rows_read,
        "rows": job.rows,
        "reason": job.reason,
        "results": results,
    }


def place(job: Record) -> str:
    """The path of a job."""
    return f"/v1/jobs/{job.job_id}"


def _text(micros: int | None) -> str | None:
    return None if micros is None else instants.text(micros)


def no_results(job: Record) -> Problem:
    """Make the problem of a job that is not done."""
    if job.state in OPEN:
        return Problem(
            NO_RESULTS,
            f"The job is {job.state}; ask again later.",
            (FieldError("", "not_done"),),
            {"Retry-After": str(ASK_AGAIN_SECONDS)},
        )
    code = "job_failed" if job.state == "failed" else "job_cancelled"
    why = f": {job.reason}" if job.reason else ""
    return Problem(NO_RESULTS, f"The job is {job.state}{why}.", (FieldError("", code),))


def expired() -> Problem:
    """Make the problem of results that are not kept any more."""
    return Problem(
        RESULTS_EXPIRED,
        "The results were kept for as long as KEEPWELL_JOBS_KEEP_DAYS says and are gone; submit "
        "the list again.",
        (FieldError("", "results_expired"),),
    )


def has_ended(state: str) -> Problem:
    """Make the problem of a job that cannot be cancelled any more."""
    return Problem(
        JOB_HAS_ENDED,
        f"The job is {state} and cannot be cancelled; DELETE removes it.",
        (FieldError("", "job_has_ended"),),
    )


def unknown_job() -> Problem:
    """Make the problem of an id that no job has."""
    return Problem(
        UNKNOWN_JOB,
        "No job has this id: there never was one, or it was deleted or expired; GET /v1/jobs "
        "lists all.",
    )
