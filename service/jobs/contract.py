"""What OpenAPI says of jobs beside what their routes say themselves."""

from typing import Any

from service import body
from service.contract import REF
from service.jobs.responses import Job

_TEXT = {"type": "string"}
_JOB_LOCATION = {
    "Location": {"description": "The job.", "schema": {"type": "string", "format": "uri-reference"}}
}
_ROWS = (
    "customers, each as in `POST /score`: ids alone, features, or events; as the page on jobs has "
    "it for each format"
)


def job_body() -> dict[str, Any]:
    """Declare the body of `POST /v1/jobs`."""
    line = '{"customer_id": "c-1042"}\n'
    return {
        "requestBody": {
            "required": True,
            "content": {
                body.NDJSON: {
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "description": f"One line each: {_ROWS}.",
                    },
                    "examples": {"ids": {"summary": "Stored customers", "value": line}},
                },
                body.CSV: {
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "description": f"A header and one row each: {_ROWS}.",
                    }
                },
                body.PARQUET: {
                    "schema": {
                        "type": "string",
                        "format": "binary",
                        "description": f"One row each: {_ROWS}.",
                    }
                },
            },
        }
    }


def submission_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the answers of `POST /v1/jobs` that are no problems."""
    job = {
        "content": {body.JSON: {"schema": {"$ref": REF + Job.__name__}}},
        "headers": _JOB_LOCATION,
    }
    return {
        200: {"description": "The job that the same request became before", **job},
        202: {"description": "The new job", **job},
    }


def cancel_responses() -> dict[int | str, dict[str, Any]]:
    """Declare the answer to the cancellation of a running job."""
    content = {body.JSON: {"schema": {"$ref": REF + Job.__name__}}}
    return {202: {"description": "The job, which ends after its chunk", "content": content}}


def results_responses(*, head: bool = False) -> dict[int | str, dict[str, Any]]:
    """Declare the answers of `/v1/jobs/{job_id}/results` that are no problems."""
    text = {"schema": {"type": "string", "format": "binary"}}
    content = {} if head else {kind: text for kind in (body.NDJSON, body.CSV, body.PARQUET)}
    tag = {"ETag": {"description": "SHA-256 of the whole, in quotes.", "schema": _TEXT}}
    ranges = {"Accept-Ranges": {"description": "`bytes`", "schema": _TEXT}, **tag}
    name = {"Content-Disposition": {"description": "A name for the file.", "schema": _TEXT}}
    part = {"Content-Range": {"description": "Which bytes, of how many.", "schema": _TEXT}}
    return {
        200: {
            "description": "All rows, in input order",
            "content": content,
            "headers": {**ranges, **name},
        },
        206: {
            "description": "The part asked for",
            "content": content,
            "headers": {**ranges, **name, **part},
        },
        304: {"description": "The client has them", "headers": tag},
    }
