"""`DELETE /v1/customers/{customer_id}` as a client sees it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from service.settings import Settings
from tests.contract.client import AppClient, build, purchases

CANARY = "canary-7f3a"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[AppClient]:
    """A service with a store of its own, which needs no model to forget."""
    settings = Settings(
        models_dir=tmp_path / "nothing", store_url=f"sqlite:///{tmp_path}/store/keepwell.db"
    )
    with build(settings) as client:
        yield client


def send(client: AppClient, who: str) -> list[str]:
    rows = [{"customer_id": who, **event} for event in purchases()]
    return [row["status"] for row in client.post("/v1/events", {"events": rows}).json()["rows"]]


def erase(client: AppClient, who: str) -> object:
    answer = client.request("DELETE", f"/v1/customers/{quote(who, safe='')}")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    "who", [CANARY, "a/b", "../c", "Ünï–код", "50%", "a b+c?d#e", "x" * 256, "scores/"]
)
def test_anybody_can_be_forgotten_whatever_they_are_called(own: AppClient, who: str) -> None:
    assert send(own, who) == ["accepted"] * 5
    gone = {
        "events": 5,
        "scores": 0,
        "decisions": 0,
        "job_rows": 0,
        "jobs": [],
        "pending": [],
        "rewritten_at": None,
    }
    gone |= {"erased_at": "2026-11-21T12:00:00Z"}
    assert erase(own, who) == gone
    assert erase(own, who) == gone | {"events": 0}
    assert send(own, who) == ["refused"] * 5


def test_nothing_of_them_is_in_the_files_the_answer_or_the_log(
    own: AppClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx")  # the client's own
    send(own, CANARY)
    answer = own.request("DELETE", f"/v1/customers/{CANARY}")
    assert CANARY not in answer.text + str(answer.headers)
    assert "canary" not in caplog.text
    assert all(
        "canary" not in json.dumps(record.__dict__, default=str) for record in caplog.records
    )
    files = list((tmp_path / "store").iterdir())
    assert files
    assert all(CANARY.encode() not in path.read_bytes() for path in files)
    assert own.metric(
        "http_requests_total", route="/v1/customers/{customer_id}", method="DELETE", status="200"
    )


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("a/b", 404, None),
        ("", 422, "empty"),
        ("x" * 257, 422, "too_long"),
        ("a%09b", 422, "control_character"),
        ("%FF", 422, "bad_unicode"),
        ("%ED%A0%80", 422, "bad_unicode"),
    ],
)
def test_a_path_that_names_nobody_is_refused(
    own: AppClient, path: str, status: int, code: str | None
) -> None:
    answer = own.request("DELETE", f"/v1/customers/{path}")
    assert answer.status_code == status
    assert [error["code"] for error in answer.json()["errors"]] == ([code] if code else [])


def test_without_its_store_nobody_is_forgotten(tmp_path: Path) -> None:
    away = "postgresql+psycopg://keepwell@127.0.0.1:1/keepwell"
    with build(Settings(models_dir=tmp_path, store_url=away)) as client:
        answer = client.request("DELETE", f"/v1/customers/{CANARY}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_while_a_reader_holds_remains_the_answer_says_so(
    own: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.erasure.LOG_SECONDS", 0.05)
    send(own, CANARY)
    store = own.app.state.keepwell.store
    with store.reading() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM histories").one()
        answer = own.request("DELETE", f"/v1/customers/{CANARY}")
    assert answer.status_code == 202
    assert answer.json()["pending"] == ["file"]
    assert own.app.state.keepwell.eraser.finish()
