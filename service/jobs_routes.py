"""`/v1/jobs`: lists of any length, scored beside the requests and kept until they are fetched."""

import re
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from service import body, contract, parameters
from service.access.gate import caller, sees_only
from service.jobs import answers, download, keys
from service.jobs import contract as of_jobs
from service.jobs.desk import Desk
from service.jobs.folders import JOB_ID
from service.jobs.job import Format
from service.jobs.records import Place, Record
from service.jobs.responses import Job, JobFormat, JobList, JobState
from service.jobs.submission import Asked, submit
from service.jobs.submission import Request as Submission
from service.problems import UNSUPPORTED_MEDIA_TYPE, FieldError, Problem, invalid_field
from service.schemas import (
    DEFAULT_REASONS,
    Instant,
    MostReasons,
    WantedDirection,
    WordsLanguage,
)
from service.state import state_of

router = APIRouter(tags=["jobs"])

MOST_LISTED = 500
_FORMATS: dict[str, Format] = {kind: name for name, kind in download.MEDIA_TYPES.items()}
_CURSOR = re.compile(r"([0-9]{1,18})-([0-9a-f]{32})")

# Declared, not checked by the framework: what is no id is a job that there is not.
JobId = Annotated[
    str, Path(description="The job.", json_schema_extra={"pattern": f"^{JOB_ID.pattern}$"})
]


class NewJob(parameters.Parameters):
    """What may be asked for a list as a whole."""

    results: Annotated[
        JobFormat | None, Field(description="Format of the results; by default the list's own.")
    ] = None
    as_of: Annotated[
        Instant | None,
        Field(description="For rows that name none; by default the instant of submission."),
    ] = None
    max_reasons: MostReasons = DEFAULT_REASONS
    direction: WantedDirection = "raises"
    language: WordsLanguage = "en"


class Listing(parameters.Paged):
    """Which jobs to list."""

    limit: Annotated[
        int, Field(ge=1, le=MOST_LISTED, description="How many a page has at most.")
    ] = 50
    state: Annotated[JobState | None, Field(description="Only jobs in this state.")] = None


_KEY = parameters.header(
    keys.HEADER,
    "Makes sending the same list again harmless: it becomes one job. 1 to 255 printable ASCII "
    "characters.",
    minLength=1,
    maxLength=keys.LONGEST,
    pattern=r"^[\x20-\x7e]+$",
)
_CONDITIONS = [
    parameters.header("If-None-Match", "Entity tags; 304 where one is that of the results."),
    parameters.header("Range", "One range of bytes; several are answered with the whole."),
    parameters.header("If-Range", "An entity tag; without a match the whole is answered."),
]


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=Job,
    responses=of_jobs.submission_responses()
    | contract.problems_of(409, 413, 415, 422, 500, 503, 507),
    openapi_extra={
        **of_jobs.job_body(),
        "parameters": [*parameters.declared(NewJob), _KEY],
    },
    operation_id="submit_job",
    summary="Submit a list of any length",
)
async def submit_job(request: Request) -> Response:
    """Take in a list as a stream and score it beside the requests.

    The model version, `as_of` and the stored events that count are those of the submission.
    """
    told = body.told(request.scope)
    input_format = _FORMATS[body.media_type(told, tuple(_FORMATS))]
    asked = parameters.read(NewJob, request.query_params)
    key = request.headers.get(keys.HEADER)
    if key is not None and not keys.is_key(key):
        raise invalid_field(
            f"{keys.HEADER} must be 1 to {keys.LONGEST} printable ASCII characters.", "", "bad_key"
        )
    state = state_of(request)
    results_format = asked.results or input_format
    _check_installed({input_format, results_format})
    loaded = state.loaded()
    shown = caller(request.scope)
    submission = Submission(
        told,
        request.receive,
        Asked(
            input_format=input_format,
            results_format=results_format,
            as_of=asked.as_of,
            max_reasons=asked.max_reasons,
            direction=asked.direction,
            language=asked.language,
        ),
        key,
        loaded,
        state.settings.max_job_bytes,
        None if shown is None else shown.client,
    )
    state.deadlines.lift()
    with state.rooms.uploads:
        job, is_new = await submit(state.jobs, submission)
    _note(request, "job_submission", job.job_id, is_new=is_new, input_bytes=job.input_bytes)
    return _answer(answers.document(job), 202 if is_new else 200, Location=answers.place(job))


@router.get(
    "/v1/jobs",
    response_model=JobList,
    responses=contract.problems_of(422, 500, 503),
    openapi_extra={"parameters": parameters.declared(Listing)},
    operation_id="list_jobs",
    summary="Jobs, newest first",
)
async def list_jobs(request: Request) -> Response:
    """List jobs a page at a time."""
    asked = parameters.read(Listing, request.query_params)
    after = None
    if asked.cursor is not None:
        found = _CURSOR.fullmatch(asked.cursor)
        if found is None:
            raise parameters.bad_cursor()
        after = Place(int(found[1]), found[2])
    desk = _desk(request)
    jobs = await desk.ask(
        partial(desk.page, asked.state, asked.limit + 1, after, sees_only(request.scope))
    )
    page = jobs[: asked.limit]
    more = len(jobs) > asked.limit
    cursor = f"{page[-1].created_at}-{page[-1].job_id}" if more else None
    return _answer({"jobs": [answers.document(job) for job in page], "next": cursor})


