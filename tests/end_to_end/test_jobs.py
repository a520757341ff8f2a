"""Jobs as they run: processes of their own, real sockets, kills; on both databases."""

import hashlib
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.test_real_server import PATIENCE, Server, serving, waiting
from tests.postgresql import Server as PostgreSQL

NDJSON = {"content-type": "application/x-ndjson"}
ROWS = 12_000


def rows(count: int) -> bytes:
    """Customers with some purchases each, no two alike."""
    line = (
        '{"customer_id": "c-%d", "events": [{"occurred_at": "2026-0%d-02T10:11:00Z", '
        '"kind": "purchase", "amount": %d.5}, {"occurred_at": "2026-09-1%dT00:00:00Z", '
        '"kind": "purchase", "amount": 20}]}\n'
    )
    return "".join(line % (at, at % 8 + 1, at % 97 + 1, at % 10) for at in range(count)).encode()


LIST = rows(ROWS)
ASKED = "/v1/jobs?as_of=2026-11-21T00:00:00Z"


class Cluster:
    """Processes of the service that share a store and a folder of jobs."""

    def __init__(self, root: Path, models: Path, store_url: str, stack: ExitStack) -> None:
        self.jobs_dir = root / "jobs"
        self._root = root
        self._models = models
        self._stack = stack
        self._started = 0
        self._settings = {
            "KEEPWELL_STORE_URL": store_url,
            "KEEPWELL_JOBS_DIR": str(self.jobs_dir),
            "KEEPWELL_JOB_LEASE_SECONDS": "2",
        }

    def start(self, **settings: str) -> Server:
        self._started += 1
        log = self._root / f"log-{self._started}"
        told = self._settings | settings
        server = self._stack.enter_context(serving(self._models, log, **told))
        server.until_ready()
        return server

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.jobs_dir))
            for path in self.jobs_dir.rglob("*")
            if path.is_file()
        )


@pytest.fixture
def cluster(tmp_path: Path, published: Path, store_url: str) -> Iterator[Cluster]:
    """No process yet; on each of the two databases."""
    with ExitStack() as stack:
        yield Cluster(tmp_path, published, store_url, stack)


@pytest.fixture
def alone(tmp_path: Path, published: Path) -> Iterator[Cluster]:
    """No process yet; on SQLite."""
    with ExitStack() as stack:
        yield Cluster(tmp_path, published, f"sqlite:///{tmp_path}/keepwell.db", stack)


