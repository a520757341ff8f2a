"""SIGTERM under load, again and again: who was answered, and who was not.

python -m benchmarks drain
"""

import contextlib
import os
import random
import re
import select
import signal
import socket
import statistics
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from benchmarks.open_loop import post
from benchmarks.report import Result, machine
from benchmarks.servers import Server, keepwell, running
from tests.support import small_bundle

ROUNDS = 50
DRAIN_SECONDS = 2.0
KEPT, FRESH = 8, 4
PATIENCE = 60.0
HISTORY = (
    b'{"customer_id":"c-1","as_of":"2026-11-21T00:00:00Z","events":['
    b'{"occurred_at":"2026-08-19T16:40:00Z","kind":"purchase","amount":61.0},'
    b'{"occurred_at":"2026-10-02T10:11:00Z","kind":"purchase","amount":54.9}]}'
)

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Ended(NamedTuple):
    """One end: answers before and after the signal, by status; requests lost; and the times."""

    before: Counter[int]
    after: Counter[int]
    lost: list[str]
    unready_ms: float
    """Until `/health/ready` said so."""
    listened_s: float
    """Until a new connection was refused."""
    exit_s: float
    code: int


class Client(threading.Thread):
    """Asks without a pause, over one connection or over a new one each time."""

    def __init__(self, port: int, is_kept: bool) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.is_kept = is_kept
        self.answers: Counter[int] = Counter()
        self.lost: list[str] = []
        self._connection: socket.socket | None = None

    def run(self) -> None:
        request = post(HISTORY)
        while True:
            try:
                connection = self._connected()
            except OSError:  # refused: nothing was accepted
                return
            try:
                connection.sendall(request)
                status, is_last = _answer(connection)
            except (OSError, ValueError) as error:
                self.lost.append(f"{'kept' if self.is_kept else 'new'}: {error!r}")
                self._leave()
                continue
            self.answers[status] += 1
            if is_last or not self.is_kept:
                self._leave()

    def _connected(self) -> socket.socket:
        if self._connection is not None and select.select([self._connection], [], [], 0)[0]:
            self._leave()  # ended by the server while nothing was asked, as any client would see
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """The status of one whole answer, and whether it is the connection's last."""
    received = b""
    while True:
        part = connection.recv(1 << 16)
        if not part:
            raise ValueError("closed without a whole answer")
        received += part
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if end else None
        if length is not None and len(body) >= int(length[1]):
            return int(head[9:12]), b"connection: close" in head


def end_once(server: Server, load_seconds: float) -> Ended:
    """Start a server, load it, and end it with SIGTERM."""
    with running(server) as up:
        clients = [Client(up.port, at < KEPT) for at in range(KEPT + FRESH)]
        for client in clients:
            client.start()
        time.sleep(load_seconds)
        before = sum((client.answers for client in clients), Counter[int]())
        os.kill(up.process.pid, signal.SIGTERM)
        told = time.perf_counter()
        unready = _until_unready(f"{up.url}/health/ready") - told
        listened = _until_refused(up.port) - told
        code = up.process.wait(PATIENCE)
        exited = time.perf_counter() - told
        for client in clients:
            client.join(PATIENCE)
    answered = sum((client.answers for client in clients), Counter[int]())
    lost = [one for client in clients for one in client.lost]
    return Ended(before, answered - before, lost, unready * 1e3, listened, exited, code)


def _until_unready(url: str) -> float:
    while True:
        try:
            urllib.request.urlopen(url, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 503:
                return time.perf_counter()
        time.sleep(0.005)


def _until_refused(port: int) -> float:
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            time.sleep(0.02)
    return time.perf_counter()


def served(models: Path, drain_seconds: float = DRAIN_SECONDS) -> Server:
    """A server that goes on for some seconds after SIGTERM."""
    server = keepwell(models)
    settings = {"KEEPWELL_DRAIN_SECONDS": str(drain_seconds)}
    return replace(server, environment={**server.environment, **settings})


def run() -> Result:
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        models = Path(name) / "models"
        models.mkdir()
        small_bundle(models)
        chance = random.Random(7)
        ends = [end_once(served(models), chance.uniform(0.2, 1.5)) for _ in range(ROUNDS)]
    return _result(ends, load_before)


def _result(ends: Sequence[Ended], load_before: float) -> Result:
    before = sum((one.before for one in ends), Counter[int]())
    after = sum((one.after for one in ends), Counter[int]())
    lost = [what for one in ends for what in one.lost]
    others = sum(count for status, count in (before + after).items() if status != 200)
    return Result(
        title=f"SIGTERM under load, {len(ends)} times",
        notes=(
            f"{KEPT} clients that keep their connection and {FRESH} that open one for each request "
            "ask for scores without a pause until a connection is refused. A request is lost if "
            "its connection was made and no whole answer came. "
            f"`KEEPWELL_DRAIN_SECONDS` is {DRAIN_SECONDS:g}."
        ),
        columns=(
            "ends", "answers before the signal", "after it", "other than 200", "lost",
            "not ready after ms, at most", "listened on s, at least", "gone after s, median",
            "at most",
        ),
        rows=[[
            len(ends), before.total(), after.total(), others, len(lost),
            max(one.unready_ms for one in ends), min(one.listened_s for one in ends),
            statistics.median(one.exit_s for one in ends), max(one.exit_s for one in ends),
        ]],
        targets={
            "no accepted request lost": f"{len(lost)} of {before.total() + after.total():,}"
            + "".join(f"; {what}" for what in lost[:3]),
            "gone within 30 s, with success": (
                f"{max(one.exit_s for one in ends):.1f} s, exit codes "
                f"{sorted({one.code for one in ends})}"
            ),
        },
        machine=machine(load_before),
    )  # fmt: skip
