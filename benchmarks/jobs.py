"""A job of a million customers: rows per second, peak memory, and what kills do to it.

Not part of `make bench`, for it takes some 15 minutes and 6 GB of disk in TMPDIR:
`python -m benchmarks jobs`; `python -m benchmarks.jobs all ROWS KILLS KILLED_ROWS` for a small one.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.report import Result, in_process, machine, tell

ROWS, KILLS = 1_000_000, 50
KILLED_ROWS = 20_000
BLOCK = 50_000
CUSTOMERS = 2_000
MOST_EVENTS = 10
LISTS = {
    "ids": ("ndjson", "ndjson", "NDJSON, ids alone"),
    "events": ("ndjson", "ndjson", f"NDJSON, histories of at most {MOST_EVENTS} events"),
    "features": ("parquet", "parquet", "Parquet features to Parquet"),
    "rows": ("parquet", "csv", "Parquet features to CSV"),
}
LIMIT_GB = 1.0
HERE = Path(__file__).parents[1]


def run(rows: int = ROWS, kills: int = KILLS, killed_rows: int = KILLED_ROWS) -> Result:
    load = os.getloadavg()[0]
    lines = []
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        root = Path(folder)
        _alone("shop", root)
        for name, (*_, words) in LISTS.items():
            _alone("write", root, name, str(rows))
            seen = in_process("benchmarks.jobs", "carry", folder, name)
            assert seen["rows"] == rows
            lines.append(
                [words, rows, seen["wall_s"], seen["cpu_s"], seen["peak_gb"], rows / seen["wall_s"]]
            )
        same = [killed(root, name, kills, killed_rows) for name in ("ids", "events", "features")]
    left = sum(times for times, _ in same)
    return Result(
        title=f"Jobs: lists of {rows:,} customers",
        notes=(
            "`service.jobs.run.run` alone, from the input on disk to the results on disk, in a "
            "process of its own: chunks of "
            f"{_chunk():,} rows, three reasons each, every part forced to disk. The model and the "
            f"customers are a simulated shop's, {CUSTOMERS:,} of them over and over; stored "
            "histories come from memory, as a store would give them: encoded. Memory is the "
            "peak of the process, with the model and the libraries. Killed: the process of a job "
            f"of {killed_rows:,} rows gets SIGKILL at random moments and another takes the job up."
        ),
        columns=("", "rows", "wall s", "CPU s", "peak GB", "rows / s"),
        rows=lines,
        targets={
            f"at most {LIMIT_GB:g} GB, however long the list": (
                f"{max(line[4] for line in lines):.2f} GB"
            ),
            f"the same bytes after {left} kills": (
                "yes" if all(is_same for _, is_same in same) else "no"
            ),
        },
        machine=machine(load),
    )


def _alone(*arguments: Any) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks.jobs", *map(str, arguments)], check=True, cwd=HERE
    )


def _chunk() -> int:
    from service.jobs.job import CHUNK

    return CHUNK


def shop(root: Path) -> None:
    """A simulated shop's model, its customers' last events and features."""
    from benchmarks.shop import NOW, trained
    from churn.features import features
    from training.calendar import instant
    from training.ingest import ingest

    config, _ = trained(root, CUSTOMERS)
    ingested = ingest(config, root / "work", now_us=instant(NOW))
    X = [
        features(ingested.bucket(k), ingested.complete_until, _scorer(root).settings)
        for k in range(ingested.n_buckets)
    ]
    np.save(root / "features.npy", np.vstack(X))
    (root / "as_of").write_text(str(ingested.complete_until))
    (root / "events.json").write_bytes(orjson.dumps(_histories(root / "shop")))


def _histories(shop: Path) -> list[list[dict[str, Any]]]:
    """Each customer's last events, as a request has them."""
    import duckdb

    query = f"""
        SELECT customer_id, strftime(occurred_at, '%Y-%m-%dT%H:%M:%S.%fZ') AS at, * EXCLUDE
               (customer_id, occurred_at, known_at)
        FROM '{shop}/events.parquet' ORDER BY ALL
    """
    found = duckdb.sql(query)
    names = ["occurred_at", *found.columns[2:]]
    histories: dict[str, list[dict[str, Any]]] = {}
    for customer_id, *values in found.fetchall():
        event = {name: x for name, x in zip(names, values, strict=True) if x is not None}
        histories.setdefault(customer_id, []).append(event)
    return [events[-MOST_EVENTS:] for events in histories.values()]


def write(root: Path, name: str, rows: int) -> None:
    """The input of a job."""
    folder = root / name
    folder.mkdir()
    with (folder / "input").open("wb") as handle:
        if LISTS[name][0] == "parquet":
            _write_features(root, handle, rows)
        else:
            handle.writelines(_lines(root, name, rows))


