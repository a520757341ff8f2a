"""What every benchmark shares: repeats, the machine it ran on, the table and the page."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
REPEATS = 3
LIBRARIES = ("numpy", "numba", "duckdb", "pyarrow", "lightgbm", "polars")


@dataclass
class Result:
    """A table, what was measured and where.

    Attributes
    ----------
    title, notes : str
        What is measured and how to read it.
    columns : tuple of str
        The table's head.
    rows : list of list
        Its lines; numbers are rounded when shown.
    targets : dict of str to str
        What was aimed at, and what came out.
    """

    title: str
    notes: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    targets: dict[str, str] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """The section of the page."""
        lines = [
            f"## {self.title}",
            "",
            self.notes,
            "",
            f"| {' | '.join(self.columns)} |",
            "|" + "---|" * len(self.columns),
            *(f"| {' | '.join(_shown(cell) for cell in row)} |" for row in self.rows),
            "",
            *(f"- Aim: {aim}. {outcome}" for aim, outcome in self.targets.items()),
            "- " + ", ".join(f"{name} {value}" for name, value in self.machine.items()) + ".",
        ]
        return "\n".join(lines)


def machine(load_before: float) -> dict[str, str]:
    """Where it ran; the load tells how far other work may have slowed it down."""
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "load before and after": f"{load_before:.1f}, {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES if _is_installed(name)},
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def keep(name: str, result: Result) -> None:
    """Write the figures of one benchmark and the page of all."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(
        json.dumps(result.__dict__, indent=1, ensure_ascii=False) + "\n"
    )
    found = [
        Result(**json.loads(path.read_text())).markdown() for path in sorted(RESULTS.glob("*.json"))
    ]
    head = PAGE.read_text().split("\n## ")[0].rstrip() if PAGE.exists() else "# Benchmarks"
    PAGE.write_text("\n\n".join([head, *found]) + "\n")


def median(values: list[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def timed(function: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Seconds of each run."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return seconds


def each_us(function: Callable[[], object], calls: int, repeats: int = 5) -> float:
    """Median over the repeats of the mean microseconds of a call."""
    function()
    return median(
        [s / calls * 1e6 for s in timed(lambda: [function() for _ in range(calls)], repeats)]
    )


def in_process(module: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run a module in a process of its own; it prints what it measured as JSON (see `tell`)."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | environment,
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def tell(started: float, **more: Any) -> None:
    """Print wall and CPU seconds since `started` (perf_counter) and this process's peak memory."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(
        json.dumps(
            {
                "wall_s": time.perf_counter() - started,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "peak_gb": usage.ru_maxrss * 1024 / 1e9,
                **more,
            }
        )
    )


def _shown(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except Exception:
        return False
    return True
