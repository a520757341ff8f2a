"""Scores recorded and outcomes told over HTTP while the process that keeps them is killed.

Some clients have customers scored with `record: true` and then tell what came of each decision. The
process is killed at random moments and started again; a client asks again for what was not
acknowledged, as a client would.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from benchmarks.kills_events import PATIENCE, Seen, places, serving
from benchmarks.report import Result
from churn.events import MICROSECONDS_PER_DAY
from service import instants
from service.store.database import Database
from service.store.tables import decisions as decided
from service.store.tables import outcomes
from tests.support import small_bundle

KILLS, CLIENTS = 50, 4
AGAIN = 0.2
"""Share of the customers who are scored again, which must give the same decision."""


@dataclass
class _Acknowledged:
    """What clients were told is kept, and whom they have begun with."""

    names: dict[str, str] = field(default_factory=dict)
    outcomes: set[tuple[str, str]] = field(default_factory=set)
    begun: set[str] = field(default_factory=set)
    renamed: int = 0


def results() -> list[Result]:
    """The same on both databases."""
    rows: list[list[Any]] = []
    for at in places():
        seen = deciding(at.urls, at.folder, KILLS, random.Random(7))
        rows.append([at.dialect, seen.kills, seen.units, seen.lost, seen.doubled, seen.strangers])
    columns = ("store", "kills", "decisions and outcomes", "lost", "twice", "unknown")
    return [
        Result(
            "Decisions through kills",
            f"{CLIENTS} clients score with `record: true` and tell what came of it. Twice: "
            "acknowledged under one name and kept or answered under another.",
            columns,
            rows,
        )
    ]


def deciding(urls: Iterator[str], folder: Path, kills: int, rng: random.Random) -> Seen:
    """Have customers scored by a service that is killed under its clients."""
    small_bundle(folder / "models")
    url, seen, told = next(urls), Seen(), _Acknowledged()
    database = Database(url)
    for _ in range(kills):
        with serving(url, folder) as (process, port):
            _until_ready(port)
            clients = [
                _Client(port, told, f"{seen.kills}-{at}", random.Random(rng.random()))
                for at in range(CLIENTS)
            ]
            timer = threading.Timer(rng.uniform(0.0, 1.5), process.kill)
            timer.start()
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            timer.cancel()
        seen.kills += 1
        _look(database, told, seen)
    seen.units = len(told.names) + len(told.outcomes)
    seen.doubled += told.renamed
    database.close()
    return seen


class _Client(threading.Thread):
    """One client after the other has its customers scored, until the service is gone."""

    def __init__(self, port: int, told: _Acknowledged, name: str, rng: random.Random) -> None:
        super().__init__()
        self._told = told
        self._name = name
        self._rng = rng
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    def run(self) -> None:
        # Whoever was begun with before the kill comes first: what was kept then must be answered.
        left = [who for who in list(self._told.begun) if who not in self._told.names]
        number = 0
        try:
            while True:
                who = left.pop() if left else f"c-{self._name}-{number}"
                number += 1
                self._decide(who)
                if self._rng.random() < AGAIN:
                    self._decide(self._rng.choice(list(self._told.names)))
        except (OSError, http.client.HTTPException):
            pass
        finally:
            self._connection.close()

    def _decide(self, who: str) -> None:
        self._told.begun.add(who)
        answer = self._ask("/score", _customer(who))
        action = answer["action"]
        name = action["decision_id"]
        self._told.renamed += self._told.names.setdefault(who, name) != name
        outcome = "retained"
        if action["code"] != "none" and not action["holdout"]:
            outcome = "delivered"
        self._ask(f"/v1/decisions/{name}/outcome", {"outcome": outcome})
        self._told.outcomes.add((name, outcome))

    def _ask(self, path: str, body: Any) -> Any:
        """Send a body until it is acknowledged, as one would who is told to try again."""
        while True:
            headers = {"Content-Type": "application/json"}
            self._connection.request("POST", path, json.dumps(body), headers)
            answer = self._connection.getresponse()
            content = json.loads(answer.read())
            if answer.status == 200:
                return content
            assert answer.status == 503, content
            time.sleep(0.1)


def _customer(who: str) -> dict[str, Any]:
    now = instants.now()
    events = [
        {
            "occurred_at": instants.text(now - 20 * back * MICROSECONDS_PER_DAY),
            "kind": "purchase",
            "amount": 40.0 + back,
        }
        for back in range(1, 7)
    ]
    return {"customer_id": who, "events": events, "record": True}


def _look(database: Database, told: _Acknowledged, seen: Seen) -> None:
    """Look for what must be there, and for what may not."""
    with database.reading() as connection:
        rows = connection.execute(select(decided.c.customer_id, decided.c.decision_id)).all()
        came = connection.execute(select(outcomes.c.decision_id, outcomes.c.outcome)).all()
    found = {row.customer_id: row.decision_id for row in rows}
    seen.lost += len(told.names.keys() - found.keys())
    seen.lost += len(told.outcomes - {(row.decision_id, row.outcome) for row in came})
    seen.doubled += len(rows) - len(found)
    seen.doubled += sum(found.get(who, name) != name for who, name in told.names.items())
    seen.strangers += len(found.keys() - told.begun)


def _until_ready(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        finally:
            connection.close()
        time.sleep(0.02)
    raise RuntimeError("the service never became ready")
