"""Runs one command as a container would, in namespaces of its own, and asks it questions.

Started by `benchmarks.image` under `unshare --mount --net --pid`: the root is mounted read-only,
the process has no privileges and no network but its own loopback. Prints what was found as JSON.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

URL = "http://127.0.0.1:8000"
CUSTOMER = {
    "customer_id": "c-1042",
    "as_of": "2026-11-21T00:00:00Z",
    "events": [
        {"occurred_at": "2026-08-19T16:40:00Z", "kind": "purchase", "amount": 61.0},
        {"occurred_at": "2026-10-02T10:11:00Z", "kind": "purchase", "amount": 54.9},
    ],
}
PATIENCE_SECONDS = 600.0
UNPRIVILEGED = (
    "/usr/bin/setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--no-new-privs",
    "--bounding-set=-all", "--inh-caps=-all",
)  # fmt: skip


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Mount, start, ask, end."""
    root = Path(given["root"])
    _mount(root, Path(given["models"]), Path(given["data"]))
    variables = [f"{name}={value}" for name, value in given["environment"].items()]
    enter = ["chroot", str(root), *UNPRIVILEGED, "/usr/bin/env", "-i", *variables]
    found: dict[str, Any] = {}
    # No pipe: one that nobody empties would hold the service up with its log.
    with tempfile.TemporaryFile("w+") as log:
        _served(enter, given, found, log)
        log.seek(0)
        found["log"] = log.read().splitlines()
    return found


def _served(enter: list[str], given: dict[str, Any], found: dict[str, Any], log: IO[str]) -> None:
    """Start the command, ask it, end it."""
    begun = time.monotonic()
    process = subprocess.Popen([*enter, *given["command"]], stderr=log)
    try:
        for path in ("/health/live", "/health/ready"):
            _until(path, process)
            found[f"seconds to {path}"] = time.monotonic() - begun
        found["answer"] = _ask("/score", CUSTOMER)
        found["seconds to /score"] = time.monotonic() - begun
        found |= _told(process.pid)
        found["healthcheck"] = subprocess.run(
            [*enter, *given["healthcheck"]], check=False
        ).returncode
        found["refused to write"] = _cannot_write(enter)
    finally:
        process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        found["exit code"] = process.wait(PATIENCE_SECONDS)
        found["seconds to end"] = time.monotonic() - asked


def _mount(root: Path, models: Path, data: Path) -> None:
    def mount(*words: str) -> None:
        subprocess.run(["mount", *words], check=True)

    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    mount("--bind", str(root), str(root))
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "tmp", f"{root}/tmp")
    mount("--bind", "/dev", f"{root}/dev")
    mount("--bind", str(models), f"{root}/srv/keepwell/models")
    mount("-o", "remount,ro,bind", f"{root}/srv/keepwell/models")
    mount("--bind", str(data), f"{root}/var/lib/keepwell")
    mount("-o", "remount,ro,bind", str(root))


def _ask(path: str, body: object = None) -> Any:
    sent = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, sent, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


def _until(path: str, process: subprocess.Popen[bytes]) -> None:
    for _ in _turns():
        with contextlib.suppress(OSError):  # not listening yet, or not ready
            _ask(path)
            return
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
    raise RuntimeError(f"{path} did not answer with 200")


def _turns() -> Iterator[None]:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        yield
        time.sleep(0.05)


def _told(pid: int) -> dict[str, Any]:
    """What the kernel tells of a process: who it is, what it may do, what it took."""
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        "user": int(status["Uid"].split()[0]),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
        "no new privileges": status["NoNewPrivs"].strip() == "1",
        "memory MB": int(status["VmRSS"].split()[0]) / 1000,
        "CPU seconds": (int(fields[11]) + int(fields[12])) / ticks,
    }


def _cannot_write(enter: list[str]) -> list[str]:
    """The folders in which the process cannot make a file."""
    places = ["/", "/opt/keepwell/kernels", "/srv/keepwell", "/srv/keepwell/models", "/etc"]
    places += ["/var/lib/keepwell", "/tmp"]
    tries = "".join(
        f"touch {place}/x 2>/dev/null && rm {place}/x || echo {place};" for place in places
    )
    done = subprocess.run([*enter, "sh", "-c", tries], capture_output=True, text=True, check=True)
    return done.stdout.split()


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
