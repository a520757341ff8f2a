"""Driving a server with wrk, and what came of it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_SCALE = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


class Load(NamedTuple):
    """One run: requests answered, a second; milliseconds that half, and all but 1%, took."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float


def wrk() -> str:
    """The load generator's path."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit(
            "this benchmark drives the servers with wrk, which is not installed: "
            "apt-get install wrk, or brew install wrk"
        )
    return found


def script(folder: Path, bodies: Sequence[bytes], content_type: str = "application/json") -> Path:
    """A wrk script that posts these bodies in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, body in enumerate(bodies):
        (folder / f"{at}.body").write_bytes(body)
    path = folder / "load.lua"
    path.write_text(f"""
local bodies = {{}}
for at = 0, {len(bodies) - 1} do
  local file = io.open({json.dumps(str(folder))} .. "/" .. at .. ".body", "rb")
  bodies[at] = file:read("*a")
  file:close()
end
wrk.method = "POST"
wrk.headers["Content-Type"] = {json.dumps(content_type)}
local at = -1
request = function()
  at = (at + 1) % {len(bodies)}
  return wrk.format(nil, nil, nil, bodies[at])
end
""")
    return path


def drive(url: str, load: Path, connections: int, seconds: float) -> Load:
    """Keep so many connections busy for so long."""
    return finished(begin(url, load, connections, seconds))


def begin(url: str, load: Path, connections: int, seconds: float) -> "subprocess.Popen[str]":
    """The same, in the background."""
    command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s"]
    command += ["--latency", "-s", str(load), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> Load:
    """What wrk says at its end."""
    text, _ = process.communicate()
    if process.returncode or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"not every request was answered with success:\n{text}")
    return Load(
        requests=int(re.search(r"(\d+) requests in", text)[1]),  # type: ignore[index]
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),  # type: ignore[index]
        p50_ms=_milliseconds(text, "50%"),
        p99_ms=_milliseconds(text, "99%"),
    )


def _milliseconds(text: str, share: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s|m)", text)
    assert found is not None
    return float(found[1]) * _SCALE[found[2]]
