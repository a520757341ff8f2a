"""A person is taken out of jobs: those that wait, those at work and those that are done."""

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from churn.registry import Registry
from service import erasure, models
from service.jobs.folders import Folders
from service.jobs.queue import Queue
from service.models import Loaded
from service.settings import Settings
from service.store import forgetting
from tests.contract.client import NOW, AppClient, build, customer

CANARY = "canary-7f3a"
FORMATS = ("ndjson", "csv", "parquet")
HEADERS = {"content-type": "application/x-ndjson"}
ROWS: list[dict[str, Any]] = [
    customer(customer_id="c-1"),
    customer(
        customer_id=CANARY,
        events=[{**event, "category": "canary-category"} for event in customer()["events"]],
    ),
    customer(customer_id="c-2"),
    {"customer_id": CANARY, "features": {"purchases_30d": 3}},
    {"customer_id": "c-3"},
]


def listed(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


WITH, OTHERS = listed(ROWS), listed([row for row in ROWS if row["customer_id"] != CANARY])


@pytest.fixture(scope="module")
def loaded(published: Path) -> Loaded:
    version = Registry(published).current()
    assert version is not None
    return models.load(published / version)


@pytest.fixture
def client(published: Path, loaded: Loaded, store_url: str, tmp_path: Path) -> Iterator[AppClient]:
    settings = Settings(models_dir=published, store_url=store_url, jobs_dir=tmp_path / "jobs")
    with build(settings, load=lambda path: loaded) as client:
        yield client


def submit(client: AppClient, body: bytes = WITH, query: str = "", **headers: str) -> str:
    answer = client.request("POST", f"/v1/jobs{query}", content=body, headers=HEADERS | headers)
    assert answer.status_code in (200, 202), answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def work(client: AppClient) -> None:
    while client.app.state.keepwell.jobs.worker.step():
        pass


def results(client: AppClient, job_id: str) -> bytes:
    answer = client.get(f"/v1/jobs/{job_id}/results")
    assert answer.status_code == 200, answer.text
    return answer.content


def erase(client: AppClient) -> Any:
    return client.request("DELETE", f"/v1/customers/{CANARY}").json()


def decoded(client: AppClient) -> str:
    """Everything that the files of jobs hold, Parquet's compressed pages too."""
    root: Path = client.app.state.keepwell.settings.jobs_dir
    texts = []
    for path in root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            texts.append(content.decode(errors="replace"))
            if content.startswith(b"PAR1"):
                texts.append(str(pq.read_table(io.BytesIO(content)).to_pylist()))
    return "\n".join(texts)


@pytest.mark.parametrize("form", FORMATS)
def test_done_results_and_a_waiting_list_are_those_of_the_others(
    client: AppClient, form: str
) -> None:
    query = f"?results={form}"
    done, expected = submit(client, WITH, query), submit(client, OTHERS, query)
    work(client)
    before = client.get(f"/v1/jobs/{done}/results").headers["etag"]
    untouched = results(client, expected)
    waiting = submit(client, WITH, query)
    gone = erase(client)
    assert gone["pending"] == []
    assert gone["job_rows"] == 4
    assert sorted(gone["jobs"]) == sorted([done, waiting])
    assert "canary" not in decoded(client)
    assert client.get(f"/v1/jobs/{done}/results").headers["etag"] != before
    assert client.get(f"/v1/jobs/{done}").json()["rows_read"] == 3
    work(client)
    assert results(client, expected) == untouched
    assert results(client, waiting) == untouched
    if form != "parquet":
        assert results(client, done) == untouched
    assert "canary" not in decoded(client)
    assert erase(client) | {"erased_at": ""} == {
        "events": 0, "scores": 0, "decisions": 0, "job_rows": 0, "jobs": [], "erased_at": "",
        "pending": [], "rewritten_at": None,
    }  # fmt: skip


def test_the_key_of_a_list_with_the_person_is_forgotten_and_others_are_not(
    client: AppClient,
) -> None:
    theirs = submit(client, WITH, **{"idempotency-key": "k-1"})
    others = submit(client, OTHERS, **{"idempotency-key": "k-2"})
    erase(client)
    assert submit(client, OTHERS, **{"idempotency-key": "k-2"}) == others
    assert submit(client, OTHERS, **{"idempotency-key": "k-1"}) != theirs


def test_a_worker_at_work_on_the_list_is_stopped_and_the_job_begun_anew(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, job_id = submit(client, OTHERS), submit(client)
    desk = client.app.state.keepwell.jobs
    worker = desk.worker
    true_run, begun, go_on = worker._run, threading.Event(), threading.Event()

    def slow_run(folder: Path, job: Any, *given: Any, **named: Any) -> Any:
        if job.job_id == job_id and not begun.is_set():
            (folder / "parts").mkdir()
            (folder / "parts" / "00000.ndjson").write_bytes(WITH)
            begun.set()
            assert go_on.wait(60)
            worker._held.renew(desk.queue, NOW)  # as its keeper does every second
            assert not named["keep_going"](1)
            return None
        return true_run(folder, job, *given, **named)

    worker._run = slow_run
    thread = threading.Thread(target=work, args=(client,))
    thread.start()
    assert begun.wait(60)
    monkeypatch.setattr(erasure, "JOBS_SECONDS", 0.3)
    gone = erase(client)
    assert gone["pending"] == ["jobs"]  # it still writes
    monkeypatch.undo()
    go_on.set()
    eraser = client.app.state.keepwell.eraser
    while not eraser.finish():
        pass
    thread.join()
    work(client)
    assert results(client, job_id) == results(client, expected)
    assert "canary" not in decoded(client)


def test_results_that_a_stopped_worker_had_put_together_lose_the_person_too(
    client: AppClient,
) -> None:
    job_id = submit(client)
    desk = client.app.state.keepwell.jobs
    true_end = desk.queue.end
    desk.queue.end = lambda *given: False  # as for a worker that was taken for dead
    desk.worker.step()
    desk.queue.end = true_end
    assert CANARY in decoded(client)
    assert erase(client)["jobs"] == [job_id]
    work(client)
    assert results(client, job_id).count(b"customer_id") == 3
    assert "canary" not in decoded(client)


def test_who_was_being_erased_when_the_service_was_killed_is_erased_at_its_start(
    client: AppClient,
) -> None:
    job_id = submit(client)
    work(client)
    with client.app.state.keepwell.store.writing() as connection:
        forgetting.forget(connection, CANARY, NOW)
    assert CANARY in decoded(client)
    assert client.app.state.keepwell.eraser.finish()
    assert "canary" not in decoded(client)
    assert client.get(f"/v1/jobs/{job_id}").json()["rows_read"] == 3
    with client.app.state.keepwell.store.reading() as connection:
        assert forgetting.unfinished(connection) == []


def test_results_that_are_being_written_anew_are_not_sent(client: AppClient) -> None:
    job_id = submit(client)
    work(client)
    path = client.app.state.keepwell.jobs.folders.results(job_id, "ndjson")
    path.write_bytes(path.read_bytes()[:-1])
    answer = client.get(f"/v1/jobs/{job_id}/results")
    assert answer.status_code == 409
    assert answer.headers["retry-after"] == "1"


def test_files_are_held_by_many_who_work_or_by_one_who_changes_them(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    with folders.working("a") as one, folders.working("a") as two:
        with folders.working("a", alone=True) as alone:
            assert (one, two, alone) == (True, True, False)
        with folders.working("b", alone=True) as alone, folders.working("b") as shared:
            assert (alone, shared) == (True, False)
    with folders.working("a", alone=True) as alone:
        assert alone
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_job_that_was_seized_is_lost_to_its_worker(client: AppClient) -> None:
    job_id = submit(client)
    queue: Queue = client.app.state.keepwell.jobs.queue
    assert queue.take(NOW) is not None
    erase(client)
    assert queue.renew(job_id, 1, NOW) == "lost"