@pytest.fixture(scope="module")
def plain(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """On SQLite, for tests that share a process."""
    root = tmp_path_factory.mktemp("plain")
    with ExitStack() as stack:
        yield Cluster(root, published, f"sqlite:///{root}/keepwell.db", stack)


@pytest.fixture(scope="module")
def server(plain: Cluster) -> Server:
    return plain.start()


def submit(server: Server, content: bytes = LIST, **headers: str) -> dict[str, Any]:
    answer = httpx.post(
        server.url + ASKED, content=content, headers=NDJSON | headers, timeout=PATIENCE
    )
    assert answer.status_code in {200, 202}, answer.text
    job: dict[str, Any] = answer.json()
    return job


def until(server: Server, job_id: str, *states: str) -> dict[str, Any]:
    for _ in waiting():
        job: dict[str, Any] = server.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in states:
            return job
    raise AssertionError


def until_done(server: Server, job_id: str) -> dict[str, Any]:
    job = until(server, job_id, "done", "failed")
    assert job["state"] == "done", job
    return job


def rows_done(server: Server) -> float:
    for line in server.get("/metrics").text.splitlines():
        if line.startswith('churn_job_rows_total{outcome="scored"}'):
            return float(line.rsplit(" ", 1)[1])
    return 0.0


@pytest.fixture(scope="module")
def undisturbed(server: Server) -> str:
    """Digest of the results of a run that nothing disturbs."""
    job = until_done(server, submit(server)["job_id"])
    assert job["rows"] == {"scored": ROWS}
    results = server.get(job["results"]["href"]).content
    assert hashlib.sha256(results).hexdigest() == job["results"]["sha256"]
    assert results.count(b"\n") == ROWS
    return str(job["results"]["sha256"])


def test_two_processes_share_the_work_and_do_each_job_once(cluster: Cluster) -> None:
    first, second = cluster.start(), cluster.start()
    content = rows(300)
    ids = [submit((first, second)[at % 2], content)["job_id"] for at in range(16)]
    jobs = [until_done((second, first)[at % 2], job_id) for at, job_id in enumerate(ids)]
    assert len({job["results"]["sha256"] for job in jobs}) == 1
    done = [rows_done(first), rows_done(second)]
    assert sum(done) == 16 * 300
    assert min(done) > 0
    ended = [
        line for one in (first, second) for line in one.lines if line["message"] == "job ended"
    ]
    assert sorted(line["job"] for line in ended) == sorted(ids)
    assert cluster.files() == sorted(f"{job_id}/results.ndjson" for job_id in ids)


def test_what_a_killed_process_began_another_finishes(cluster: Cluster, undisturbed: str) -> None:
    first = cluster.start()
    job_id = submit(first)["job_id"]
    for _ in waiting():
        if list((cluster.jobs_dir / job_id / "parts").glob("00000.ndjson")):
            break
    second = cluster.start()
    first.process.kill()
    first.process.wait()
    assert until_done(second, job_id)["results"]["sha256"] == undisturbed
    assert cluster.files() == [f"{job_id}/results.ndjson"]


def test_kills_at_any_moment_change_no_byte(cluster: Cluster, undisturbed: str) -> None:
    moments = random.Random(11)
    server = cluster.start()
    ids = [submit(server, **{"idempotency-key": f"k{at}"})["job_id"] for at in range(2)]
    for _ in range(3):
        time.sleep(moments.uniform(0.0, 1.5))
        server.process.kill()
        server.process.wait()
        server = cluster.start()
    for job_id in ids:
        assert until_done(server, job_id)["results"]["sha256"] == undisturbed
    assert [submit(server, **{"idempotency-key": f"k{at}"})["job_id"] for at in range(2)] == ids
    assert len(server.get("/v1/jobs").json()["jobs"]) == 2
    assert cluster.files() == sorted(f"{job_id}/results.ndjson" for job_id in ids)


def half_sent(server: Server, key: str) -> socket.socket:
    """A connection on which a list is half sent."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/jobs HTTP/1.1\r\nHost: t\r\nContent-Type: application/x-ndjson\r\n"
        b"Idempotency-Key: %b\r\nContent-Length: %d\r\n\r\n"
        % (key.encode(), len(LIST))
        + LIST[: len(LIST) // 2]
    )
    return connection


def test_a_half_sent_list_holds_its_key_until_its_process_dies(alone: Cluster) -> None:
    server, other = alone.start(), alone.start()
    with half_sent(server, "k"):
        for _ in waiting():
            if list(alone.jobs_dir.glob(".incoming/*/input")):
                break
        headers = NDJSON | {"idempotency-key": "k"}
        told = httpx.post(other.url + ASKED, content=LIST, headers=headers, timeout=PATIENCE)
        assert told.status_code == 409
        assert told.json()["type"] == "/problems/key-in-flight"
        server.process.kill()
        server.process.wait()
        job_id = submit(other, **{"idempotency-key": "k"})["job_id"]
    until_done(other, job_id)
    alone.start()
    for _ in waiting():
        if alone.files() == [f"{job_id}/results.ndjson"]:
            break


def test_a_client_that_leaves_midway_leaves_nothing(plain: Cluster, server: Server) -> None:
    before = server.get("/v1/jobs").json()["jobs"]
    half_sent(server, "k").close()
    for _ in waiting():
        if 'route="/v1/jobs",status="499"' in server.get("/metrics").text:
            break
    for _ in waiting():
        if not list(plain.jobs_dir.glob(".incoming/*")):
            break
    assert server.get("/v1/jobs").json()["jobs"] == before
    assert submit(server, rows(3), **{"idempotency-key": "k"})["state"] == "queued"
    assert not [line for line in server.lines if line["level"] == "error"]


def test_of_equal_requests_at_once_one_becomes_the_job(alone: Cluster) -> None:
    servers = alone.start(), alone.start()
    content = rows(50)
    answers: list[httpx.Response] = []

    def send(server: Server) -> None:
        headers = NDJSON | {"idempotency-key": "race"}
        answers.append(
            httpx.post(server.url + ASKED, content=content, headers=headers, timeout=PATIENCE)
        )

    threads = [threading.Thread(target=send, args=(servers[at % 2],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(202) == 1
    assert set(statuses) <= {200, 202, 409}
    assert len(servers[0].get("/v1/jobs").json()["jobs"]) == 1


def test_single_scores_and_probes_are_answered_while_a_job_runs(server: Server) -> None:
    job_id = submit(server)["job_id"]
    answered = 0
    while server.get(f"/v1/jobs/{job_id}").json()["state"] != "done":
        assert server.score().status_code == 200
        assert server.get("/health/ready").status_code == 200
        answered += 1
    assert answered > 5


def test_a_running_job_is_cancelled_and_another_deleted(plain: Cluster, server: Server) -> None:
    content = rows(60_000)
    first, second = submit(server, content)["job_id"], submit(server, content)["job_id"]
    for job_id in (first, second):
        for _ in waiting():
            if server.get(f"/v1/jobs/{job_id}").json()["state"] == "running":
                break
        if job_id == first:
            answer = httpx.post(f"{server.url}/v1/jobs/{job_id}/cancel", timeout=PATIENCE)
            assert answer.status_code == 202
            assert answer.json()["cancel_requested"]
            assert until(server, job_id, "cancelled")["results"] is None
        else:
            answer = httpx.delete(f"{server.url}/v1/jobs/{job_id}", timeout=PATIENCE)
            assert answer.status_code == 204
    for _ in waiting():
        if not any((plain.jobs_dir / job_id).exists() for job_id in (first, second)):
            break
    third = submit(server, rows(5))["job_id"]
    until_done(server, third)
    assert not [line for line in server.lines if line["level"] == "error"]


def test_sigterm_gives_a_job_back_for_others_at_once(alone: Cluster, undisturbed: str) -> None:
    first = alone.start(KEEPWELL_JOB_LEASE_SECONDS="600")
    job_id = submit(first)["job_id"]
    until(first, job_id, "running")
    assert first.stop() == 0
    second = alone.start(KEEPWELL_JOB_LEASE_SECONDS="600")
    assert until_done(second, job_id)["results"]["sha256"] == undisturbed


def test_a_broken_download_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    job = until_done(server, submit(server)["job_id"])
    href = server.url + job["results"]["href"]
    size = job["results"]["bytes"]
    target = tmp_path / "results"
    with httpx.stream("GET", href, timeout=PATIENCE) as answer, target.open("wb") as file:
        tag = answer.headers["etag"]
        for block in answer.iter_bytes(10_000):
            file.write(block)
            if file.tell() > size // 2:
                break
    have = target.stat().st_size
    assert 0 < have < size
    headers = {"range": f"bytes={have}-", "if-range": tag}
    rest = httpx.get(href, headers=headers, timeout=PATIENCE)
    assert rest.status_code == 206
    whole = target.read_bytes() + rest.content
    assert hashlib.sha256(whole).hexdigest() == job["results"]["sha256"]
    again = httpx.get(href, headers={"if-none-match": tag}, timeout=PATIENCE)
    assert (again.status_code, again.content) == (304, b"")


def test_expired_jobs_go_with_their_files(alone: Cluster) -> None:
    server = alone.start(KEEPWELL_JOBS_KEEP_DAYS="0.00002")  # 1.7 seconds
    job = until_done(server, submit(server, rows(10))["job_id"])
    for _ in waiting():
        answer = server.get(job["results"]["href"])
        if answer.status_code == 410:
            break
    assert answer.json()["type"] == "/problems/results-expired"
    alone.start()  # sweeps as it starts
    for _ in waiting():
        if alone.files() == []:
            break


def test_without_room_a_list_is_refused_and_a_job_fails_but_the_rest_goes_on(
    alone: Cluster,
) -> None:
    server = alone.start()
    small = until_done(server, submit(server, rows(10))["job_id"])
    pid, limit = server.process.pid, 1_000_000
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
    answer = httpx.post(server.url + ASKED, content=LIST, headers=NDJSON, timeout=PATIENCE)
    assert answer.status_code == 507, answer.text
    assert answer.json()["type"] == "/problems/storage-full"
    large = submit(server, rows(limit // 300))
    job = until(server, large["job_id"], "done", "failed")
    assert job["state"] == "failed"
    assert "no space left" in job["reason"]
    assert server.score().status_code == 200
    kept = server.get(small["results"]["href"])
    assert hashlib.sha256(kept.content).hexdigest() == small["results"]["sha256"]
    assert alone.files() == [f"{small['job_id']}/results.ndjson"]


def test_a_job_outlives_the_store_going_away(
    tmp_path: Path, published: Path, undisturbed: str, request: pytest.FixtureRequest
) -> None:
    own = PostgreSQL()
    request.addfinalizer(own.remove)
    own.start()
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, published, own.url(own.new_database()), stack)
        server = cluster.start()
        job_id = submit(server)["job_id"]
        until(server, job_id, "running")
        own.stop()
        assert server.get(f"/v1/jobs/{job_id}").status_code == 503
        time.sleep(3)
        own.start()
        for _ in waiting():
            if server.get("/v1/jobs").status_code == 200:
                break
        assert until_done(server, job_id)["results"]["sha256"] == undisturbed