@router.get(
    "/v1/jobs/{job_id}",
    response_model=Job,
    responses=contract.problems_of(404, 500, 503),
    operation_id="job",
    summary="How far a job is",
)
async def job(request: Request, job_id: JobId) -> Response:
    """State, progress, and where the results are."""
    return _answer(answers.document(await _find(request, job_id)))


@router.get(
    "/v1/jobs/{job_id}/results",
    response_class=Response,
    responses=of_jobs.results_responses() | contract.problems_of(404, 409, 410, 416, 500, 503),
    openapi_extra={"parameters": _CONDITIONS},
    operation_id="job_results",
    summary="The results of a finished job",
)
async def job_results(request: Request, job_id: JobId) -> Response:
    """Rows in input order; whole or in part, and 304 where the client has them."""
    return await _results(request, job_id)


@router.head(
    "/v1/jobs/{job_id}/results",
    response_class=Response,
    responses=of_jobs.results_responses(head=True)
    | contract.problems_of(404, 409, 410, 416, 500, 503),
    openapi_extra={"parameters": _CONDITIONS},
    operation_id="job_results_head",
    summary="Size and tag of the results of a finished job",
)
async def job_results_head(request: Request, job_id: JobId) -> Response:
    """As `GET`, without the bytes."""
    return await _results(request, job_id)


@router.post(
    "/v1/jobs/{job_id}/cancel",
    response_model=Job,
    responses=of_jobs.cancel_responses() | contract.problems_of(404, 409, 500, 503),
    operation_id="cancel_job",
    summary="Cancel a job",
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """Cancel a job at once where it waits, after the chunk at hand where it runs."""
    desk, whose = _desk(request), _whose(request, job_id)

    def cancel() -> Record:
        before, found = desk.cancel(*whose)
        if before in {"done", "failed"}:
            raise answers.has_ended(before)
        # Here, since the thread goes on where nobody waits for its answer any more.
        _note(request, "job_cancellation", job_id)
        return found

    found = await desk.ask(cancel)
    return _answer(answers.document(found), 202 if found.state == "running" else 200)


@router.delete(
    "/v1/jobs/{job_id}",
    status_code=204,
    response_class=Response,
    responses=contract.problems_of(404, 500, 503),
    operation_id="delete_job",
    summary="Remove a job",
)
async def delete_job(request: Request, job_id: JobId) -> Response:
    """Remove a job, its files and its key; a running one is cancelled first."""
    desk, whose = _desk(request), _whose(request, job_id)

    def delete() -> None:
        desk.delete(*whose)
        _note(request, "job_deletion", job_id)

    await desk.ask(delete)
    return Response(status_code=204)


async def _results(request: Request, job_id: str) -> Response:
    state_of(request).deadlines.lift()
    found = await _find(request, job_id)
    desk = _desk(request)
    if found.state != "done":
        raise answers.no_results(found)
    if found.expires_at is not None and found.expires_at <= desk.clock():
        raise answers.expired()
    path = desk.folders.results(found.job_id, found.results_format)
    try:
        answer = await desk.ask(partial(download.answer, found, path, request.headers))
    except FileNotFoundError:
        raise answers.expired() from None
    if request.method == "GET" and answer.status_code != 304:  # the client has them
        _note(request, "job_results", job_id, sha256=found.results_sha256, rows=found.rows)
    return answer


def _note(request: Request, kind: str, job_id: str, **told: Any) -> None:
    """Have the audit log tell what was done to a job."""
    audit = state_of(request).audit
    if audit is not None:
        audit.act(kind, request.scope, job=job_id, **told)


def _desk(request: Request) -> Desk:
    return state_of(request).jobs


async def _find(request: Request, job_id: str) -> Record:
    desk = _desk(request)
    return await desk.ask(partial(desk.get, *_whose(request, job_id)))


def _whose(request: Request, job_id: str) -> tuple[str, str | None]:
    """The job that is asked for, and whose it must be."""
    if JOB_ID.fullmatch(job_id) is None:
        raise answers.unknown_job()
    return job_id, sees_only(request.scope)


def _answer(content: dict[str, Any], status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type=body.JSON)


def _check_installed(formats: set[Format]) -> None:
    if "parquet" in formats and find_spec("pyarrow") is None:
        raise Problem(
            UNSUPPORTED_MEDIA_TYPE,
            "Parquet is not installed on this server; its operator adds it by installing "
            "keepwell[arrow]. Send and ask for NDJSON or CSV meanwhile.",
            (FieldError("", "arrow_not_installed"),),
        )
