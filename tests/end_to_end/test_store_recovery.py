"""A real service whose store goes away under load: 503 for who needs it, and no restart."""

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.store.database import Database
from service.store.histories import Histories
from tests.end_to_end.test_real_server import CUSTOMER, PATIENCE, Server, serving, waiting
from tests.postgresql import Server as Postgresql

ID = {"customer_id": "c-1042", "as_of": CUSTOMER["as_of"]}
AWAY = "/problems/store-unavailable"
OLD = {"KEEPWELL_STALE_LIMIT_HOURS": "100000"}  # the stored purchases are of no late date


@pytest.fixture
def own_postgresql() -> Iterator[Postgresql]:
    """A server that may be stopped."""
    server = Postgresql(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


class Load:
    """Clients that never rest: one sends events, one asks by id, one sends whole histories."""

    def __init__(self, server: Server) -> None:
        self.accepted: list[str] = []
        self.answers: Counter[tuple[str, int]] = Counter()
        self.faults: list[BaseException] = []
        self._url = server.url
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        works = (self._send, self._ask, self._ask_in_full)
        threads = [threading.Thread(target=self._repeat, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def until(self, status: int) -> None:
        """Wait until both who need the store are answered so anew."""
        before = self.answers.copy()
        for _ in waiting():
            assert not self.faults, self.faults
            if all(self.answers[who, status] > before[who, status] for who in ("events", "id")):
                return

    def _repeat(self, work: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE) as client:
            try:
                while not self._ended.is_set():
                    work(client)
            except BaseException as error:
                self.faults.append(error)

    def _send(self, client: httpx.Client) -> None:
        event_id = f"e-{len(self.accepted)}"
        event = {
            "customer_id": "c-7",
            "occurred_at": "2026-10-02T10:11:00Z",
            "kind": "visit",
            "event_id": event_id,
        }
        answer = self._checked("events", client.post("/v1/events", json={"events": [event]}))
        # After a lost answer the same event may be there already; what counts is that it is.
        if answer.status_code == 200:
            self.accepted.append(event_id)

    def _ask(self, client: httpx.Client) -> None:
        self._checked("id", client.post("/score", json=ID))

    def _ask_in_full(self, client: httpx.Client) -> None:
        answer = self._checked("body", client.post("/score", json=CUSTOMER))
        assert answer.status_code == 200

    def _checked(self, who: str, answer: httpx.Response) -> httpx.Response:
        self.answers[who, answer.status_code] += 1
        if answer.status_code == 503:
            assert answer.json()["type"] == AWAY
            assert int(answer.headers["retry-after"]) > 0
            time.sleep(0.02)
        else:
            assert answer.status_code == 200, answer.text
        return answer


def until_store(server: Server, state: str) -> None:
    for _ in waiting():
        answer = server.get("/health/ready")
        if answer.status_code == 200 and answer.json()["store"] == state:
            return


def until_said(server: Server, words: str, *, times: int = 1) -> None:
    """Wait for the look at the store that has it; requests may have found out before."""
    for _ in waiting():
        said = [
            line["message"]
            for line in server.lines
            if line["logger"] == "keepwell.store" and line["level"] != "warning"
        ]
        if sum(words in line for line in said) >= times:
            return


def store_lines(server: Server) -> list[str]:
    return [line["message"] for line in server.lines if line["logger"] == "keepwell.store"]


@pytest.mark.parametrize("at_once", [False, True], ids=["stopped", "crashed"])
def test_postgresql_goes_and_comes_back_under_load(
    published: Path, tmp_path: Path, own_postgresql: Postgresql, at_once: bool
) -> None:
    url = own_postgresql.url(own_postgresql.new_database())
    with serving(published, tmp_path / "log", KEEPWELL_STORE_URL=url, **OLD) as server:
        until_store(server, "ready")
        with Load(server).running() as load:
            load.until(200)
            own_postgresql.stop(at_once=at_once)
            load.until(503)
            until_store(server, "unavailable")
            until_said(server, "does not answer")
            own_postgresql.start()
            load.until(200)
            until_store(server, "ready")
        assert not load.faults
        until_said(server, "store ready", times=2)
        assert server.stop() == 0
        lines = store_lines(server)
    assert lines[0] == "store ready"
    assert "does not answer" in lines[1]
    assert all("hush" not in line for line in lines)
    database = Database(url)
    stored = [event.event_id for event in Histories(database).read(["c-7"])["c-7"].events()]
    database.close()
    assert len(stored) == len(set(stored))
    assert set(load.accepted) <= set(stored)


def test_a_damaged_file_and_then_its_backup_are_taken_up(published: Path, tmp_path: Path) -> None:
    file = tmp_path / "store" / "keepwell.db"
    sent = [{"customer_id": "c-1042", **event} for event in CUSTOMER["events"]]
    url = f"sqlite:///{file}"
    with serving(published, tmp_path / "log", KEEPWELL_STORE_URL=url, **OLD) as server:
        until_store(server, "ready")
        assert httpx.post(server.url + "/v1/events", json={"events": sent}).status_code == 200
        expected = httpx.post(server.url + "/score", json=ID).json()["churn_probability"]
        assert expected is not None
        backup = tmp_path / "backup.db"
        database = Database(url)
        with database.reading(single=True) as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(backup),))
        database.close()
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(os.urandom(1 << 16))
        for new, status in ((damaged, 503), (backup, 200)):
            for beside in ("-wal", "-shm"):
                file.with_name(file.name + beside).unlink(missing_ok=True)
            os.replace(shutil.copy(new, tmp_path / "new"), file)
            until_store(server, "ready" if status == 200 else "unavailable")
            for _ in waiting():
                answer = httpx.post(server.url + "/score", json=ID, timeout=PATIENCE)
                if answer.status_code == status:
                    break
        assert answer.json()["churn_probability"] == expected
        assert server.stop() == 0
        assert any("is not a database" in line for line in store_lines(server))