def _lines(root: Path, name: str, rows: int) -> Iterator[bytes]:
    histories = [orjson.dumps(events) for events in orjson.loads(_events(root))]
    for at in range(rows):
        events = b"" if name == "ids" else b',"events":' + histories[at % len(histories)]
        yield b'{"customer_id":"c-%d"%b}\n' % (at, events)


def _write_features(root: Path, handle: Any, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    X, names = np.load(root / "features.npy"), _scorer(root).schema.names
    fields = [("customer_id", pa.int64()), *((name, pa.float64()) for name in names)]
    random = np.random.default_rng(7)
    with pq.ParquetWriter(handle, pa.schema(fields)) as writer:
        for begin in range(0, rows, BLOCK):
            n = min(BLOCK, rows - begin)
            # Values of their own, so that no run of equal numbers makes the file small.
            block = X[random.integers(len(X), size=n)] * random.uniform(0.9, 1.1, (n, X.shape[1]))
            columns = [pa.array(column, from_pandas=True) for column in block.T]
            ids = pa.array(np.arange(begin, begin + n))
            writer.write_table(pa.table([ids, *columns], schema=pa.schema(fields)))


def carry(root: Path, name: str) -> None:
    """Work on a job to its end, and tell how long that took."""
    histories = _Stored(root) if name == "ids" else None
    work = _work(root, root / name, name, histories)
    started = time.perf_counter()
    finished = work()
    tell(started, rows=finished.rows, sha256=finished.sha256)


class _Stored:
    """A store of encoded histories: customer c-7 has those of the seventh, and so has c-5007."""

    def __init__(self, root: Path) -> None:
        from churn.events import Event, Kind
        from churn.history import History
        from service import instants

        def stored(events: list[dict[str, Any]]) -> bytes:
            made = [
                Event(**{**event, "occurred_at": instants.parse(event["occurred_at"]),
                         "kind": Kind(event["kind"])})
                for event in events
            ]  # fmt: skip
            return History.empty().merged(made, 1)[0].encode()

        self._decode = History.decode
        self._blobs = [stored(events) for events in orjson.loads(_events(root))]

    def __call__(self, customer_ids: Sequence[str]) -> dict[str, Any]:
        n = len(self._blobs)
        return {name: self._decode(self._blobs[int(name[2:]) % n]) for name in customer_ids}


def _work(root: Path, folder: Path, name: str, histories: Any) -> Any:
    from benchmarks.shop import model_path
    from service import models
    from service.jobs.job import Job
    from service.jobs.run import run

    loaded = models.load(model_path(root / "models"))
    input_format, results_format, _ = LISTS[name]
    as_of = int((root / "as_of").read_text())
    job: Any = Job("j", input_format, results_format, as_of, 1, loaded.version)  # type: ignore
    read = histories or (lambda _: {})
    return lambda: run(folder, job, loaded, read, keep_going=lambda _: True)


def killed(root: Path, name: str, kills: int, rows: int) -> tuple[int, bool]:
    """Kill a job at random moments; how often, and whether the results are the same bytes."""
    digests, times = [], 0
    for most in (0, kills // 3 + 1):
        folder = root / f"{name}-{most}"
        folder.mkdir()
        head = root / f"{name}-input"
        if not head.exists():
            _alone("head", root, name, rows)
        os.link(head, folder / "input")
        moments = random.Random(name)
        while not list(folder.glob("results.*[a-z]")) or (folder / "input").exists():
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.jobs", "kill", str(root), name, folder.name],
                cwd=HERE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            process.stdout.read(1)  # the model is loaded
            if times < most:
                time.sleep(moments.uniform(0.0, 0.5))
                process.kill()
                times += 1
            process.wait()
        (results,) = folder.iterdir()
        digests.append(hashlib.sha256(results.read_bytes()).hexdigest())
    return times, digests[0] == digests[1]


def head(root: Path, name: str, rows: int) -> None:
    """A shorter list."""
    with (root / f"{name}-input").open("wb") as handle:
        if LISTS[name][0] == "parquet":
            _write_features(root, handle, rows)
        else:
            handle.writelines(_lines(root, name, rows))


def kill(root: Path, name: str, folder: str) -> None:
    """Work on a job that is going to be killed."""
    work = _work(root, root / folder, name, _Stored(root) if name == "ids" else None)
    sys.stdout.write("!")
    sys.stdout.flush()
    work()


def _scorer(root: Path) -> Any:
    from benchmarks.shop import model_path
    from churn.bundle import load
    from churn.scoring import Scorer

    return Scorer(load(model_path(root / "models")))


def _events(root: Path) -> bytes:
    return (root / "events.json").read_bytes()


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    if command == "all":
        print(run(*map(int, given)).markdown())
    else:
        globals()[command](
            Path(given[0]), *[int(one) if one.isdecimal() else one for one in given[1:]]
        )
