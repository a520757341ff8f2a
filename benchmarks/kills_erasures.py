"""People erased over HTTP while the process that forgets them is killed.

Each is in stored events, in recorded scores, in the results of a job that is done and in the list
of one that waits or runs. The process is killed at a random moment after the erasure was asked for,
and started again: what was begun must come to its end by itself, until neither the identifier nor a
value is in the store, its files or those of the jobs.
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from benchmarks.kills_events import PATIENCE, places, serving
from benchmarks.kills_jobs import ask, until_ready
from benchmarks.report import Result
from service.store.database import Database
from service.store.tombstones import buried
from tests.postgresql import Server
from tests.support import small_bundle

KILLS, OTHERS, LONGEST = 50, 4_000, 0.4
AS_OF = "2026-11-21T00:00:00Z"
SETTINGS = {
    "KEEPWELL_JOB_LEASE_SECONDS": "1",
    "KEEPWELL_STALE_AFTER_HOURS": "1000000",
    "KEEPWELL_STALE_LIMIT_HOURS": "1000000",
}


@dataclass
class Seen:
    """What a run of kills came to."""

    kills: int = 0
    begun: int = 0
    ended: int = 0
    left: int = 0
    others_lost: int = 0
    was_begun: bool = False


def results() -> list[Result]:
    """The same on both databases."""
    rows: list[list[Any]] = []
    for at in places():
        seen = erasures(next(at.urls), at.folder, KILLS, random.Random(7), at.server)
        rows.append([at.dialect, seen.kills, seen.begun, seen.ended, seen.left, seen.others_lost])
    columns = ("store", "kills", "begun, not ended", "ended by itself", "traces", "others lost")
    return [
        Result(
            "Erasures through kills",
            "Of those whose erasure was begun when the process died; the others were asked for "
            "again. Traces: in the store's files or dump and in the files of jobs.",
            columns,
            rows,
        )
    ]


def erasures(
    url: str, folder: Path, kills: int, rng: random.Random, server: Server | None = None
) -> Seen:
    """Erase one person after the other from a service that is killed over it."""
    small_bundle(folder / "models")
    everything = _Everything(url, folder, server)
    people = [f"canary-{number:03}-{rng.randrange(16**6):06x}" for number in range(kills)]
    seen = Seen()
    for number, who in enumerate([*people, None]):
        with serving(url, folder, **SETTINGS) as (process, port):
            until_ready(port)
            if number == 0:
                _keep(port, [*people, "other"])
                _until_done(port, _submit(port, people))
            else:
                _see_to_its_end(seen, people[number - 1], port, url, everything)
            if who is None:
                seen.left += everything.holds("canary")
                seen.others_lost += _others_lost(port)
            else:
                _submit(port, [who])
                timer = threading.Timer(rng.uniform(0.0, LONGEST), process.kill)
                timer.start()
                with contextlib.suppress(OSError, HTTPException):
                    ask(port, "DELETE", f"/v1/customers/{who}")
                process.wait()
                timer.join()
                seen.kills += 1
                seen.was_begun = _is_buried(url, who) and everything.holds(who)
                seen.begun += seen.was_begun
    return seen


def _see_to_its_end(seen: Seen, who: str, port: int, url: str, everything: "_Everything") -> None:
    """Wait until nothing of a person is left; ask again if nothing was begun."""
    if not _is_buried(url, who):
        while ask(port, "DELETE", f"/v1/customers/{who}")[0] not in (200, 202):
            time.sleep(0.05)
    until = time.monotonic() + PATIENCE
    while (is_left := everything.holds(who)) and time.monotonic() < until:
        time.sleep(0.1)
    seen.left += is_left
    seen.ended += seen.was_begun and not is_left


def _others_lost(port: int) -> int:
    """How much of what nobody asked to forget is not there any more."""
    body = {"customer_id": "other", "as_of": AS_OF}
    lost = int(_post(port, "/score", body)[1]["status"] == "unknown_customer")
    for job in ask(port, "GET", "/v1/jobs?limit=500")[1]["jobs"]:
        lost += _until_done(port, job["job_id"])["rows"] != {"unknown_customer": OTHERS}
    return lost


class _Everything:
    """All bytes that are kept: the store's files or dump, and the files of jobs."""

    def __init__(self, url: str, folder: Path, server: Server | None) -> None:
        self._url = make_url(url)
        self._folder = folder
        self._server = server

    def holds(self, text: str) -> bool:
        """Whether a text is in any of it."""
        return any(text.encode() in content for content in self._contents())

    def _contents(self) -> Iterator[bytes]:
        if self._url.drivername == "sqlite":
            paths = list(self._folder.glob(f"{Path(self._url.database or '').name}*"))
        else:
            assert self._server is not None
            yield self._server.dump(str(self._url.database))
            paths = []
        for path in [*paths, *(self._folder / "jobs").rglob("*")]:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                yield path.read_bytes()


def _keep(port: int, people: list[str]) -> None:
    """Store events of everybody, several times so that rows move, and record a score of each."""
    for month in range(1, 9):
        events = [
            {
                "customer_id": who,
                "occurred_at": f"2026-{month:02}-{day:02}T10:00:00Z",
                "kind": "purchase",
                "amount": 5.5,
                "order_id": f"order-{month}-{day}-of-{who}",
            }
            for who in people
            for day in range(1, 10)
        ]
        assert _post(port, "/v1/events", events)[0] == 200
    for who in people:
        body = {"customer_id": who, "as_of": AS_OF, "record": True}
        assert _post(port, "/score", body)[0] == 200


def _submit(port: int, people: list[str]) -> str:
    """Hand in a list with these people at its end, behind many of whom nothing is stored."""
    ids = [*(f"nobody-{at}" for at in range(OTHERS)), *people]
    content = "".join(json.dumps({"customer_id": who}) + "\n" for who in ids).encode()
    kind = {"content-type": "application/x-ndjson"}
    status, job = ask(port, "POST", f"/v1/jobs?as_of={AS_OF}", content, kind)
    assert status == 202, job
    job_id: str = job["job_id"]
    return job_id


def _until_done(port: int, job_id: str) -> Any:
    while True:
        job = ask(port, "GET", f"/v1/jobs/{job_id}")[1]
        if job["state"] not in ("queued", "running"):
            assert job["state"] == "done", job
            return job
        time.sleep(0.05)


def _is_buried(url: str, who: str) -> bool:
    database = Database(url)
    with database.reading() as connection:
        found = bool(buried(connection, [who]))
    database.close()
    return found


def _post(port: int, path: str, body: Any) -> tuple[int, Any]:
    kind = {"content-type": "application/json"}
    return ask(port, "POST", path, json.dumps(body).encode(), kind)
