"""A job whose process is killed at any moment is taken up by another, to the same bytes."""

import contextlib
import io
import multiprocessing
import random
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.jobs.files import room_in
from service.jobs.job import Format, Job, JobFailed, input_path, results_path
from tests.contract.client import purchases
from tests.jobs import FakeStore, carried, job, ndjson, promoted, results

ROWS = 400
CHUNK = 20
KILLS = 3

STORE = {f"c-{at}": purchases(1 + at % 4) for at in range(0, ROWS, 2)}
LISTS: dict[Format, bytes] = {
    "ndjson": ndjson(
        [{"customer_id": f"c-{at}"} | ({"events": purchases(2)} if at % 5 == 1 else {})
         for at in range(ROWS)]
    ),
    "csv": b"customer_id\n" + b"".join(b"c-%d\n" % at for at in range(ROWS)),
    "parquet": b"",
}  # fmt: skip


def features() -> bytes:
    sink = io.BytesIO()
    silence = [float(at % 90) for at in range(ROWS)]
    sent = {name: [1.0] * ROWS for name in ("purchases_30d", "purchases_90d")}
    ids = [f"c-{at}" for at in range(ROWS)]
    pq.write_table(
        pa.table({"customer_id": ids, "days_since_last_purchase": silence} | sent), sink,
        row_group_size=33,
    )  # fmt: skip
    return sink.getvalue()


def carry(models_dir: Path, folder: Path, asked: Job) -> None:
    """What a worker's process does."""
    carried(folder, b"", promoted(models_dir), asked, store=FakeStore(STORE), chunk=CHUNK)


@pytest.mark.parametrize(
    ("input_format", "results_format"),
    [("ndjson", "ndjson"), ("csv", "csv"), ("parquet", "parquet")],
)
def test_killed_at_any_moment_it_ends_in_the_same_bytes(
    published: Path, tmp_path: Path, input_format: Format, results_format: Format
) -> None:
    asked = job(input_format, results_format)
    content = LISTS[input_format] or features()
    how: Any = {"store": FakeStore(STORE), "chunk": CHUNK}
    expected = results(tmp_path / "whole", content, promoted(published), asked, **how)
    folder = tmp_path / "j"
    folder.mkdir()
    input_path(folder).write_bytes(content)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.jobs"])
    moments = random.Random(input_format)
    left: set[int] = set()
    for _ in range(KILLS):
        process = processes.Process(target=carry, args=(published, folder, asked))
        process.start()
        before = done(folder)
        # The model has been loaded when something more is done; then at any moment.
        while process.is_alive() and done(folder) <= before:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
        process.kill()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            break
        left.add(done(folder))
    assert len(left) > 1
    carried(folder, b"", promoted(published), asked, store=FakeStore(STORE), chunk=7)
    assert results_path(folder, asked).read_bytes() == expected
    assert [path.name for path in folder.iterdir()] == [f"results.{results_format}"]


def done(folder: Path) -> int:
    """How much of a job is finished."""
    whole = [path for path in folder.glob("parts/*") if path.suffix != ".new"]
    return len(whole) + 10_000 * len(list(folder.glob("results.*")))


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("results_format", ["ndjson", "csv", "parquet"])
def test_a_full_disk_fails_the_job_and_keeps_what_is_done(
    published: Path, tmp_path: Path, results_format: Format
) -> None:
    asked, loaded = job(results_format=results_format), promoted(published)
    content = LISTS["ndjson"]
    how: Any = {"store": FakeStore(STORE), "chunk": CHUNK}
    expected = results(tmp_path / "whole", content, loaded, asked, **how)
    # Every part fits but their sum does not; and then not even a part does.
    for name, size, least in (("sum", len(expected) - 100, 2 * ROWS // CHUNK), ("part", 1000, 0)):
        folder = tmp_path / name
        folder.mkdir()
        input_path(folder).write_bytes(content)
        with files_of_at_most(size), pytest.raises(JobFailed, match="no space left in"):
            carried(folder, b"", loaded, asked, **how)
        assert len(list(folder.glob("parts/*"))) >= least
        assert not list(folder.glob("**/*.new"))
        assert results(folder, b"", loaded, asked, **how) == expected


def test_a_device_without_room_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match=f"no space left in {tmp_path}"), room_in(tmp_path):
        with open("/dev/full", "wb") as full:
            full.write(b"x")
    with pytest.raises(FileNotFoundError), room_in(tmp_path):
        (tmp_path / "gone").read_bytes()
