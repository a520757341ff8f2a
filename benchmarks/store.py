"""A million customers and twenty million events in the store: scores by id, events coming in.

One server at a time, with SQLite and then with PostgreSQL beside it on the same machine, driven by
wrk. The same histories are scored once sent in the body and once by id, one after the other.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import open_loop
from benchmarks.load import begin, drive, finished, script, wrk
from benchmarks.report import REPEATS, Result, machine, median
from benchmarks.servers import Running, Server, keepwell, running
from benchmarks.serving_models import CDNOW
from churn.events import Event, Kind
from churn.history import History
from service import instants
from service.store import pieces
from service.store.database import Database
from service.store.histories import advance, set_number
from tests import postgresql

CUSTOMERS, EVENTS, DISTINCT = 1_000_000, 20, 2_000
CONNECTIONS, SECONDS, INGEST_SECONDS, WARM_SECONDS = 8, 5.0, 10.0, 15.0
BATCH, SENDERS, MOST_BATCHES = 1000, 2, 400
STEADY = 200.0
ROWS_AT_ONCE = 5_000
PRODUCTION = (
    *("shared_buffers=2GB", "effective_cache_size=8GB", "max_wal_size=4GB"),
    *("checkpoint_timeout=15min", "random_page_cost=1.1", "wal_compression=on"),
)
NOW = datetime.now(UTC)


def run() -> list[Result]:
    wrk()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="keepwell-bench-") as name:
        folder = Path(name)
        quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([sys.executable, CDNOW / "fetch.py"], **quiet)
        command = [sys.executable, "-m", "benchmarks.serving_models", "events", str(folder)]
        subprocess.run(command, **quiet)
        told = {title: _measured(folder, title, url) for title, url in _stores(folder)}
    return [_scores(told, load_before), _ingestion(told, load_before)]


def _stores(folder: Path) -> Iterator[tuple[str, str]]:
    """Where each database is, filled; it is there until the next is asked for."""
    url = f"sqlite:///{folder}/keepwell.db"
    fill(url)
    yield "SQLite", url
    server = postgresql.Server(PRODUCTION, durable=True)
    try:
        server.start()
        name = server.new_database()
        fill(server.url(name))
        server.execute("VACUUM ANALYZE", name)
        server.execute("CHECKPOINT", name)
        yield "PostgreSQL", server.url(name)
    finally:
        server.remove()


@cache
def histories() -> list[list[dict[str, Any]]]:
    """Distinct histories of purchases, as sent in a body; every customer has one of them."""
    random = Random(7)
    told = []
    for _ in range(DISTINCT):
        last = random.uniform(1, 120)
        days = sorted((random.uniform(last, 700) for _ in range(EVENTS)), reverse=True)
        told.append([_purchase(random, day) for day in days])
    return told


def _purchase(random: Random, days_ago: float) -> dict[str, Any]:
    return {
        "occurred_at": f"{NOW - timedelta(days=days_ago):%Y-%m-%dT%H:%M:%S}Z",
        "kind": "purchase",
        "amount": round(random.lognormvariate(3, 1), 2),
        "order_id": f"o-{random.getrandbits(32):08x}",
    }


def customer(number: int) -> str:
    return f"c-{number:07d}"


def fill(url: str) -> None:
    """Put a history of every customer into an empty store."""
    kept = [History.empty().merged(_events(sent), 1)[0] for sent in histories()]
    ready = [(one.encode(), one.first_at, one.last_at, len(one)) for one in kept]
    database = Database(url)
    for start in range(0, CUSTOMERS, ROWS_AT_ONCE):
        with database.writing() as connection:
            some = range(start, min(start + ROWS_AT_ONCE, CUSTOMERS))
            pieces.write(connection, [(customer(n), *ready[n % DISTINCT]) for n in some])
    with database.writing() as connection:
        set_number(connection, 1)
        advance(connection, {Kind.PURCHASE: max(one.last_at for one in kept)}, instants.now())
    database.close()


def _events(sent: list[dict[str, Any]]) -> list[Event]:
    return [
        Event(
            instants.parse(one["occurred_at"]),
            Kind(one["kind"]),
            amount=one["amount"],
            order_id=one["order_id"],
        )
        for one in sent
    ]


def _measured(folder: Path, title: str, url: str) -> dict[str, float]:
    by_id = _by_id(folder / f"{title}-id")
    in_body = script(
        folder / f"{title}-body",
        [
            json.dumps({"customer_id": customer(at), "events": sent}).encode()
            for at, sent in enumerate(histories())
        ],
    )
    server = keepwell(folder / "models")
    environment = {**server.environment, "KEEPWELL_STORE_URL": url, "KEEPWELL_ACCESS_LOG": "0"}
    rounds: list[dict[str, float]] = []
    with running(Server(title, server.command, server.ready, environment)) as up:
        score = f"{up.url}/score"
        until_stored(up)
        for load in (in_body, by_id):
            drive(score, load, CONNECTIONS, 2.0)
        for _ in range(REPEATS):
            body = drive(score, in_body, CONNECTIONS, SECONDS)
            ids = drive(score, by_id, CONNECTIONS, SECONDS)
            rounds.append(
                {
                    "body rate": body.rate, "body p50": body.p50_ms, "body p99": body.p99_ms,
                    "id rate": ids.rate, "id p50": ids.p50_ms, "id p99": ids.p99_ms,
                    "ratio": body.rate / ids.rate,
                }
            )  # fmt: skip
        told = {name: median([one[name] for one in rounds]) for name in rounds[0]}
        # PostgreSQL writes every page that is touched first after a checkpoint whole into its log.
        told["ingest first"] = _ingested(up, _batches(1), INGEST_SECONDS)
        for seed in (2, 3):
            _ingested(up, _batches(seed), WARM_SECONDS)
        told["ingest alone"] = _ingested(up, _batches(4), INGEST_SECONDS)
        batches = _batches(5)
        steady = _some_ids(folder / f"{title}-steady")
        beside_steady = open_loop.begin(up.port, steady, STEADY, INGEST_SECONDS + 2.0, CONNECTIONS)
        time.sleep(1.0)
        told["ingest steady"] = _ingested(up, batches, INGEST_SECONDS)
        told["steady p99"] = open_loop.finished(beside_steady).accepted.p99_ms
        batches = _batches(6)
        beside = begin(score, by_id, CONNECTIONS, INGEST_SECONDS + 2.0)
        time.sleep(1.0)
        told["ingest beside"] = _ingested(up, batches, INGEST_SECONDS)
        scored = finished(beside)
        told |= {"beside rate": scored.rate, "beside p50": scored.p50_ms}
        told |= {"beside p99": scored.p99_ms, "memory": up.rss_mb(), "cold": up.cold_start_s}
    return told


def until_stored(up: Running) -> None:
    """Wait for the store, which is prepared beside the first requests."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=10)
        connection.request("GET", "/health/ready")
        if json.loads(connection.getresponse().read())["store"] == "ready":
            return
        time.sleep(0.1)


