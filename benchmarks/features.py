"""Features of 10M events at 6 dates, bucketing included, beside Polars on the same file."""

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import made_up_log
from benchmarks.report import REPEATS, Result, in_process, machine, median, tell

DAY = 86_400_000_000
SNAPSHOTS = 6
END = int(datetime.fromisoformat(made_up_log.FIRST_DAY).replace(tzinfo=UTC).timestamp()) * 10**6
END += made_up_log.DAYS * DAY
AS_OFS = [END - (60 + 30 * k) * DAY for k in range(SNAPSHOTS)]


def run() -> Result:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        log = Path(folder) / "log.parquet"
        made_up_log.write(log)
        moments = [str(as_of) for as_of in AS_OFS]
        own = [in_process("benchmarks.features", str(log), *moments) for _ in range(REPEATS)]
        other = [
            in_process("benchmarks.features_polars", str(log), *moments) for _ in range(REPEATS)
        ]
    rows = []
    for name, runs in (("Keepwell", own), ("Polars, streaming", other)):
        middle = {key: median([run[key] for run in runs]) for key in runs[0]}
        rows.append(
            [
                name, int(middle["features"]), int(middle["rows"]), middle["wall_s"],
                middle["cpu_s"], middle["peak_gb"], middle.get("ingest_s", "-"),
            ]
        )  # fmt: skip
    ours, theirs = rows
    return Result(
        title="Features of 10M events at 6 dates",
        notes=(
            "From one Parquet file of 10M events of 500,000 customers (nine columns, eight "
            "kinds, 24 months) to the features of every eligible customer at six dates. "
            "Keepwell's figures include judging every row, dealing and sorting the events; Polars "
            "reads the file as it is and computes those features only that are plain aggregates. "
            "Both reduce what they computed to sums, so that neither writes a file. "
            "Each run is a process of its own; medians of three."
        ),
        columns=("", "features", "rows", "wall s", "CPU s", "peak GB", "of it ingest, s"),
        rows=rows,
        targets={
            "at most 20 s and 1.5 GB on two cores": (
                f"{ours[3]:.1f} s, {ours[5]:.2f} GB; "
                f"{theirs[3] / ours[3]:.2f} times as fast as Polars with {ours[1] / theirs[1]:.1f} "
                f"times the features, {theirs[4] / ours[4]:.2f} times by CPU time"
            )
        },
        machine=machine(load),
    )


def measure(log: Path, as_ofs: list[int]) -> None:
    from training.config import Problem, from_mapping
    from training.ingest import ingest
    from training.snapshots import by_bucket

    config = from_mapping({"events": {"query": f"FROM '{log}'"}}, log.parent / "keepwell.toml")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=log.parent) as work:
        ingested = ingest(config, Path(work), now_us=END)
        ingest_s = time.perf_counter() - started
        rows, columns, total = 0, 0, 0.0
        for part in by_bucket(ingested, as_ofs, Problem()):
            rows += len(part)
            columns = part.X.shape[1]
            total += float(np.nansum(part.X, axis=0).sum())
        tell(started, rows=rows, features=columns, ingest_s=ingest_s)


if __name__ == "__main__":
    measure(Path(sys.argv[1]), [int(as_of) for as_of in sys.argv[2:]])
