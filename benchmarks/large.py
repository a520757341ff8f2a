"""`keepwell check`, `train` and `score` of 50M events of a million customers, as a user runs them.

Not part of `make bench`, for it takes some 20 minutes and 8 GB of disk in TMPDIR:
`python -m benchmarks large`; `python -m benchmarks.large CUSTOMERS` prints a smaller one's table.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import large_log
from benchmarks.report import Result, machine

HERE = Path(__file__).parents[1]
LIMIT_MINUTES, LIMIT_GB = 20, 8
SNAPSHOTS = 6
# The first has 60 days of history behind it; the outcomes of the last end where the test begins.
TRAINING = f"snapshot_every_days = {(large_log.DAYS - 3 * 60) // (SNAPSHOTS - 1)}"
COMMANDS = {
    "check": ["check"],
    "train": ["train", "--models-dir", "models"],
    "score": ["score", "--models-dir", "models", "--out", "scores.parquet"],
}
_SAMPLED_EVERY = 0.2
_STAGE = re.compile(r"[a-z][a-z ]*( as of [0-9]{4}-[0-9]{2}-[0-9]{2})?")


class Moment(NamedTuple):
    """Seconds since the start, memory of all processes then, CPU seconds of all until then."""

    at: float
    gb: float
    cpu_s: float


@dataclass(slots=True)
class Watched:
    """A command that ran to its end.

    Attributes
    ----------
    wall_s, cpu_s : float
        Seconds; those of the processor by all its processes.
    disk_gb : float
        Largest size of its temporary files.
    moments : list of Moment
        Samples of it.
    lines : list of (float, str)
        What it said on stderr and when, seconds since the start.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    disk_gb: float = 0.0
    moments: list[Moment] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)

    @property
    def peak_gb(self) -> float:
        """Largest resident memory of the process and its children together."""
        return max((moment.gb for moment in self.moments), default=0.0)

    @property
    def silence_s(self) -> float:
        """Longest time without a line, where lines take the place of a bar."""
        said = [0.0, *(at for at, _ in self.lines), self.wall_s]
        return max(later - earlier for earlier, later in pairwise(said))

    def stages(self) -> list[tuple[str, float, float, float]]:
        """Name, wall and CPU seconds and peak memory of each stage, equal names together."""
        begun = [(0.0, "starting"), *(line for line in self.lines if _STAGE.fullmatch(line[1]))]
        ends = [*(at for at, _ in begun[1:]), self.wall_s]
        found: dict[str, list[float]] = {}
        for (start, name), end in zip(begun, ends, strict=True):
            during = [moment for moment in self.moments if start <= moment.at < end]
            sums = found.setdefault(name, [0.0, 0.0, 0.0])
            sums[0] += end - start
            if during:
                sums[1] += during[-1].cpu_s - during[0].cpu_s
                sums[2] = max(sums[2], *(moment.gb for moment in during))
        return [(name, wall, cpu, gb) for name, (wall, cpu, gb) in found.items()]


def run() -> Result:
    return measure(large_log.CUSTOMERS)


def measure(customers: int, commands: tuple[str, ...] = tuple(COMMANDS)) -> Result:
    """Make the log, run the commands on it one after another, each in processes of its own."""
    load = os.getloadavg()[0]
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        started = time.perf_counter()
        events = large_log.write(folder, customers, TRAINING)
        made_s = time.perf_counter() - started
        watched = {command: watch(COMMANDS[command], folder) for command in commands}
    for command, seen in watched.items():
        whole = [seen.wall_s, seen.cpu_s, seen.peak_gb, seen.disk_gb, seen.silence_s]
        rows.append([f"**{command}**", *whole])
        rows += [
            [stage, wall, cpu, gb, "", ""] for stage, wall, cpu, gb in seen.stages() if wall >= 1
        ]
    train = watched["train"]
    return Result(
        title=f"{customers:,} customers, {events:,} events, {SNAPSHOTS} snapshots",
        notes=(
            f"`keepwell check`, `train` and `score` of a made-up log of {large_log.DAYS} days "
            "(seven kinds, ten columns, a Parquet file a month in order of time; "
            f"`benchmarks/large_log.py` makes it in {made_s:.0f} s), each in a process of its own, "
            f"once. `{TRAINING}` gives {SNAPSHOTS} training snapshots for the model that is "
            "judged and as many for the one that is published; of their rows at most 600,000 at "
            "random are learnt from, while every eligible customer is tested on and scored. "
            "`train` does all that it always does. Memory is that of all processes of the "
            "command, sampled; disk that of its temporary files; silence the longest time without "
            "a sign of progress. Stages of less than a second are left out."
        ),
        columns=("", "wall s", "CPU s", "peak GB", "disk GB", "silence s"),
        rows=rows,
        targets={
            f"training within {LIMIT_MINUTES} minutes and {LIMIT_GB} GB on two cores": (
                f"{train.wall_s / 60:.1f} minutes, {train.peak_gb:.1f} GB"
            )
        },
        machine=machine(load),
    )


def watch(arguments: list[str], folder: Path) -> Watched:
    """Run a `keepwell` command in `folder` to its end.

    Raises
    ------
    CalledProcessError
        It failed; what it said is on stderr.
    """
    seen = Watched()
    temporary = folder / "temporary"
    temporary.mkdir(exist_ok=True)
    before = os.times()
    started = time.perf_counter()
    over = threading.Event()
    with subprocess.Popen(
        [sys.executable, "-c", "from cli.main import main; main()", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def sample() -> None:
            while not over.wait(_SAMPLED_EVERY):
                seen.moments.append(Moment(time.perf_counter() - started, *_taken(process.pid)))
                if len(seen.moments) % 5 == 0:
                    seen.disk_gb = max(seen.disk_gb, _size_gb(temporary))

        sampler = threading.Thread(target=sample)
        sampler.start()
        assert process.stderr is not None
        for line in process.stderr:
            seen.lines.append((time.perf_counter() - started, line.rstrip("\n")))
        over.set()
        sampler.join()
    seen.wall_s = time.perf_counter() - started
    after = os.times()
    seen.cpu_s = sum(after[2:4]) - sum(before[2:4])
    if process.returncode:
        sys.stderr.write("\n".join(text for _, text in seen.lines) + "\n")
        raise subprocess.CalledProcessError(process.returncode, ["keepwell", *arguments])
    return seen


def _taken(pid: int) -> tuple[float, float]:
    """Resident GB and CPU seconds of a process and of its living children."""
    pages = ticks = 0
    waiting = [pid]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        try:
            pages += int((process / "statm").read_text().split()[1])
            ticks += sum(map(int, (process / "stat").read_text().rsplit(")")[-1].split()[11:13]))
            for task in (process / "task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it ended meanwhile
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9, ticks / os.sysconf("SC_CLK_TCK")


def _size_gb(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # it was removed meanwhile
            continue
    return total / 1e9


if __name__ == "__main__":
    print(measure(int(sys.argv[1])).markdown())
