"""Jobs over HTTP, in one process: what is taken in, told, fetched, refused and removed."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from churn.registry import Registry
from service import instants, models
from service.jobs import receiving
from service.jobs.desk import Desk
from service.models import Loaded
from service.settings import Settings
from tests.contract.client import NOW, AppClient, build, customer

NDJSON = {"content-type": "application/x-ndjson"}
LIST = (
    b"".join(json.dumps(customer(customer_id=f"c-{at}")).encode() + b"\n" for at in range(3))
    + b'{"customer_id": "c-3", "features": {"purchase_30d": 1}}\n'
)


class Service:
    """A client of one app, and the app's desk and files."""

    def __init__(self, client: AppClient) -> None:
        self.client = client
        self.desk: Desk = client.app.state.keepwell.jobs
        self.root: Path = client.app.state.keepwell.settings.jobs_dir

    def submit(self, body: bytes = LIST, query: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request("POST", f"/v1/jobs{query}", content=body, headers=NDJSON | named)

    def leave_midway(self, **headers: str) -> None:
        """Send half a list, then hang up."""
        messages = iter(
            [
                {"type": "http.request", "body": LIST, "more_body": True},
                {"type": "http.disconnect"},
            ]
        )

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: Any) -> None:
            raise AssertionError("an answer to nobody")

        named = NDJSON | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": "/v1/jobs",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        asyncio.run(self.client.app(scope, receive, send))

    def work(self) -> None:
        while self.desk.worker.step():
            pass

    def finished(self, body: bytes = LIST, query: str = "") -> dict[str, Any]:
        place = self.submit(body, query).headers["location"]
        self.work()
        job: dict[str, Any] = self.client.get(place).json()
        assert job["state"] == "done", job
        return job

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()
        )


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    version = Registry(published).current()
    assert version is not None
    return models.load(published / version)


@pytest.fixture
def service(published: Path, loaded: Loaded) -> Iterator[Service]:
    settings = Settings(models_dir=published, max_job_bytes=100_000)
    with build(settings, load=lambda path: loaded) as client:
        yield Service(client)


