"""What is sent to do harm: how soon it is refused, what it costs, and what others notice.

    python -m benchmarks hostile

While each kind of attack goes on, back to back, another client asks for scores at a steady rate.
"""

import gzip
import itertools
import os
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import open_loop
from benchmarks.drain import HISTORY, served
from benchmarks.open_loop import Told
from benchmarks.report import Result, machine
from benchmarks.servers import Running, running
from tests.support import small_bundle

SECONDS = 12.0
RATE, CONNECTIONS = 200.0, 8
PATIENCE = 30.0
MEGABYTE = 1 << 20
LIMIT_MB = 16 * MEGABYTE / 1e6
"""The largest body that is read whole."""

_JSON = b"Content-Type: application/json\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Attack:
    """What is sent over one connection, in pieces, and how long after each piece to wait."""

    pieces: Callable[[], Iterable[bytes]]
    pause: float = 0.0
    connections: int = 1


@dataclass
class Outcome:
    """What became of the connections of an attack, and of everybody else meanwhile."""

    answers: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    rise_mb: float = 0.0
    others: Told | None = None


def head(path: str = "/score", more: bytes = _JSON) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: a\r\n%b" % (path.encode(), more)


def sized(body: bytes, path: str = "/score", more: bytes = _JSON) -> Iterator[bytes]:
    """A body of a declared length."""
    yield head(path, more) + b"Content-Length: %d\r\n\r\n" % len(body)
    for start in range(0, len(body), MEGABYTE):
        yield body[start : start + MEGABYTE]


def chunks(path: str, chunk: bytes, most: int) -> Iterator[bytes]:
    """So many chunks, and no end."""
    yield head(path) + _CHUNKED
    yield from itertools.repeat(b"%x\r\n%b\r\n" % (len(chunk), chunk), most)


def members(count: int) -> bytes:
    return b"{" + b",".join(b'"k%d":1' % at for at in range(count)) + b"}"