def _by_id(folder: Path) -> Path:
    """A wrk script that asks for customers at random, nearly each another one."""
    folder.mkdir(parents=True)
    path = folder / "load.lua"
    path.write_text(f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
math.randomseed(7)
request = function()
  local body = string.format('{{"customer_id": "c-%07d"}}', math.random(0, {CUSTOMERS - 1}))
  return wrk.format(nil, nil, nil, body)
end
""")
    return path


def _some_ids(folder: Path) -> Path:
    """Bodies that ask for a thousand customers at random."""
    folder.mkdir()
    for at, number in enumerate(Random(8).sample(range(CUSTOMERS), 1000)):
        (folder / f"{at:04}.body").write_text(json.dumps({"customer_id": customer(number)}))
    return folder


def _ingested(up: Running, batches: list[bytes], seconds: float) -> float:
    """Events accepted a second, sent in batches over a few connections, one after the other."""
    accepted: list[int] = []
    until = time.perf_counter() + seconds

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", up.port, timeout=60)
        while time.perf_counter() < until and batches:
            connection.request(
                "POST", "/v1/events", batches.pop(), {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            told = answer.read()
            if answer.status == 429:
                time.sleep(0.01)
            elif answer.status == 200:
                accepted.append(json.loads(told)["accepted"])
            else:
                raise RuntimeError(told.decode())
        connection.close()

    senders = [threading.Thread(target=send) for _ in range(SENDERS)]
    started = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return sum(accepted) / (time.perf_counter() - started)


def _batches(seed: int) -> list[bytes]:
    random = Random(seed)
    return [_batch(random) for _ in range(MOST_BATCHES)]


def _batch(random: Random) -> bytes:
    sent = [
        {"customer_id": customer(random.randrange(CUSTOMERS)), **_purchase(random, random.random())}
        for _ in range(BATCH)
    ]
    return json.dumps({"events": sent}).encode()


def _scores(told: dict[str, dict[str, float]], load_before: float) -> Result:
    limits = {"SQLite": 1.5, "PostgreSQL": 2.5}
    return Result(
        title="Scores by id from a store of a million customers",
        notes=(
            f"{CUSTOMERS:,} customers of {EVENTS} events each; `/score` with three reasons at "
            f"{CONNECTIONS} connections, customers at random, the CDNOW model. The same histories "
            "are sent in the body in the same run. wrk, the service and PostgreSQL (2 GB of shared "
            f"buffers, it waits for the disk) share the machine. Medians of {REPEATS} rounds."
        ),
        columns=(
            "", "by id, requests/s", "in the body", "body against id", "by id p50 ms", "p99 ms",
            "in the body p50 ms", "p99 ms", "memory MB", "cold start s",
        ),
        rows=[
            [
                title, one["id rate"], one["body rate"], one["ratio"], one["id p50"],
                one["id p99"], one["body p50"], one["body p99"], one["memory"], one["cold"],
            ]
            for title, one in told.items()
        ],
        targets={
            f"{title}: within {limits[title]} times the body, p99 at most 15 ms": (
                f"{one['ratio']:.2f} times, {one['id p99']:.1f} ms"
            )
            for title, one in told.items()
        },
        machine=machine(load_before),
    )  # fmt: skip


def _ingestion(told: dict[str, dict[str, float]], load_before: float) -> Result:
    return Result(
        title="Events coming in while scores are served",
        notes=(
            f"`POST /v1/events` in batches of {BATCH:,} of customers at random, {SENDERS} "
            "connections, each batch on disk before its answer; into the store of a million "
            f"customers: alone, beside {STEADY:g} scores by id a second, and beside as many as "
            f"{CONNECTIONS} connections get, for {INGEST_SECONDS:g} s each. First: "
            "straight after a checkpoint, when PostgreSQL logs whole each page that is touched; "
            "the others half a minute later."
        ),
        columns=(
            "", "events/s, first", "alone", f"beside {STEADY:g} scores/s", "their p99 ms",
            "beside all the scores it can", "scores/s meanwhile", "p50 ms", "p99 ms",
        ),
        rows=[
            [
                title, one["ingest first"], one["ingest alone"], one["ingest steady"],
                one["steady p99"], one["ingest beside"], one["beside rate"],
                one["beside p50"], one["beside p99"],
            ]
            for title, one in told.items()
        ],
        targets={
            f"{title}: 5,000 events a second beside scores": (
                f"{one['ingest steady']:,.0f} beside {STEADY:g} a second, "
                f"{one['ingest beside']:,.0f} beside all it can"
            )
            for title, one in told.items()
        },
        machine=machine(load_before),
    )  # fmt: skip
