"""A million requests of one process, and what becomes of its memory.

    python -m benchmarks soak

No two requests are alike: each customer has an id and numbers of its own. Lists, scrapes of the
metrics and requests that are refused come among the single ones, and connections are opened anew.
The client is a loop of our own rather than wrk, so that each answer's status is looked at and the
number of requests is exact; what is measured is memory, not time.
"""

import contextlib
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.report import Result, machine
from benchmarks.servers import Running, keepwell, running
from benchmarks.serving_models import CDNOW, bodies

REQUESTS = {"table": 1_000_000, "events": 300_000}
TITLES = {
    "table": "300 trees of 31 leaves, 40 numbers",
    "events": "CDNOW model, 3 to 10 purchases",
}
MOST_SECONDS = 1800.0
CONNECTIONS = 16
RECONNECT_EVERY = 5_000
SAMPLES = 400
LIST = 100
PATIENCE = 60.0

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_NUMBER = b"@"


class Asked(NamedTuple):
    """A request as it goes over the wire, and the status that its answer must have."""

    request: bytes
    status: int


class Sample(NamedTuple):
    """After so many requests: megabytes in memory, and those that no other process shares."""

    requests: int
    resident: float
    private: float


def requests(customers: Sequence[dict[str, Any]]) -> Iterator[Asked]:
    """Endless requests made of these customers, most of them for one customer's score."""
    forms = [_numbered(one) for one in customers]
    refused = [
        Asked(_post("/score", b'{"customer_id":"a","customer_id":"b"}'), 400),
        Asked(_post("/score", b'{"customer_id":"c-@","features":{"column_@":1}}'), 422),
        Asked(_post("/score", b'{"customer_id":"c-@","as_of":"today","events":[]}'), 422),
        Asked(_get("/nowhere/@"), 404),
    ]
    scrape = Asked(_get("/metrics"), 200)
    for at in itertools.count():
        if at % 1000 == 999:
            yield scrape
        elif at % 500 == 250:
            chosen = [forms[(at + k) % len(forms)] for k in range(LIST)]
            yield _told(Asked(_post("/v1/score/batch", b"[" + b",".join(chosen) + b"]"), 200), at)
        elif at % 200 == 100:
            yield _told(refused[at // 200 % len(refused)], at)
        else:
            yield _told(Asked(_post("/score", forms[at % len(forms)]), 200), at)


def soak(
    up: Running, asked: Iterator[Asked], most: int, samples: int = SAMPLES,
    seconds: float = MOST_SECONDS,
) -> list[Sample]:  # fmt: skip
    """Ask a server until it has answered `most` requests or the time is over; look at its memory.

    Raises
    ------
    RuntimeError
        An answer had another status than it must have.
    """
    until = time.perf_counter() + seconds
    found = [_memory(up.process.pid, 0)]
    done = 0
    while done < most and time.perf_counter() < until:
        with contextlib.ExitStack() as open_ones:
            address = ("127.0.0.1", up.port)
            connections = [
                open_ones.enter_context(socket.create_connection(address, PATIENCE))
                for _ in range(CONNECTIONS)
            ]
            opened = done
            while done < most and done < opened + RECONNECT_EVERY:
                waiting = []
                for connection in connections[: most - done]:
                    one = next(asked)
                    connection.sendall(one.request)
                    waiting.append((connection, one))
                for connection, one in waiting:
                    _check(_answer(connection), one)
                done += len(waiting)
                if done * samples >= most * len(found):
                    found.append(_memory(up.process.pid, done))
    return found


def growth(samples: Sequence[Sample], of: str) -> float:
    """What the second half adds by its linear trend, in percent of the trend's level at half."""
    second = samples[len(samples) // 2 :]
    at = [float(sample.requests) for sample in second]
    slope, intercept = statistics.linear_regression(at, [getattr(one, of) for one in second])
    return 100.0 * slope * (at[-1] - at[0]) / (intercept + slope * at[0])


def run() -> Result:
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        for kind in _kinds():
            folder = Path(name) / kind
            folder.mkdir()
            command = [sys.executable, "-m", "benchmarks.serving_models", kind, str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return soaked(Path(name))


def soaked(prepared: Path) -> Result:
    """The models that lie in a folder, one after the other."""
    load_before = os.getloadavg()[0]
    rows, found = [], {}
    for kind, title in TITLES.items():
        folder = prepared / kind
        if not folder.exists():
            continue
        with running(keepwell(folder / "models")):
            pass  # so that the kernels are compiled and kept
        started = time.perf_counter()
        with running(keepwell(folder / "models")) as up:
            found[title] = samples = soak(up, requests(bodies(folder)), REQUESTS[kind])
        rows.append(_row(title, samples, (time.perf_counter() - started) / 60))
    return Result(
        title="Memory over a million requests",
        notes=(
            f"One process of Keepwell, {CONNECTIONS} connections that are opened anew every "
            f"{RECONNECT_EVERY:,} requests. Each request has a customer and numbers of its own; "
            f"one in 500 is a list of {LIST}, one in 200 is refused, one in 1,000 reads the "
            "metrics. Megabytes resident, and of them private to the process, looked at "
            f"{SAMPLES} times; growth is what the linear trend of the second half adds, in "
            "percent of its level at half."
        ),
        columns=(
            "", "requests", "minutes", "resident at start", "at half", "at the end", "at most",
            "private at the end", "growth of resident, %", "of private, %",
        ),
        rows=rows,
        targets={
            "at most 250 MB": ", ".join(
                f"{max(one.resident for one in samples):.0f} MB ({title})"
                for title, samples in found.items()
            ),
            "growth below 1% in the second half": ", ".join(
                f"{growth(samples, 'resident'):.2f}% ({title})" for title, samples in found.items()
            ),
        },
        machine=machine(load_before),
    )  # fmt: skip


def _kinds() -> list[str]:
    fetch = [sys.executable, CDNOW / "fetch.py"]
    if subprocess.run(fetch, capture_output=True, check=False).returncode:
        sys.stderr.write("CDNOW cannot be fetched: its model is left out\n")
        return ["table"]
    return list(TITLES)


def _row(title: str, samples: Sequence[Sample], minutes: float) -> list[Any]:
    resident = [sample.resident for sample in samples]
    return [
        title, samples[-1].requests, minutes, resident[0], resident[len(resident) // 2],
        resident[-1], max(resident), samples[-1].private,
        growth(samples, "resident"), growth(samples, "private"),
    ]  # fmt: skip


def _numbered(customer: dict[str, Any]) -> bytes:
    """A customer whose id and numbers end in what `_told` puts there."""

    def numbered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: numbered(one) for name, one in value.items()}
        if isinstance(value, list):
            return [numbered(one) for one in value]
        return f"#{value:.6f}@7#" if isinstance(value, float) else value

    unlike = {**numbered(customer), "customer_id": "c-@"}
    text = json.dumps(unlike, separators=(",", ":"))
    return text.replace('"#', "").replace('#"', "").encode()


def _told(asked: Asked, at: int) -> Asked:
    head, _, body = asked.request.replace(_NUMBER, b"%d" % at).partition(b"\r\n\r\n")
    return asked._replace(request=head.replace(b"LENGTH", b"%d" % len(body)) + b"\r\n\r\n" + body)


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: LENGTH\r\n\r\n" + body


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def _answer(connection: socket.socket) -> bytes:
    """One whole answer."""
    received = connection.recv(1 << 16)
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        if length is not None and len(body) >= int(length[1]):
            return received
        more = connection.recv(1 << 20)
        if not more:
            raise RuntimeError("the server closed a connection in the middle of an answer")
        received += more


def _check(answer: bytes, asked: Asked) -> None:
    if not answer.startswith(b"HTTP/1.1 %d " % asked.status):
        raise RuntimeError(f"asked {asked.request[:200]!r}, answered {answer[:400]!r}")


def _memory(pid: int, done: int) -> Sample:
    kilobytes = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in kilobytes:
            kilobytes[name] = int(rest.split()[0])
    private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return Sample(done, kilobytes["Rss"] * 1024 / 1e6, private * 1024 / 1e6)


if __name__ == "__main__":
    # Of a folder with what `run` prepares.
    print(soaked(Path(sys.argv[1])).markdown())
