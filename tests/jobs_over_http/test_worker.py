"""The worker: every job to its end, whatever happens on the way; on both databases."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.errors import BundleNotFound
from service.jobs import records
from service.jobs.folders import Folders
from service.jobs.job import JobFailed
from service.jobs.queue import Outcome, Queue
from service.jobs.records import Record
from service.jobs.worker import Run, Worker
from service.metrics import Metrics
from service.models import Loaded
from service.store.database import Database
from service.store.errors import StoreUnavailable
from tests.job_rows import KEEP, LEASE, START, Copying, add, get, name, row

LINES = b"".join(b'{"customer_id": "c-%d"}\n' % at for at in range(5))


class Bench:
    """Workers of one store and one folder; the clock stands until it is moved."""

    def __init__(self, database: Database, root: Path) -> None:
        self.database = database
        self.folders = Folders(root)
        self.metrics = Metrics()
        self.now = START
        self.asked: list[str] = []
        self._made = 0

    def submit(self, number: int = 1, content: bytes = LINES, **changes: Any) -> None:
        folder = self.folders.of(name(number))
        folder.mkdir(parents=True)
        (folder / "input").write_bytes(content)
        add(self.database, row(number, **changes))

    def model(self, version: str) -> Loaded:
        self.asked.append(version)
        return None  # type: ignore[return-value]

    def worker(
        self,
        run: Run,
        model: Callable[[str], Loaded] | None = None,
        read: Callable[[Any], Any] = lambda ids: {},
        queue: type[Queue] = Queue,
    ) -> Worker:
        self._made += 1
        return Worker(
            self.database,
            self.folders,
            queue(self.database, f"worker-{self._made}", lease=LEASE, keep=KEEP),
            model=model or self.model,
            read=read,
            delivered=lambda ids, since, told_by: {},
            metrics=self.metrics,
            clock=lambda: self.now,
            run=run,
            chunk=1,
        )

    def results(self, number: int = 1) -> bytes:
        return self.folders.results(name(number), "ndjson").read_bytes()

    def job(self, number: int = 1) -> Record:
        found = get(self.database, number)
        assert found is not None
        return found


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Bench:
    return Bench(database, tmp_path / "jobs")


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    def wait(true: Callable[[], bool]) -> None:
        for _ in range(3000):
            if true():
                return
            time.sleep(0.02)
        raise AssertionError("waited in vain")

    return wait


def test_a_job_is_done_and_told(bench: Bench) -> None:
    bench.submit()
    assert bench.worker(Copying()).step()
    job = bench.job()
    assert (job.state, job.rows_read, job.rows) == ("done", 5, {"scored": 5})
    assert (job.results_bytes, job.expires_at) == (len(LINES), START + KEEP)
    assert bench.results() == LINES
    assert bench.asked == ["v1"]
    assert (
        bench.metrics.registry.get_sample_value("churn_job_rows_total", {"outcome": "scored"}) == 5
    )
    assert not bench.worker(Copying()).step()


def test_a_job_that_cannot_be_done_fails_with_the_reason_and_leaves_no_files(
    bench: Bench,
) -> None:
    def fail(folder: Path, at: int) -> None:
        raise JobFailed("row 3 is not UTF-8")

    bench.submit()
    bench.worker(Copying(fail)).step()
    job = bench.job()
    assert (job.state, job.reason) == ("failed", "row 3 is not UTF-8")
    assert not bench.folders.of(name(1)).exists()


def test_a_failed_job_makes_room_before_the_store_is_told(bench: Bench) -> None:
    parts = bench.folders.of(name(1)) / "parts"

    class Full(Queue):
        def end(self, job_id: str, outcome: Outcome, now: int) -> bool:
            if parts.exists():
                raise StoreUnavailable("the disk is full")
            return super().end(job_id, outcome, now)

    def fail(folder: Path, at: int) -> None:
        if at == 3:
            raise JobFailed("no space left in /srv/jobs")

    bench.submit()
    bench.worker(Copying(fail), queue=Full).step()
    assert bench.job().reason == "no space left in /srv/jobs"
    assert not bench.folders.of(name(1)).exists()


def test_a_model_that_is_gone_fails_the_job_by_name(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(version: str) -> Loaded:
        raise BundleNotFound("no model version v1 in /srv/models")

    bench.submit()
    bench.worker(Copying(), model=gone).step()
    job = bench.job()
    assert job.state == "failed"
    assert job.reason is not None
    assert "version v1" in job.reason
    assert "/srv" not in job.reason
    assert "cannot be used" in caplog.text


def test_a_fault_of_ours_fails_one_job_and_is_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(folder: Path, at: int) -> None:
        raise ValueError("c-1042")

    bench.submit(1)
    bench.submit(2)
    bench.worker(Copying(explode)).step()
    bench.worker(Copying()).step()
    assert bench.job(1).state == "failed"
    assert "c-1042" not in str(bench.job(1).reason)
    assert "job failed" in caplog.text
    assert bench.job(2).state == "done"


def test_another_worker_goes_on_where_a_dead_one_was(bench: Bench) -> None:
    class Killed(BaseException):
        pass

    def die(folder: Path, at: int) -> None:
        if at == 3:
            raise Killed

    bench.submit()
    first, second = Copying(die), Copying()
    with pytest.raises(Killed):
        bench.worker(first).step()
    other = bench.worker(second)
    assert not other.step()
    bench.now += LEASE + 1
    assert other.step()
    assert (first.chunks, second.chunks) == ([0, 1, 2], [3, 4])
    assert bench.results() == LINES


def test_a_worker_that_lost_its_job_reports_nothing(bench: Bench) -> None:
    def taken(folder: Path, at: int) -> None:
        if at == 2:
            bench.now += LEASE + 1
            other = Queue(bench.database, "other", lease=LEASE, keep=KEEP)
            assert other.take(bench.now) is not None

    bench.submit()
    bench.worker(Copying(taken)).step()
    job = bench.job()
    assert (job.state, job.owner) == ("running", "other")
    assert bench.folders.of(name(1)).exists()


def test_a_job_that_is_deleted_while_it_runs_leaves_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def delete(folder: Path, at: int) -> None:
        if at == 2:
            with bench.database.writing() as connection:
                records.remove(connection, name(1))
            bench.folders.remove(name(1))

    bench.submit()
    assert bench.worker(Copying(delete)).step()
    assert not bench.folders.of(name(1)).exists()
    assert caplog.text == ""


def test_the_store_going_away_fails_no_job(bench: Bench) -> None:
    asked = 0

    def read(ids: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked in {2, 3, 5}:
            raise StoreUnavailable("away")
        return {}

    bench.submit()
    bench.worker(Copying(), read=read).step()
    assert bench.job().state == "done"
    assert asked == 8


def threads_of_jobs() -> set[str]:
    ours = {"keepwell-jobs", "keepwell-jobs-keeper"}
    return ours & {one.name for one in threading.enumerate()}


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    yield
    assert not threads_of_jobs()


@pytest.mark.usefixtures("no_threads_left")
def test_a_stopping_worker_gives_its_job_back(
    bench: Bench, until: Callable[[Callable[[], bool]], None]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def wait(folder: Path, at: int) -> None:
        if at == 2:
            reached.set()
            assert go_on.wait(60)

    bench.submit()
    run = Copying(wait)
    worker = bench.worker(run)
    worker.start()
    assert reached.wait(60)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    go_on.set()
    stopping.join()
    assert bench.job().state == "queued"
    assert run.chunks == [0, 1, 2]
    assert bench.worker(Copying()).step()
    assert bench.results() == LINES


@pytest.mark.usefixtures("no_threads_left")
def test_a_running_job_tells_how_far_it_is_and_stops_when_it_is_cancelled(
    bench: Bench, until: Callable[[Callable[[], bool]], None]
) -> None:
    def slowly(folder: Path, at: int) -> None:
        time.sleep(0.05)

    bench.submit(content=LINES * 1000)
    worker = bench.worker(Copying(slowly))
    worker.start()
    worker.wake()
    until(lambda: bench.job().rows_read > 0)
    Queue(bench.database, "desk", lease=LEASE, keep=KEEP).cancel(name(1), bench.now)
    until(lambda: bench.job().state == "cancelled")
    until(lambda: not bench.folders.of(name(1)).exists())
    worker.stop()


@pytest.mark.usefixtures("no_threads_left")
def test_jobs_are_counted_by_state(
    bench: Bench, until: Callable[[Callable[[], bool]], None]
) -> None:
    bench.submit(1, state="done", expires_at=START + KEEP)
    shutil.rmtree(bench.folders.root)
    worker = bench.worker(Copying())
    worker.start()

    def count(state: str) -> float | None:
        return bench.metrics.registry.get_sample_value("churn_jobs", {"state": state})

    until(lambda: count("done") == 1)
    assert count("failed") == 0
    worker.stop()
