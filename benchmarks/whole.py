"""The commands as a user runs them: `keepwell score` of a log with reasons, `keepwell train`."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import REPEATS, Result, in_process, machine, median, tell

CUSTOMERS, LEARNT_FROM = 200_000, 20_000
REASONS = 3
CDNOW = Path(__file__).parents[1] / "examples" / "cdnow"


def run() -> Result:
    load = os.getloadavg()[0]
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.whole", "prepare", folder], check=True)
        rows.append(_line("score", f"{CUSTOMERS:,} simulated customers, 3 reasons each", folder))
        missing = _fetched()
        if missing is None:
            rows.append(_line("train", "CDNOW, 23,570 customers", folder))
    return Result(
        title="Whole commands",
        notes=(
            "From the log on disk to the file or the published model: `keepwell score` with three "
            "reasons and an action for each customer, `keepwell train` with its evaluation beside "
            "four baselines and its report. Each run is a process of its own; medians of three."
            + (f" CDNOW is left out: {missing}." if missing else "")
        ),
        columns=("command", "log", "events", "rows", "wall s", "CPU s", "peak GB", "rows / s"),
        rows=rows,
        targets={"training on CDNOW in less than 90 s": f"{rows[1][4]:.1f} s"}
        if len(rows) > 1
        else {},
        machine=machine(load),
    )


def _line(command: str, log: str, folder: str) -> list[Any]:
    runs = [in_process("benchmarks.whole", command, folder) for _ in range(REPEATS)]
    middle = {key: median([run[key] for run in runs]) for key in runs[0]}
    return [
        command, log, int(middle["events"]), int(middle["rows"]), middle["wall_s"],
        middle["cpu_s"], middle["peak_gb"], middle["rows"] / middle["wall_s"],
    ]  # fmt: skip


def _fetched() -> str | None:
    """Fetch CDNOW as the example does; say why where it cannot be had."""
    done = subprocess.run(
        [sys.executable, CDNOW / "fetch.py"], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else "its log could not be fetched"


def prepare(folder: Path) -> None:
    from benchmarks.shop import simulated, trained

    trained(folder / "small", LEARNT_FROM)
    simulated(folder / "large", CUSTOMERS)


def score(folder: Path) -> None:
    import pyarrow.parquet as pq

    from benchmarks.shop import NOW
    from training import config as configuration
    from training.bulk import score

    log = folder / "large"
    config = configuration.load(log / "keepwell.toml")
    models = folder / "small" / "models"
    started = time.perf_counter()
    result = score(
        config, models, as_of=None, out=folder / "scores.parquet", now=NOW, reasons=REASONS
    )
    tell(started, rows=result.rows, events=pq.read_metadata(log / "events.parquet").num_rows)


def train(folder: Path) -> None:
    from benchmarks.shop import NOW
    from training import config as configuration
    from training.pipeline import train

    config = configuration.load(CDNOW / "keepwell.toml")
    started = time.perf_counter()
    # A version of the same model is never written twice.
    train(config, Path(tempfile.mkdtemp(dir=folder)), now=NOW)
    lines = (CDNOW / "CDNOW_master.txt").read_text().count("\n")
    tell(started, rows=23_570, events=lines)


if __name__ == "__main__":
    {"prepare": prepare, "score": score, "train": train}[sys.argv[1]](Path(sys.argv[2]))
