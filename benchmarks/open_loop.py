"""Requests that come when they come, whether the earlier ones are answered or not.

wrk and its like wait for an answer before they ask again, so a server that falls behind is asked
less, and the slow answers are few. Here the instants are fixed beforehand, and an answer's time
counts from the instant at which its request was due.

    python -m benchmarks.open_loop PORT RATE SECONDS CONNECTIONS FOLDER

asks for the bodies in a folder and prints what came of it as JSON.
"""

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

TICK = 0.001
SLICE_SECONDS = 2.0
PATIENCE = 10.0


class Answered(NamedTuple):
    """Answers of one status: how many, and milliseconds that half, and all but 1%, took.

    `usual_p99_ms` is the median of the p99 of slices of two seconds: of a machine that is shared,
    some stand still for as long as another is at work on it.
    """

    count: int
    p50_ms: float
    p99_ms: float
    longest_ms: float
    usual_p99_ms: float


class Told(NamedTuple):
    """What came of it: by status; `lost` is connections that ended without an answer."""

    by_status: dict[int, Answered]
    seconds: float
    asked: int
    lost: int
    cpu_s: float

    @property
    def accepted(self) -> Answered:
        return self.by_status.get(200, Answered(0, 0.0, 0.0, 0.0, 0.0))

    def share(self, status: int) -> float:
        """Of all that was asked, the part answered with a status."""
        return self.by_status[status].count / self.asked if status in self.by_status else 0.0


class _Client(asyncio.Protocol):
    """One connection: asks for one thing at a time."""

    def __init__(self, load: "_Load") -> None:
        self.load = load
        self.due = 0.0
        self.is_asking = False
        self._left = 0
        self._status = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes, due: float) -> None:
        self.due, self.is_asking, self._left, self._status = due, True, 0, 0
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self._status:
            head, _, body = data.partition(b"\r\n\r\n")  # our server's heads come in one piece
            self._status = int(head[9:12])
            at = head.index(b"content-length: ") + 16
            self._left = int(head[at : at + 8].split(b"\r")[0]) - len(body)
        else:
            self._left -= len(data)
        if self._left <= 0:
            self.is_asking = False
            self.load.answered(self, self._status)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost(self)


class _Load:
    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.port = port
        self.requests = itertools.cycle(requests)
        self.clients: set[_Client] = set()
        self.free: deque[_Client] = deque()
        self.waiting: deque[float] = deque()
        self.took: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
        self.n_lost = 0
        self.n_asked = 0
        self.is_over = False

    async def run(self, rate: float, seconds: float, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await self._connect()
        started, due = time.perf_counter(), 0
        total = int(rate * seconds)
        while due < total:
            now = time.perf_counter()
            while due < total and started + due / rate <= now:
                self.waiting.append(started + due / rate)
                due += 1
            while self.waiting and self.free:
                self._ask(self.free.popleft(), self.waiting.popleft())
            await asyncio.sleep(TICK)
        until = loop.time() + PATIENCE
        while loop.time() < until and (self.waiting or len(self.free) < connections):
            await asyncio.sleep(0.01)
        self.is_over = True
        self.n_asked = total
        for client in self.clients:
            client.transport.close()
        await asyncio.sleep(0.01)  # in which the loop lets go of them

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self.port)
        self.clients.add(client)
        self.free.append(client)

    def _ask(self, client: _Client, due: float) -> None:
        client.ask(next(self.requests), due)

    def answered(self, client: _Client, status: int) -> None:
        self.took[status].append((client.due, time.perf_counter() - client.due))
        if self.waiting:
            self._ask(client, self.waiting.popleft())
        else:
            self.free.append(client)

    def lost(self, client: _Client) -> None:
        self.clients.discard(client)
        if self.is_over:
            return
        if client.is_asking:
            self.n_lost += 1
        elif client in self.free:
            self.free.remove(client)
        self._connecting = asyncio.ensure_future(self._connect())


def post(body: bytes, path: str = "/score") -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def ask(port: int, bodies: Sequence[bytes], rate: float, seconds: float, connections: int) -> Told:
    """Ask so often a second for so long."""
    load = _Load(port, [post(body) for body in bodies])
    cpu, started = time.process_time(), time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(load.run(rate, seconds, connections))
    return Told(
        {status: _answered(took) for status, took in load.took.items()},
        time.perf_counter() - started,
        load.n_asked,
        load.n_lost,
        time.process_time() - cpu,
    )


def _answered(told: list[tuple[float, float]]) -> Answered:
    slices: defaultdict[int, list[float]] = defaultdict(list)
    for due, took in told:
        slices[int((due - told[0][0]) // SLICE_SECONDS)].append(took)
    usual = statistics.median(_cut(took)[98] for took in slices.values())
    all_of_them = [took for _, took in told]
    cuts = _cut(all_of_them)
    return Answered(
        len(told), cuts[49] * 1e3, cuts[98] * 1e3, max(all_of_them) * 1e3, usual * 1e3
    )  # fmt: skip


def _cut(took: list[float]) -> list[float]:
    """The 99 percentiles."""
    return statistics.quantiles(took, n=100) if len(took) > 1 else took * 99


def begin(
    port: int, folder: Path, rate: float, seconds: float, connections: int
) -> "subprocess.Popen[str]":
    """The same in a process of its own, of the bodies that lie in a folder."""
    arguments = [str(port), str(rate), str(seconds), str(connections), str(folder)]
    command = [sys.executable, "-m", "benchmarks.open_loop", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> Told:
    """What such a process has to tell."""
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the load could not be driven")
    by_status, *rest = json.loads(text)
    return Told({int(status): Answered(*one) for status, one in by_status.items()}, *rest)


if __name__ == "__main__":
    chosen = [path.read_bytes() for path in sorted(Path(sys.argv[5]).glob("*.body"))]
    told = ask(int(sys.argv[1]), chosen, float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    sys.stdout.write(json.dumps(told))
