"""What `record: true` costs: the same requests with and without it, one after the other.

Every request is of another customer, as a decision is recorded once for each customer and day. One
server at a time, with SQLite and then with PostgreSQL beside it on the same machine, driven by wrk.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.load import drive, wrk
from benchmarks.report import Result, machine, median
from benchmarks.servers import Server, keepwell, running
from benchmarks.serving_models import CDNOW
from benchmarks.store import PRODUCTION, histories, until_stored
from service.store.database import Database
from service.store.tables import decisions
from tests import postgresql

CONNECTIONS, SECONDS = (8, 64), 2.0
STARTS, ROUNDS = 3, 5
"""Starts of the service, of which one is faster than another, and rounds of each."""
BODIES = 500
LIMIT = 0.7
"""Least share of the requests a second that recording may leave."""


def run() -> Result:
    wrk()
    load_before = os.getloadavg()[0]
    rows: list[list[Any]] = []
    targets: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([sys.executable, CDNOW / "fetch.py"], **quiet)
        command = [sys.executable, "-m", "benchmarks.serving_models", "events", str(folder)]
        subprocess.run(command, **quiet)
        for title, url in _stores(folder):
            for connections, told in _measured(folder, title, url).items():
                rows.append([title, connections, *told])
                key = f"{title}, {connections} connections: at least {LIMIT:.0%} of off"
                targets[key] = f"{told[2]:.0%}"
    return Result(
        title="Recording",
        notes=(
            "`/score` of histories of 20 purchases in the body, each of another customer, with "
            "`record: true` (score and decision are on disk before the answer) and without, "
            "in turn. wrk, the service and PostgreSQL share the machine. Medians of "
            f"{STARTS} starts of the service with {ROUNDS} rounds of {SECONDS:g} s each."
        ),
        columns=(
            "", "connections", "off, requests/s", "on", "on against off", "off p50 ms", "p99 ms",
            "on p50 ms", "p99 ms", "decisions kept",
        ),
        rows=rows,
        targets=targets,
        machine=machine(load_before),
    )  # fmt: skip


def _stores(folder: Path) -> Iterator[tuple[str, str]]:
    """Where each database is, empty; it is there until the next is asked for."""
    yield "SQLite", f"sqlite:///{folder}/keepwell.db"
    server = postgresql.Server(PRODUCTION, durable=True)
    try:
        server.start()
        yield "PostgreSQL", server.url(server.new_database())
    finally:
        server.remove()


def _measured(folder: Path, title: str, url: str) -> dict[int, list[float]]:
    off = _load(folder / f"{title}-off", record=False)
    on = _load(folder / f"{title}-on", record=True)
    server = keepwell(folder / "models")
    environment = {**server.environment, "KEEPWELL_STORE_URL": url, "KEEPWELL_ACCESS_LOG": "0"}
    rounds: dict[int, list[list[float]]] = {connections: [] for connections in CONNECTIONS}
    kept = dict.fromkeys(CONNECTIONS, 0)
    database = Database(url)
    for _ in range(STARTS):
        with running(Server(title, server.command, server.ready, environment)) as up:
            until_stored(up)
            score = f"{up.url}/score"
            for load in (off, on):
                drive(score, load, CONNECTIONS[0], SECONDS)
            for connections in CONNECTIONS:
                before = _kept(database)
                for _ in range(ROUNDS):
                    without = drive(score, off, connections, SECONDS)
                    recorded = drive(score, on, connections, SECONDS)
                    rounds[connections].append(
                        [without.rate, recorded.rate, recorded.rate / without.rate, without.p50_ms,
                         without.p99_ms, recorded.p50_ms, recorded.p99_ms]
                    )  # fmt: skip
                kept[connections] += _kept(database) - before
    database.close()
    return {
        connections: [*(median(column) for column in zip(*each, strict=True)), kept[connections]]
        for connections, each in rounds.items()
    }


def _load(folder: Path, *, record: bool) -> Path:
    """A wrk script that has one customer after the other scored, never the same twice."""
    folder.mkdir(parents=True)
    for at, events in enumerate(histories()[:BODIES]):
        body = json.dumps({"events": events, "record": record})
        (folder / f"{at}.body").write_text(body.removeprefix("{"))
    path = folder / "load.lua"
    path.write_text(f"""
local bodies = {{}}
for at = 0, {BODIES - 1} do
  local file = io.open({json.dumps(str(folder))} .. "/" .. at .. ".body", "rb")
  bodies[at] = file:read("*a")
  file:close()
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
math.randomseed(os.time())
local run = math.random(0, 2000000000)
local at = -1
request = function()
  at = at + 1
  local body = string.format('{{"customer_id": "c-%d-%d",', run, at) .. bodies[at % {BODIES}]
  return wrk.format(nil, nil, nil, body)
end
""")
    return path


def _kept(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(decisions)).scalar_one()
