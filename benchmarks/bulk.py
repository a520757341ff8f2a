"""A million rows of features, Parquet to Parquet, without reasons."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import REPEATS, Result, in_process, machine, median, tell

ROWS, BLOCK = 1_000_000, 100_000


def run() -> Result:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.bulk", "prepare", folder], check=True)
        runs = [in_process("benchmarks.bulk", "score", folder) for _ in range(REPEATS)]
    middle = {key: median([run[key] for run in runs]) for key in runs[0]}
    rate = ROWS / middle["wall_s"]
    return Result(
        title="Scoring 1M rows of features, file to file",
        notes=(
            "From a Parquet file of 99 features to one of probabilities and bands, without "
            "reasons; the model of a simulated shop. Each run is a process of its own; medians of "
            "three."
        ),
        columns=("rows", "trees", "wall s", "CPU s", "peak GB", "rows per second"),
        rows=[
            [ROWS, int(middle["trees"]), middle["wall_s"], middle["cpu_s"], middle["peak_gb"], rate]
        ],
        targets={"at least 80,000 rows per second": f"{rate:,.0f}"},
        machine=machine(load),
    )


def prepare(folder: Path) -> None:
    """A published model, and a million rows drawn from its customers' features."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.shop import NOW, trained
    from churn.features import FEATURE_NAMES
    from training.calendar import instant
    from training.ingest import ingest
    from training.snapshots import collect

    config, _ = trained(folder, 20_000)
    ingested = ingest(config, folder / "work", now_us=instant(NOW))
    known = collect(ingested, [ingested.complete_until], config.problem).X
    random = np.random.default_rng(7)
    ids = pa.array([f"c{i:07d}" for i in range(ROWS)])
    fields = [("customer_id", pa.string()), *((name, pa.float64()) for name in FEATURE_NAMES)]
    with pq.ParquetWriter(folder / "features.parquet", pa.schema(fields)) as writer:
        for start in range(0, ROWS, BLOCK):
            block = known[random.integers(len(known), size=BLOCK)]
            # Values of their own, so that no run of equal numbers makes the file small.
            block *= random.uniform(0.9, 1.1, size=block.shape)
            columns = {name: block[:, at] for at, name in enumerate(FEATURE_NAMES)}
            writer.write_table(pa.table({"customer_id": ids.slice(start, BLOCK)} | columns))


def score(folder: Path) -> None:
    from benchmarks.shop import model_path
    from churn.bundle import load
    from churn.scoring import Scorer
    from training.bulk import score_features

    bundle = load(model_path(folder / "models"))
    started = time.perf_counter()
    result = score_features(Scorer(bundle), folder / "features.parquet", folder / "scores.parquet")
    assert result.rows == ROWS
    tell(started, trees=len(bundle.model.trees.node_start) - 1)


if __name__ == "__main__":
    {"prepare": prepare, "score": score}[sys.argv[1]](Path(sys.argv[2]))
