"""Real servers in processes of their own, and what they cost: for the benchmarks of serving."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE = 120.0
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keepwell-benchmarks"
TICKS = os.sysconf("SC_CLK_TCK")
# What each needs cannot be installed beside the others.
RIVALS = {
    "BentoML": ("bentoml==1.4.39", "lightgbm==4.7.0"),
    # With a later uvloop its worker process does not start.
    "MLServer": (
        "mlserver==1.7.1",
        "mlserver-lightgbm==1.7.1",
        "lightgbm==4.7.0",
        "uvloop==0.21.0",
    ),
}


@dataclass(frozen=True)
class Server:
    """How to start one: `command` gets the port; it is up when `ready` answers 200."""

    name: str
    command: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = HERE.parent


@dataclass
class Running:
    """A server that is up."""

    process: subprocess.Popen[bytes]
    port: int
    cold_start_s: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_s(self) -> float:
        """CPU seconds of the process and of all below it."""
        ticks = 0
        for pid in self._tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def rss_mb(self) -> float:
        """Memory of the process and of all below it."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._tree())
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _tree(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in task.read_text().split()]
        return found


@contextmanager
def running(server: Server) -> Iterator[Running]:
    """Start a server on a free port of the loopback and end it afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    process = subprocess.Popen(
        [part.replace("PORT", str(port)) for part in server.command],
        cwd=server.folder,
        # One thread for each library that would start one for each core.
        env=os.environ | {"OMP_NUM_THREADS": "1", "BENTOML_DO_NOT_TRACK": "True"}
        | {name: value.replace("PORT", str(port)) for name, value in server.environment.items()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while not _is_up(f"http://127.0.0.1:{port}{server.ready}"):
            if process.poll() is not None or time.perf_counter() - started > PATIENCE:
                raise RuntimeError(f"{server.name} did not start")
            time.sleep(0.02)
        yield Running(process, port, time.perf_counter() - started)
    finally:
        # The whole session is its own: BentoML's workers end with it.
        with suppress(ProcessLookupError):  # ended by itself
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def rival_python(name: str) -> Path | None:
    """The interpreter of a rival's virtual environment, made if need be; None if it cannot be."""
    folder = CACHE / name.lower()
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    sys.stderr.write(f"installing {name} into {folder}\n")
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *RIVALS[name]],
    ):
        if subprocess.run(command, check=False, capture_output=True).returncode:
            sys.stderr.write(f"{name} cannot be installed here: it is left out\n")
            return None
    (folder / "complete").touch()
    return python


def keepwell(models: Path) -> Server:
    return Server(
        "Keepwell",
        (str(Path(sys.executable).with_name("keepwell")), "serve", "--port", "PORT"),
        "/health/ready",
        {
            "KEEPWELL_MODELS_DIR": str(models),
            "KEEPWELL_DRAIN_SECONDS": "0",
            "KEEPWELL_STORE_URL": f"sqlite:///{models.resolve().parent}/keepwell.db",
            "KEEPWELL_JOBS_DIR": f"{models.resolve().parent}/jobs",
        },
    )


def uvicorn(name: str, app: str, ready: str, **environment: str) -> Server:
    options = ("--port", "PORT", "--no-access-log", "--log-level", "warning")
    return Server(name, (sys.executable, "-m", "uvicorn", app, *options), ready, environment)
