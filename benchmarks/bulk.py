"""A million customers from file to file: with reasons, from a ready table and from a log.

Beside it the same work as it is usually done: LightGBM's `pred_contrib`, the three largest
families and a sentence for each. That takes too long for all, so it does a sample.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import large_log, serving_models
from benchmarks.large import Watched, watch
from benchmarks.report import REPEATS, Result, in_process, machine, median, tell

ROWS, BLOCK = 1_000_000, 100_000
SAMPLE = 5_000
LEARNT_FROM = 20_000
TOML = "[table]\nquery = \"SELECT * FROM 'features.parquet'\"\n"
SCORE = ["score", "--models-dir", "models", "--out", "scores.parquet"]
LIMIT_MINUTES, LIMIT_GB, LIMIT_RATIO = 3, 1, 10


def run() -> Result:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        table, log, bare = (Path(folder) / name for name in ("table", "log", "bare"))
        for name, where in (("table", table), ("bare", bare)):
            _run(name, where)
        ours, theirs = [], []
        for _ in range(REPEATS):  # one after the other, so that other work slows both alike
            ours.append(watch(SCORE, table))
            theirs.append(in_process("benchmarks.bulk", "rival", str(table)))
        plain = [in_process("benchmarks.bulk", "features", str(bare)) for _ in range(REPEATS)]
        _run("log", log)
        of_log = watch(SCORE, log)
        events = sum(_rows(path) for path in (log / "events").iterdir())
        customers = _rows(log / "scores.parquet")
    wall = median([one.wall_s for one in ours])
    their_wall = median([one["wall_s"] for one in theirs]) * ROWS / SAMPLE
    their_cpu = median([one["cpu_s"] for one in theirs]) * ROWS / SAMPLE
    ratio = median(
        [its["wall_s"] * ROWS / SAMPLE / our.wall_s for our, its in zip(ours, theirs, strict=True)]
    )
    cpu_ratio = their_cpu / median([one.cpu_s for one in ours])
    middle = {key: median([one[key] for one in plain]) for key in plain[0]}
    return Result(
        title=f"{ROWS:,} customers scored, Parquet to Parquet",
        notes=(
            f"`keepwell score` as a user runs it, from its start to its end: a ready table of "
            f"{serving_models.FEATURES} columns with a model of {serving_models.TREES} trees of "
            f"{serving_models.LEAVES} leaves, and a log of {events:,} events in {large_log.DAYS} "
            "days (once). Each customer gets three reasons with code, share, evidence and "
            f"sentence. The rival does {SAMPLE:,} customers of the same table with the same model: "
            "`pred_contrib` on every core, the three largest of the summed families, a sentence "
            "for each; its times are extrapolated, and taken in turn with ours. Without "
            "reasons: `training.bulk.score_features`, 99 features, a model of a simulated shop. "
            "Memory is that of all processes. Medians of three."
        ),
        columns=("", "rows", "wall s", "CPU s", "peak GB", "rows / s"),
        rows=[
            _line("a ready table, three reasons", ROWS, ours),
            [
                "the same with `pred_contrib`, extrapolated", ROWS, their_wall,
                their_cpu, "", ROWS / their_wall,
            ],
            _line("a log, three reasons", customers, [of_log]),
            [
                "features, no reasons", ROWS, middle["wall_s"], middle["cpu_s"],
                middle["peak_gb"], ROWS / middle["wall_s"],
            ],
        ],
        targets={
            f"a table with reasons within {LIMIT_MINUTES} minutes and {LIMIT_GB} GB": (
                f"{wall / 60:.1f} minutes, {max(one.peak_gb for one in ours):.2f} GB; the log "
                f"{of_log.wall_s / 60:.1f} minutes, {of_log.peak_gb:.2f} GB"
            ),
            f"at least {LIMIT_RATIO} times as fast as `pred_contrib`": (
                f"{ratio:.1f} times, {cpu_ratio:.1f} times by CPU time"
            ),
            "without reasons at least 80,000 rows per second": f"{ROWS / middle['wall_s']:,.0f}",
        },
        machine=machine(load),
    )  # fmt: skip


def _run(name: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "benchmarks.bulk", name, str(folder)], check=True)


def _line(what: str, rows: int, seen: list[Watched]) -> list[Any]:
    wall = median([one.wall_s for one in seen])
    cpu = median([one.cpu_s for one in seen])
    return [what, rows, wall, cpu, max(one.peak_gb for one in seen), rows / wall]


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def table(folder: Path) -> None:
    """Publish the large table model; a million customers of the table, and the rival's sample."""
    import pyarrow.parquet as pq

    folder.mkdir()
    serving_models.table(folder)
    random = np.random.default_rng(3)
    blocks = (random.normal(size=(BLOCK, serving_models.FEATURES)) for _ in range(ROWS // BLOCK))
    _write(folder, blocks, serving_models.NAMES)
    sample = pq.read_table(folder / "features.parquet").slice(0, SAMPLE)
    pq.write_table(sample, folder / "sample.parquet")
    (folder / "keepwell.toml").write_text(TOML)


def rival(folder: Path) -> None:
    """Score and explain the sample as it is usually done."""
    import lightgbm
    import pyarrow as pa
    import pyarrow.parquet as pq

    booster = lightgbm.Booster(model_file=folder / serving_models.BOOSTER)
    names, n_families = list(serving_models.NAMES), serving_models.FAMILIES
    family_of = np.arange(len(names)) % n_families
    started = time.perf_counter()
    given = pq.read_table(folder / "sample.parquet")
    X = np.column_stack([given.column(name).to_numpy() for name in names])
    by_feature = booster.predict(X, pred_contrib=True)[:, :-1]
    by_family = by_feature @ np.eye(n_families)[family_of]
    rise = np.maximum(by_family, 0.0).sum(axis=1)
    main = np.argsort(-by_family, axis=1)[:, :3]
    reasons = []
    for row in range(len(X)):
        told = []
        for family in main[row]:
            contribution = by_family[row, family]
            if contribution > 0.0:
                feature = family + n_families * np.argmax(by_feature[row, family::n_families])
                told.append(
                    {
                        "code": f"family_{family}",
                        "contribution": contribution,
                        "share": contribution / rise[row],
                        "feature": names[feature],
                        "value": X[row, feature],
                        "text": f"{names[feature]}: {X[row, feature]:.3g}",
                    }
                )
        reasons.append(told)
    scores = pa.table(
        {
            "customer_id": given.column("customer_id"),
            "churn_probability": booster.predict(X),
            "reasons": reasons,
        }
    )
    pq.write_table(scores, folder / "rival.parquet", compression="zstd")
    tell(started)


def log(folder: Path) -> None:
    """A million customers' events, and the model of fewer."""
    from benchmarks.shop import NOW
    from training import config as configuration
    from training.pipeline import train

    large_log.write(folder / "few", LEARNT_FROM, "snapshot_every_days = 146")
    train(configuration.load(folder / "few" / "keepwell.toml"), folder / "models", now=NOW)
    large_log.write(folder)


def bare(folder: Path) -> None:
    """The model of a simulated shop, and a million rows drawn from its customers' features."""
    from benchmarks.shop import NOW, trained
    from churn.features import FEATURE_NAMES
    from training.calendar import instant
    from training.ingest import ingest
    from training.snapshots import collect

    config, _ = trained(folder, LEARNT_FROM)
    ingested = ingest(config, folder / "work", now_us=instant(NOW))
    known = collect(ingested, [ingested.complete_until], config.problem).X
    random = np.random.default_rng(7)
    # Values of their own, so that no run of equal numbers makes the file small.
    blocks = (
        known[random.integers(len(known), size=BLOCK)]
        * random.uniform(0.9, 1.1, size=(BLOCK, len(FEATURE_NAMES)))
        for _ in range(ROWS // BLOCK)
    )
    _write(folder, blocks, FEATURE_NAMES)


def features(folder: Path) -> None:
    """Score the rows that `bare` left."""
    from benchmarks.shop import model_path
    from churn.bundle import load
    from churn.scoring import Scorer
    from training.bulk import score_features

    bundle = load(model_path(folder / "models"))
    started = time.perf_counter()
    result = score_features(Scorer(bundle), folder / "features.parquet", folder / "scores.parquet")
    assert result.rows == ROWS
    tell(started)


def _write(folder: Path, blocks: Any, names: tuple[str, ...]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [("customer_id", pa.string()), *((name, pa.float64()) for name in names)]
    with pq.ParquetWriter(folder / "features.parquet", pa.schema(fields)) as writer:
        for at, block in enumerate(blocks):
            ids = pa.array([f"c{row:07d}" for row in range(at * BLOCK, (at + 1) * BLOCK)])
            columns = {name: block[:, place] for place, name in enumerate(names)}
            writer.write_table(pa.table({"customer_id": ids} | columns))


if __name__ == "__main__":
    steps = {"table": table, "rival": rival, "log": log, "bare": bare, "features": features}
    steps[sys.argv[1]](Path(sys.argv[2]))