def filled(item: bytes, size: int) -> bytes:
    """An array of nothing but these, of so many bytes."""
    return b"[" + b",".join([item] * (size // (len(item) + 1) - 1)) + b"]"


BATCH = "/v1/score/batch"
ATTACKS: Mapping[str, Attack] = {
    "100 MB, declared": Attack(lambda: sized(b" " * (100 * MEGABYTE))),
    "100 MB in chunks, as a list": Attack(lambda: chunks(BATCH, b" " * MEGABYTE, 100)),
    "chunks without end": Attack(lambda: chunks("/nowhere", b" " * MEGABYTE, 10_000)),
    "chunks without end, two a second": Attack(
        lambda: chunks(BATCH, b" " * 100, 10_000), pause=0.5
    ),
    "4 million keys, as a list": Attack(lambda: sized(members(4_000_000), BATCH)),
    "as many keys as a list may have bytes": Attack(lambda: sized(members(1_280_000), BATCH)),
    "empty arrays, 16 MB": Attack(lambda: sized(filled(b"[]", 16 * MEGABYTE), BATCH)),
    "empty objects, 1 MB": Attack(lambda: sized(filled(b"{}", MEGABYTE))),
    "100,000 deep": Attack(lambda: sized(b"[" * 100_000 + b"]" * 100_000)),
    "a bomb of gzip": Attack(
        lambda: sized(
            gzip.compress(b" " * (100 * MEGABYTE)), more=_JSON + b"Content-Encoding: gzip\r\n"
        )
    ),
    "2 MB of headers": Attack(lambda: [head(), b"X: " + b"a" * (2 * MEGABYTE)]),
    "200 that send a byte now and then": Attack(
        lambda: [head()[at : at + 1] for at in range(len(head()))] + [b"X"] * 200,
        pause=0.5,
        connections=200,
    ),
}


def attacked(up: Running, attack: Attack, load: Path, seconds: float) -> Outcome:
    """Attack again and again for so long; say what others noticed."""
    outcome = Outcome()
    pieces = list(attack.pieces())
    with _Watched(up.process.pid) as watched:
        others = open_loop.begin(up.port, load, RATE, seconds, CONNECTIONS)
        until = time.monotonic() + seconds
        while not outcome.answers or time.monotonic() < until:
            with ExitStack() as stack:
                open_ones = [
                    _Attacker(up.port, pieces, attack.pause) for _ in range(attack.connections)
                ]
                for one in open_ones:
                    stack.callback(one.join, PATIENCE)
                    one.start()
            for one in open_ones:
                outcome.answers[one.outcome] += 1
                outcome.longest_s = max(outcome.longest_s, one.took_s)
        outcome.others = open_loop.finished(others)
    outcome.rise_mb = watched.rise_mb
    return outcome


class _Attacker(threading.Thread):
    """Sends its pieces until the server has had enough."""

    def __init__(self, port: int, pieces: list[bytes], pause: float) -> None:
        super().__init__(daemon=True)
        self.outcome = "open"
        self.took_s = PATIENCE
        self._port = port
        self._pieces = pieces
        self._pause = pause

    def run(self) -> None:
        started = time.perf_counter()
        try:
            with socket.create_connection(("127.0.0.1", self._port), PATIENCE) as connection:
                received = self._sent(connection)
        except TimeoutError:
            return
        self.took_s = time.perf_counter() - started
        self.outcome = received[9:12].decode() if received else "closed"

    def _sent(self, connection: socket.socket) -> bytes:
        """What came back; nothing where the connection was closed without a word."""
        with suppress(ConnectionError):
            for piece in self._pieces:
                connection.settimeout(PATIENCE)
                connection.sendall(piece)
                if self._pause:
                    connection.settimeout(self._pause)
                    with suppress(TimeoutError):
                        return connection.recv(1 << 16)
        connection.settimeout(PATIENCE)
        with suppress(ConnectionError):
            return connection.recv(1 << 16)
        return b""


class _Watched:
    """The memory of a process, looked at fifty times a second."""

    def __init__(self, pid: int) -> None:
        self._path = Path(f"/proc/{pid}/statm")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._most = self._before = self._resident()

    def __enter__(self) -> "_Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def rise_mb(self) -> float:
        return self._most - self._before

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, self._resident())

    def _resident(self) -> float:
        return int(self._path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def others_alone(up: Running, load: Path, seconds: float) -> Told:
    """What the steady client gets while nobody attacks."""
    return open_loop.finished(open_loop.begin(up.port, load, RATE, seconds, CONNECTIONS))


def prepared(folder: Path) -> Path:
    """The steady client's one request, in a folder."""
    load = folder / "load"
    load.mkdir()
    (load / "0.body").write_bytes(HISTORY)
    return load


def run() -> Result:
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        small_bundle(folder / "models")
        load = prepared(folder)
        found = {}
        for what, attack in ATTACKS.items():
            with running(served(folder / "models")) as up:  # its memory is then its own
                others_alone(up, load, 2.0)
                alone = others_alone(up, load, SECONDS)
                found[what] = alone, attacked(up, attack, load, SECONDS)
    return _result(found, load_before)


def _result(found: Mapping[str, tuple[Told, Outcome]], load_before: float) -> Result:
    rows: list[list[Any]] = []
    for what, (alone, outcome) in found.items():
        others = outcome.others
        assert others is not None
        rows.append([
            what, ", ".join(f"{count} x {how}" for how, count in outcome.answers.items()),
            outcome.longest_s, outcome.rise_mb, alone.accepted.p99_ms, others.accepted.p99_ms,
            others.accepted.p99_ms / alone.accepted.p99_ms, others.asked - others.accepted.count,
        ])  # fmt: skip
    longest = max(row[2] for row in rows)
    open_ones = sum(outcome.answers["open"] for _, outcome in found.values())
    most = max(rows, key=lambda row: row[3])
    slowest = max(rows, key=lambda row: row[6])
    return Result(
        title="What is sent to do harm",
        notes=(
            "Each attack goes on, back to back, while another client asks for scores "
            f"{RATE:.0f} times a second over {CONNECTIONS} connections; a server of its own for "
            f"each, {SECONDS:.0f} s alone and as long attacked. Memory is the most that was "
            "resident above what was before; the largest body that is read whole has "
            f"{LIMIT_MB:.0f} MB."
        ),
        columns=(
            "",
            "answered",
            "longest s",
            "memory rise MB",
            "others' p99 ms alone",
            "attacked",
            "times",
            "others not answered 200",
        ),
        rows=rows,
        targets={
            "4xx or closed within 10 s": f"{longest:.1f} s at most, {open_ones} left open",
            "memory rises by less than twice the limit": f"{most[3]:.0f} MB ({most[0]})",
            "others' p99 at most twice": f"{slowest[6]:.1f} times ({slowest[0]})",
        },
        machine=machine(load_before),
    )
