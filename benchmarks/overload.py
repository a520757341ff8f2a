"""Five times as many requests as can be answered, for a minute.

python -m benchmarks overload
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from benchmarks import open_loop
from benchmarks.load import drive, script
from benchmarks.open_loop import Told
from benchmarks.report import Result, machine
from benchmarks.servers import Running, keepwell, running
from benchmarks.serving_models import bodies

TIMES = 5
SECONDS, NORMAL_SECONDS, CAPACITY_SECONDS = 60.0, 20.0, 8.0
NORMAL = 0.7
"""Of the capacity: what a service is usually asked at its busiest."""

FULL_CONNECTIONS = 64
CONNECTIONS = 500
PROBE_SECONDS = 0.05


class Probed(NamedTuple):
    """Probes of `/health/live`, each over a connection of its own, and how long they took."""

    asked: int
    failed: int
    p99_ms: float


class Overloaded(NamedTuple):
    """A server at its capacity, below it, beyond it and after that."""

    capacity: float
    full_p99_ms: float
    normal: Told
    beyond: Told
    after: Told
    probed: Probed
    cpu_share: float


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.serving_models", "table", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        load_before = os.getloadavg()[0]
        asked = [json.dumps(one, separators=(",", ":")).encode() for one in bodies(folder)]
        load = script(folder / "load", asked).parent
        with running(keepwell(folder / "models")) as up:
            found = overload(up, load)
    return _result(found, load_before)


def overload(
    up: Running, load: Path, *, seconds: float = SECONDS, normal_seconds: float = NORMAL_SECONDS,
    capacity_seconds: float = CAPACITY_SECONDS,
) -> Overloaded:  # fmt: skip
    """Find out what a server can do, and ask more of it; `load` has the requests' bodies."""
    url = f"{up.url}/score"
    drive(url, load / "load.lua", FULL_CONNECTIONS, capacity_seconds / 4)
    full = drive(url, load / "load.lua", FULL_CONNECTIONS, capacity_seconds)

    def told(times: float, seconds: float) -> Told:
        rate = full.rate * times
        process = open_loop.begin(up.port, load, rate, seconds, CONNECTIONS)
        return open_loop.finished(process)

    normal = told(NORMAL, normal_seconds)
    probes = _Probes(up.port)
    probes.start()
    cpu = up.cpu_s()
    beyond = told(TIMES, seconds)
    cpu = up.cpu_s() - cpu
    probed = probes.end()
    time.sleep(1.0)
    return Overloaded(
        full.rate, full.p99_ms, normal, beyond, told(NORMAL, normal_seconds), probed,
        cpu / beyond.seconds,
    )  # fmt: skip


class _Probes(threading.Thread):
    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{port}/health/live"
        self._over = threading.Event()
        self._took: list[float] = []
        self._failed = 0

    def run(self) -> None:
        while not self._over.wait(PROBE_SECONDS):
            started = time.perf_counter()
            try:
                with urllib.request.urlopen(self._url, timeout=5) as answer:
                    answer.read()
            except OSError:
                self._failed += 1
            self._took.append(time.perf_counter() - started)

    def end(self) -> Probed:
        self._over.set()
        self.join()
        took = sorted(self._took)
        return Probed(len(took), self._failed, took[int(len(took) * 0.99)] * 1e3)


def _result(found: Overloaded, load_before: float) -> Result:
    normal, beyond = found.normal, found.beyond
    phases = {
        f"{NORMAL:.0%} of the capacity": normal,
        f"{TIMES} times the capacity": beyond,
        f"{NORMAL:.0%} again, a second later": found.after,
    }
    rows = [
        [
            name, told.asked / told.seconds, told.accepted.count / told.seconds,
            told.accepted.p50_ms, told.accepted.usual_p99_ms, told.accepted.p99_ms,
            told.accepted.longest_ms,
            f"{told.share(429):.1%}", told.by_status[429].p99_ms if 429 in told.by_status else "",
            told.asked - sum(one.count for one in told.by_status.values()),
        ]
        for name, told in phases.items()
    ]  # fmt: skip
    others = 1.0 - beyond.share(200) - beyond.share(429)
    return Result(
        title=f"{TIMES} times as many requests as can be answered",
        notes=(
            "One customer a request, 300 trees of 31 leaves over 40 numbers, over "
            f"{CONNECTIONS} connections; an answer's time counts from the instant at which its "
            "request was due, whether the ones before it are answered or not. Usual: the median "
            "of slices of two seconds, for a shared machine stands still now and then. Capacity: "
            f"{found.capacity:,.0f} requests/s, as {FULL_CONNECTIONS} connections get them one "
            f"after the other, 99% of them within {found.full_p99_ms:.0f} ms. The service takes "
            f"{found.cpu_share:.0%} of a core while it is asked too much, and the load as much as "
            f"{beyond.cpu_s / beyond.seconds:.0%} of another."
        ),
        columns=(
            "", "asked/s", "accepted/s", "accepted p50 ms", "usual p99 ms", "p99 ms", "longest ms",
            "429", "429 p99 ms", "no answer",
        ),
        rows=rows,
        targets={
            "accepted p99 at most twice the normal one": (
                f"{beyond.accepted.usual_p99_ms / normal.accepted.usual_p99_ms:.2f} times as a "
                f"rule, {beyond.accepted.p99_ms / normal.accepted.p99_ms:.2f} over all"
            ),
            "the rest 429": f"{others:.2%} are anything else",
            "liveness always": (
                f"{found.probed.failed} of {found.probed.asked} probes failed, "
                f"p99 {found.probed.p99_ms:.0f} ms"
            ),
        },
        machine=machine(load_before),
    )  # fmt: skip
