"""Jobs over HTTP while the process that takes and scores them is killed.

A client keeps three lists waiting, each sent under a key of its own until it is acknowledged. The
process is killed at random moments, while it starts, receives, scores or finishes, and started
again.
"""

import hashlib
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.kills_events import PATIENCE, places, serving
from benchmarks.report import Result
from tests.support import small_bundle

KILLS, ROWS, AHEAD = 50, 12_000, 3
STARTING = 0.2
"""Share of the kills that may come before the model is loaded."""
LINE = (
    '{"customer_id": "c-%d", "events": [{"occurred_at": "2026-0%d-02T10:11:00Z", '
    '"kind": "purchase", "amount": %d.5}]}\n'
)
LIST = "".join(LINE % (at, at % 8 + 1, at % 97 + 1) for at in range(ROWS)).encode()
PATH = "/v1/jobs?as_of=2026-11-21T00:00:00Z"
ENDED = {"done", "failed", "cancelled"}


def results() -> list[Result]:
    """The same on both databases."""
    rows: list[list[Any]] = []
    for at in places():
        rows.append([at.dialect, KILLS, *jobs(at.urls, at.folder, KILLS, random.Random(7))])
    columns = ("store", "kills", "jobs acknowledged", "lost", "twice", "other bytes", "remains")
    return [
        Result(
            "Jobs through kills",
            f"Lists of {ROWS:,} customers. Bytes: of the results, against an undisturbed run.",
            columns,
            rows,
        )
    ]


def jobs(urls: Iterator[str], folder: Path, kills: int, rng: random.Random) -> list[Any]:
    """Send lists to a service that is killed under them; count what went wrong."""
    small_bundle(folder / "models")
    url, acknowledged = next(urls), dict[str, str]()
    settings = {"KEEPWELL_JOB_LEASE_SECONDS": "1"}
    with serving(url, folder, **settings) as (_, port):
        _submit_when_ready(port, "undisturbed", acknowledged)
        expected = _until_ended(port, acknowledged["undisturbed"])["results"]["sha256"]
    for last in [False] * kills + [True]:
        with serving(url, folder, **settings) as (process, port):
            timer = threading.Timer(rng.uniform(0.0, 3.0), process.kill)
            if rng.random() > STARTING:
                until_ready(port)
            if not last:
                timer.start()
            try:
                _keep_waiting(port, acknowledged, last)
            except (OSError, http.client.HTTPException):
                assert not last
            finally:
                timer.cancel()
            if last:
                found = ask(port, "GET", "/v1/jobs?limit=500")[1]["jobs"]
    known = {job["job_id"]: job for job in found}
    done = {job_id for job_id, job in known.items() if job["state"] == "done"}
    wrong = [
        job_id
        for job_id in done
        if known[job_id]["results"]["sha256"] != expected
        or hashlib.sha256(_results(folder, job_id).read_bytes()).hexdigest() != expected
    ]
    files = {path for path in (folder / "jobs").rglob("*") if path.is_file()}
    remains = files - {_results(folder, job_id) for job_id in done}
    ids = set(acknowledged.values())
    return [
        len(ids),
        len(ids - done),
        len(known.keys() - ids),
        len(wrong),
        ", ".join(sorted(path.name for path in remains)) or "nothing",
    ]


def _keep_waiting(port: int, acknowledged: dict[str, str], last: bool) -> None:
    """Keep some jobs open until the process dies; the last time, see all of them end."""
    ended: set[str] = set()
    while True:
        for job_id in set(acknowledged.values()) - ended:
            if ask(port, "GET", f"/v1/jobs/{job_id}")[1]["state"] in ENDED:
                ended.add(job_id)
        still = set(acknowledged.values()) - ended
        if last and not still:
            return
        if not last and len(still) < AHEAD:
            _submit_when_ready(port, f"list-{len(acknowledged)}", acknowledged)
        time.sleep(0.05)


def until_ready(port: int) -> None:
    while ask(port, "GET", "/health/ready")[0] != 200:
        time.sleep(0.02)


def _submit_when_ready(port: int, key: str, acknowledged: dict[str, str]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        headers = {"content-type": "application/x-ndjson", "idempotency-key": key}
        status, told = ask(port, "POST", PATH, LIST, headers)
        if status in {200, 202}:
            acknowledged[key] = told["job_id"]
            return
        assert status in {409, 503}, told
        time.sleep(0.05)
    raise RuntimeError(f"{key} was never taken")


def _until_ended(port: int, job_id: str) -> dict[str, Any]:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        job: dict[str, Any] = ask(port, "GET", f"/v1/jobs/{job_id}")[1]
        if job["state"] in ENDED:
            return job
        time.sleep(0.05)
    raise RuntimeError("the undisturbed job never ended")


def ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Any = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        return answer.status, told
    finally:
        connection.close()


def _results(folder: Path, job_id: str) -> Path:
    return folder / "jobs" / job_id / "results.ndjson"
