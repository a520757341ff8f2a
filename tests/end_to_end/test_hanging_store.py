"""A real service whose PostgreSQL takes everything and answers nothing for a while."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.test_real_server import CUSTOMER, PATIENCE, Server, serving, waiting
from tests.postgresql import Server as Postgresql
from tests.proxy import Proxy

ID = {"customer_id": "c-1042", "as_of": CUSTOMER["as_of"]}


@pytest.fixture
def proxy(postgresql: Postgresql) -> Iterator[Proxy]:
    with Proxy(postgresql.port) as proxy:
        yield proxy


@pytest.fixture
def server(
    published: Path, tmp_path: Path, postgresql: Postgresql, proxy: Proxy
) -> Iterator[Server]:
    url = postgresql.url(postgresql.new_database())
    url = url.replace(f":{postgresql.port}/", f":{proxy.port}/")
    old = {"KEEPWELL_STALE_LIMIT_HOURS": "100000"}
    with serving(published, tmp_path / "log", KEEPWELL_STORE_URL=url, **old) as server:
        server.until_ready()
        yield server


def ask(server: Server, body: dict[str, Any], path: str = "/score") -> httpx.Response:
    return httpx.post(server.url + path, json=body, timeout=PATIENCE)


def test_a_store_that_hangs_costs_those_who_need_it_503_and_others_nothing(
    server: Server, proxy: Proxy
) -> None:
    sent = [{"customer_id": "c-1042", **event} for event in CUSTOMER["events"]]
    for _ in waiting():
        if ask(server, {"events": sent}, "/v1/events").status_code == 200:
            break
    expected = ask(server, ID).json()
    assert expected["status"] == "scored"
    proxy.hold()
    answers: list[httpx.Response] = []
    asking = [
        threading.Thread(target=lambda: answers.append(ask(server, ID))) for _ in range(4)
    ] + [
        threading.Thread(
            target=lambda: answers.append(
                ask(server, {"customers": [ID, CUSTOMER]}, "/v1/score/batch")
            )
        )
    ]
    for thread in asking:
        thread.start()
    beside = 0
    while any(thread.is_alive() for thread in asking):
        assert ask(server, CUSTOMER).json()["status"] == "scored"
        assert server.get("/health/live").status_code == 200
        beside += 1
    assert beside > 5  # they were answered while the others waited
    singles = [answer for answer in answers if answer.url.path == "/score"]
    assert [answer.status_code for answer in singles] == [503] * 4
    assert all(int(answer.headers["retry-after"]) > 0 for answer in singles)
    (batch,) = (answer for answer in answers if answer.url.path != "/score")
    by_id, by_events = batch.json()["results"]
    assert (by_id["status"], by_events["status"]) == (503, "scored")
    proxy.go_on()
    for _ in waiting():
        answer = ask(server, ID)
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    kept = expected.keys() - {"scored_at", "request_id"}
    assert {name: answer.json()[name] for name in kept} == {name: expected[name] for name in kept}
