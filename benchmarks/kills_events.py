"""Events sent over HTTP, and a log being imported, while the process that keeps them is killed.

Every time the process is killed at a random moment and started again. A client re-sends what was
not acknowledged, as a client would; the import is just started once more.
"""

import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import made_up_log
from benchmarks.report import Result
from churn.events import Event
from cli.main import run
from service import instants
from service.store.database import Database
from service.store.exporting import Exporting
from tests.postgresql import Server

KILLS, LOG_EVENTS = 50, 200_000
SIZES = (1, 200, 2500)  # of a body of events; the largest takes two transactions
CUSTOMERS = 300
PATIENCE = 120.0
BEGIN = instants.parse("2025-01-01T00:00:00Z")
ROOT = Path(__file__).parents[1]
KEEPWELL = (sys.executable, "-c", "from cli.main import main; main()")


@dataclass
class Seen:
    """What a run of kills came to."""

    kills: int = 0
    units: int = 0
    lost: int = 0
    doubled: int = 0
    strangers: int = 0
    remains: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.strangers or self.remains)


def results() -> list[Result]:
    """Both kinds of work on both databases."""
    rows: list[list[Any]] = []
    for name, work in (("events over HTTP", ingestion), ("an import", importing)):
        for at in places():
            seen = work(at.urls, at.folder, KILLS, random.Random(7))
            rows.append(
                [name, at.dialect, seen.kills, seen.units, seen.lost, seen.doubled,
                 seen.strangers, ", ".join(seen.remains) or "nothing"]
            )  # fmt: skip
    columns = ("killed while keeping", "store", "kills", "events", "lost", "twice", "unknown",
               "remains")  # fmt: skip
    return [
        Result(
            "Events through kills",
            "Processes killed by SIGKILL at random moments and started again; every acknowledged "
            "event looked for after each kill, everything at the end.",
            columns,
            rows,
        )
    ]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is killed: a database, new stores in it, and a folder of its own."""

    dialect: str
    urls: Iterator[str]
    folder: Path
    server: Server


def places() -> Iterator[Place]:
    """Both databases, one after the other; what is in them goes with the next."""
    server = Server(durable=True)
    try:
        server.start()
        for dialect in ("SQLite", "PostgreSQL"):
            with tempfile.TemporaryDirectory(prefix="keepwell-kills-") as folder:
                yield Place(dialect, stores(dialect, Path(folder), server), Path(folder), server)
    finally:
        server.remove()


def stores(dialect: str, folder: Path, server: Server) -> Iterator[str]:
    """New stores, as many as are wanted."""
    number = 0
    while True:
        number += 1
        if dialect == "SQLite":
            yield f"sqlite:///{folder}/store-{number}.db"
        else:
            yield server.url(server.new_database())


def ingestion(urls: Iterator[str], folder: Path, kills: int, rng: random.Random) -> Seen:
    """Send bodies one after the other to a service that is killed under them."""
    url, seen, acknowledged = next(urls), Seen(), Counter[str]()
    database = Database(url)
    pending: list[dict[str, Any]] | None = None
    sent = 0
    for last in [False] * kills + [True]:
        with serving(url, folder) as (process, port):
            timer = threading.Timer(rng.uniform(0.0, 1.5), process.kill)
            if not last:
                timer.start()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            try:
                while True:
                    if pending is None:
                        if last:
                            break
                        pending = _body(sent, rng)
                        sent += len(pending)
                    _send(connection, pending)
                    acknowledged.update(event["event_id"] for event in pending)
                    pending = None
            except (OSError, http.client.HTTPException):
                assert not last
            finally:
                connection.close()
                timer.cancel()
        seen.kills += not last
        _compare(seen, acknowledged, _stored_names(database), extra=pending or [])
    seen.units = sent
    database.close()
    return seen


def importing(urls: Iterator[str], folder: Path, kills: int, rng: random.Random) -> Seen:
    """Import a log again and again, killed, until it is in; then into another store."""
    made_up_log.write(folder / "events.parquet", LOG_EVENTS)
    (folder / "keepwell.toml").write_text("[events]\nquery = \"SELECT * FROM 'events.parquet'\"\n")
    left_before = _left_over()
    reference = f"sqlite:///{folder}/reference.db"
    began = time.monotonic()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert run([*_command(reference, folder)]) == 0
    seconds = time.monotonic() - began
    expected = _rows(reference)
    seen = Seen()
    while seen.kills < kills:
        url = next(urls)
        while True:
            may_die = seen.kills < kills
            if _imported(url, folder, rng.uniform(0.0, seconds) if may_die else None):
                break
            seen.kills += 1
        found = _rows(url)
        seen.units += sum(found.values())
        _compare(seen, expected, found)
    seen.remains += sorted(_left_over() - left_before)
    return seen


def _body(first: int, rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": f"c-{rng.randrange(CUSTOMERS)}",
            "occurred_at": instants.text(BEGIN + 1_000_000 * (number * 7919 % 31_536_000)),
            "kind": "purchase",
            "amount": 1.0 + number % 500,
            "event_id": f"e-{number}",
        }
        for number in range(first, first + rng.choice(SIZES))
    ]


def _send(connection: http.client.HTTPConnection, body: list[dict[str, Any]]) -> None:
    """Send a body until it is acknowledged, as one would who is told to try again."""
    while True:
        content = json.dumps({"events": body})
        connection.request("POST", "/v1/events", content, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if answer.status == 200:
            assert told["accepted"] + told["duplicates"] == len(body), told
            return
        assert answer.status == 503, told
        time.sleep(0.1)


@contextmanager
def serving(
    url: str, folder: Path, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    log = folder / "log"
    environment = os.environ | {
        "KEEPWELL_STORE_URL": url,
        "KEEPWELL_MODELS_DIR": str(folder / "models"),
        "KEEPWELL_JOBS_DIR": str(folder / "jobs"),
        "KEEPWELL_PORT": "0",
        **settings,
    }
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*KEEPWELL, "serve"], cwd=ROOT, env=environment, stdout=stream, stderr=stream
        )
    try:
        yield process, _port(process, log)
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"url"' in line:
                return int(json.loads(line)["url"].rpartition(":")[2])
        time.sleep(0.02)
    raise RuntimeError(log.read_text())


def _stored_names(database: Database) -> Counter[str]:
    columns = Event._fields.index("event_id")
    return Counter(
        name
        for page in Exporting(database).pages()
        for _, history in page
        for name in history.columns()[columns]
    )


def _compare(
    seen: Seen,
    expected: Counter[Any],
    found: Counter[Any],
    extra: list[dict[str, Any]] | None = None,
) -> None:
    """Look for what must be there, and for what may not; `extra` may be there or not."""
    allowed = expected.keys() | {event["event_id"] for event in extra or []}
    seen.lost += len(expected.keys() - found.keys())
    seen.doubled += sum(count > max(1, expected[key]) for key, count in found.items())
    seen.strangers += len(found.keys() - allowed)


def _command(url: str, folder: Path) -> tuple[str, ...]:
    return ("store", "import", "-c", str(folder / "keepwell.toml"), "--store-url", url)


def _imported(url: str, folder: Path, kill_after: float | None) -> bool:
    """Run an import, and kill it so many seconds after it began to read; whether it ended well."""
    log = folder / "import.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*KEEPWELL, *_command(url, folder)], cwd=ROOT, stdout=stream, stderr=stream
        )
    try:
        while b"reading events" not in log.read_bytes() and process.poll() is None:
            time.sleep(0.01)
        try:
            code = process.wait(PATIENCE if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        assert code in (0, -signal.SIGKILL), log.read_text()
        return code == 0
    finally:
        process.kill()
        process.wait()


def _rows(url: str) -> Counter[tuple[Any, ...]]:
    """Every stored event with its customer."""
    database = Database(url)
    found = Counter(
        (who, *row)
        for page in Exporting(database).pages()
        for who, history in page
        for row in zip(*history.columns(), strict=True)
    )
    database.close()
    return found


def _left_over() -> set[str]:
    """Folders of imports that were killed."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("keepwell-import-*")}