def refused(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"/problems/{kind}"
    return problem


def test_a_list_becomes_a_job_that_is_promised_with_what_is_pinned(service: Service) -> None:
    answer = service.submit()
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    assert job["state"] == "queued"
    assert job["as_of"] == job["created_at"] == instants.text(NOW)
    assert job["model_version"] == service.client.get("/v1/model").json()["model_version"]
    assert (job["input_format"], job["results_format"]) == ("ndjson", "ndjson")
    assert job["input_bytes"] == len(LIST)
    assert (job["rows"], job["results"]) == (None, None)
    kept = [f"{job['job_id']}/{name}" for name in ("input", "policy.json")]
    assert service.files() == kept
    assert (service.root / job["job_id"] / "input").read_bytes() == LIST
    assert service.client.get(answer.headers["location"]).json() == job


def test_a_finished_job_has_its_rows_counted_and_its_results_in_order(service: Service) -> None:
    job = service.finished()
    assert job["rows"] == {"error": 1, "scored": 3}
    assert job["rows_read"] == 4
    assert job["expires_at"] == instants.text(NOW + 7 * 86_400_000_000)
    answer = service.client.get(job["results"]["href"])
    assert answer.status_code == 200
    assert len(answer.content) == job["results"]["bytes"]
    assert hashlib.sha256(answer.content).hexdigest() == job["results"]["sha256"]
    assert answer.headers["etag"] == f'"{job["results"]["sha256"]}"'
    assert answer.headers["content-type"].split(";")[0] == "application/x-ndjson"
    named = f'attachment; filename="keepwell-{job["job_id"]}.ndjson"'
    assert answer.headers["content-disposition"] == named
    rows = [json.loads(line) for line in answer.content.splitlines()]
    assert [row["customer_id"] for row in rows[:3]] == ["c-0", "c-1", "c-2"]
    assert service.files() == [f"{job['job_id']}/results.ndjson"]
    assert service.client.metric("job_rows_total", outcome="scored") == 3


def test_rows_are_scored_as_single_requests_are(service: Service) -> None:
    job = service.finished(query="?as_of=2026-11-20T00:00:00Z&max_reasons=2&language=ru")
    (row, *_) = service.client.get(job["results"]["href"]).content.splitlines()
    alone = service.client.post("/score", customer(customer_id="c-0", max_reasons=2, language="ru"))
    assert json.loads(row)["churn_probability"] == alone.json()["churn_probability"]
    assert json.loads(row)["reasons"] == alone.json()["reasons"]
    assert job["as_of"] == "2026-11-20T00:00:00Z"


def test_results_may_be_asked_for_in_another_format(service: Service) -> None:
    job = service.finished(query="?results=csv")
    answer = service.client.get(job["results"]["href"])
    assert answer.headers["content-type"].split(";")[0] == "text/csv"
    assert answer.text.startswith("customer_id,")


@pytest.mark.parametrize(
    ("query", "pointer", "code", "hint"),
    [
        ("?result=csv", "", "unknown_parameter", "`results`"),
        ("?zzz=1", "", "unknown_parameter", "known are `results`, `as_of`"),
        ("?results=xml", "/results", "unknown_value", "'ndjson', 'csv' or 'parquet'"),
        ("?results=csv&results=csv", "/results", "duplicate_key", "more than once"),
        ("?max_reasons=9", "/max_reasons", "too_big", "at most 8"),
        ("?max_reasons=1.0", "/max_reasons", "not_an_integer", "whole number"),
        ("?max_reasons=", "/max_reasons", "not_an_integer", "whole number"),
        ("?as_of=yesterday", "/as_of", "bad_instant", "RFC 3339"),
        ("?as_of=2026-11-21T00:00:00", "/as_of", "no_offset", "offset"),
        ("?direction=up", "/direction", "unknown_value", "'raises' or 'both'"),
        ("?language=de", "/language", "unknown_value", "'en' or 'ru'"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    service: Service, query: str, pointer: str, code: str, hint: str
) -> None:
    problem = refused(service.submit(query=query), 422, "invalid-field")
    assert {"pointer": pointer, "code": code} in problem["errors"]
    assert hint in problem["detail"]
    assert not service.root.exists()


def test_formats_that_are_not_taken_are_refused(service: Service) -> None:
    for kind in ("application/json", "text/plain", ""):
        refused(service.submit(content_type=kind), 415, "unsupported-media-type")
    refused(service.submit(content_encoding="gzip"), 415, "unsupported-media-type")


def test_an_empty_list_is_refused_and_leaves_nothing(service: Service) -> None:
    refused(service.submit(b""), 422, "invalid-field")
    assert service.files() == []


def test_a_list_that_is_too_large_is_refused_by_its_length_or_on_the_way(
    service: Service,
) -> None:
    refused(service.submit(b"x" * 100_001), 413, "too-large")
    assert not service.root.exists()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    answer = service.client.stream("/v1/jobs", endless(), **NDJSON)
    assert refused(answer, 413, "too-large")["errors"][0]["code"] == "body_too_large"
    assert answer.headers["connection"] == "close"
    assert service.files() == []
    assert service.client.get("/v1/jobs").json() == {"jobs": [], "next": None}


def test_without_a_model_nothing_is_taken_in(empty_client: AppClient) -> None:
    refused(Service(empty_client).submit(), 503, "model-unavailable")


def test_a_client_that_leaves_midway_leaves_nothing(service: Service) -> None:
    service.leave_midway()
    assert service.files() == []
    assert service.client.get("/v1/jobs").json()["jobs"] == []


def test_the_same_key_and_list_are_one_job(service: Service) -> None:
    first = service.submit(idempotency_key="order 7")
    again = service.submit(idempotency_key="order 7")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    other = service.submit(idempotency_key="order 8")
    assert other.headers["location"] != first.headers["location"]
    service.work()
    assert service.submit(idempotency_key="order 7").json()["state"] == "done"
    assert len(service.client.get("/v1/jobs").json()["jobs"]) == 2


@pytest.mark.parametrize(
    ("body", "query", "kind"),
    [
        (LIST + b"{}\n", "", "application/x-ndjson"),
        (LIST.replace(b"c-1", b"c-7"), "", "application/x-ndjson"),
        (LIST, "?results=csv", "application/x-ndjson"),
        (LIST, "?as_of=2026-11-20T00:00:00Z", "application/x-ndjson"),
        (LIST, "", "text/csv"),
    ],
)
def test_the_same_key_for_something_else_is_refused(
    service: Service, body: bytes, query: str, kind: str
) -> None:
    service.submit(idempotency_key="k")
    answer = service.submit(body, query, idempotency_key="k", content_type=kind)
    refused(answer, 422, "idempotency-conflict")
    assert len(service.client.get("/v1/jobs").json()["jobs"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "naïve"])
def test_what_is_no_key_is_refused(service: Service, key: str) -> None:
    answer = service.client.request(
        "POST",
        "/v1/jobs",
        content=LIST,
        headers=[
            (b"content-type", b"application/x-ndjson"),
            (b"idempotency-key", key.encode("latin-1")),
        ],
    )
    assert refused(answer, 422, "invalid-field")["errors"][0]["code"] == "bad_key"


def test_a_key_whose_list_was_not_whole_is_free_again(service: Service) -> None:
    service.leave_midway(idempotency_key="k")
    assert service.files() == []
    assert service.submit(idempotency_key="k").status_code == 202


def test_a_key_is_told_to_be_in_flight_while_its_list_comes_in(service: Service) -> None:
    answers: list[httpx.Response] = []

    async def slowly() -> AsyncIterator[bytes]:
        yield LIST[:100]
        transport = httpx.ASGITransport(app=service.client.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://k.test") as other:
            headers = NDJSON | {"idempotency-key": "k"}
            answers.append(await other.post("/v1/jobs", content=LIST, headers=headers))
        yield LIST[100:]

    first = service.client.stream("/v1/jobs", slowly(), **NDJSON, **{"idempotency-key": "k"})
    assert first.status_code == 202
    refused(answers[0], 409, "key-in-flight")
    assert answers[0].headers["retry-after"] == "1"
    assert service.submit(idempotency_key="k").json() == first.json()


def test_a_key_of_a_deleted_job_is_free(service: Service) -> None:
    first = service.submit(idempotency_key="k").headers["location"]
    assert service.client.request("DELETE", first).status_code == 204
    again = service.submit(idempotency_key="k")
    assert again.status_code == 202
    assert again.headers["location"] != first


def test_jobs_are_listed_in_pages_and_by_state(service: Service) -> None:
    places = [service.submit().headers["location"] for _ in range(5)]
    service.client.post(f"{places[0]}/cancel", b"")
    first = service.client.get("/v1/jobs?limit=3").json()
    assert len(first["jobs"]) == 3
    second = service.client.get(f"/v1/jobs?limit=3&cursor={first['next']}").json()
    assert second["next"] is None
    listed = [job["job_id"] for page in (first, second) for job in page["jobs"]]
    assert sorted(listed) == sorted(place.rsplit("/", 1)[1] for place in places)
    (cancelled,) = service.client.get("/v1/jobs?state=cancelled").json()["jobs"]
    assert f"/v1/jobs/{cancelled['job_id']}" == places[0]


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=501", "?state=lost", "?cursor=x", "?stat=done"]
)
def test_a_wrong_listing_is_refused(service: Service, query: str) -> None:
    refused(service.client.get(f"/v1/jobs{query}"), 422, "invalid-field")


def test_results_are_answered_in_parts(service: Service) -> None:
    job = service.finished()
    href, size = job["results"]["href"], job["results"]["bytes"]
    whole = service.client.get(href)
    assert whole.headers["accept-ranges"] == "bytes"

    def part(text: str, **headers: str) -> httpx.Response:
        return service.client.get(href, headers={"range": text, **headers})

    for text, expected in [
        ("bytes=0-9", slice(0, 10)),
        ("bytes=10-", slice(10, None)),
        ("bytes=-7", slice(size - 7, None)),
        (f"bytes=5-{size + 99}", slice(5, None)),
        (f"bytes=-{size + 99}", slice(0, None)),
    ]:
        answer = part(text)
        assert answer.status_code == 206, text
        assert answer.content == whole.content[expected]
        start = expected.start
        last = start + len(answer.content) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{last}/{size}"
        assert answer.headers["etag"] == whole.headers["etag"]
    for text in ("bytes=9-5", "rows=0-1", "bytes", "bytes=a-b", "bytes=0-1,3-4", "bytes=-"):
        answer = part(text)
        assert (answer.status_code, answer.content) == (200, whole.content), text
    for text in (f"bytes={size}-", "bytes=-0"):
        answer = part(text)
        refused(answer, 416, "range-not-satisfiable")
        assert answer.headers["content-range"] == f"bytes */{size}"
    tag = whole.headers["etag"]
    assert part("bytes=0-9", **{"if-range": tag}).status_code == 206
    for other in ('"other"', f"W/{tag}", whole.headers["last-modified"]):
        assert part("bytes=0-9", **{"if-range": other}).status_code == 200


def test_results_are_not_sent_to_who_has_them(service: Service) -> None:
    href = service.finished()["results"]["href"]
    tag = service.client.get(href).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = service.client.get(href, headers={"if-none-match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["etag"] == tag
    for other in ('"x"', tag.strip('"')):
        assert service.client.get(href, headers={"if-none-match": other}).status_code == 200


def test_head_tells_of_the_results_without_them(service: Service) -> None:
    href = service.finished()["results"]["href"]
    whole, head = service.client.get(href), service.client.request("HEAD", href)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type", "content-disposition"):
        assert head.headers[name] == whole.headers[name]


def test_there_are_no_results_before_the_end(service: Service) -> None:
    place = service.submit().headers["location"]
    answer = service.client.get(f"{place}/results")
    problem = refused(answer, 409, "no-results")
    assert problem["errors"][0]["code"] == "not_done"
    assert answer.headers["retry-after"] == "5"
    service.client.post(f"{place}/cancel", b"")
    problem = refused(service.client.get(f"{place}/results"), 409, "no-results")
    assert problem["errors"][0]["code"] == "job_cancelled"


def test_a_list_that_cannot_be_read_fails_with_the_reason(service: Service) -> None:
    place = service.submit(content_type="text/csv").headers["location"]
    service.work()
    job = service.client.get(place).json()
    assert job["state"] == "failed"
    problem = refused(service.client.get(f"{place}/results"), 409, "no-results")
    assert job["reason"] in problem["detail"]
    assert problem["errors"][0]["code"] == "job_failed"
    assert service.files() == []


def test_expired_results_are_gone(service: Service, published: Path) -> None:
    href = service.finished()["results"]["href"]
    service.desk.folders.remove(href.split("/")[3])
    refused(service.client.get(href), 410, "results-expired")


def test_a_waiting_job_is_cancelled_once_and_for_all(service: Service) -> None:
    place = service.submit().headers["location"]
    answer = service.client.post(f"{place}/cancel", b"")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert service.files() == []
    assert service.client.post(f"{place}/cancel", b"").json() == answer.json()
    service.work()
    assert service.client.get(place).json()["state"] == "cancelled"


def test_a_finished_job_is_not_cancelled_but_deleted(service: Service) -> None:
    job = service.finished()
    place = f"/v1/jobs/{job['job_id']}"
    refused(service.client.post(f"{place}/cancel", b""), 409, "job-has-ended")
    answer = service.client.request("DELETE", place)
    assert (answer.status_code, answer.content) == (204, b"")
    assert service.files() == []
    for method, path in (
        ("GET", place),
        ("GET", f"{place}/results"),
        ("POST", f"{place}/cancel"),
        ("DELETE", place),
    ):
        refused(service.client.request(method, path), 404, "unknown-job")


@pytest.mark.parametrize("job_id", ["x", "0" * 32, "%2e%2e", "0" * 31 + "G"])
def test_what_is_no_job_is_not_found(service: Service, job_id: str) -> None:
    refused(service.client.get(f"/v1/jobs/{job_id}"), 404, "unknown-job")


def test_a_full_disk_is_told_and_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving.os, "fsync", _full)
    answer = service.submit()
    refused(answer, 507, "storage-full")
    assert service.files() == []
    monkeypatch.undo()


def _full(handle: int) -> None:
    raise OSError(28, "No space left on device")
