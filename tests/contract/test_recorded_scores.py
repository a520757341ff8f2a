"""Scores that are asked to be remembered, and what is told of them."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from churn.events import MICROSECONDS_PER_DAY
from service import instants
from service.settings import Settings
from service.store import recorder
from service.store.database import Database
from service.store.recorded import Remembered, Scores, recorded_before
from service.store.recorder import Recorder
from service.store.tables import scores
from service.store.tombstones import bury
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases
from tests.contract.exchanges import AWAY

DAY = MICROSECONDS_PER_DAY


@pytest.fixture
def client(published: Path, store_url: str) -> Iterator[AppClient]:
    with build(Settings(models_dir=published, store_url=store_url)) as client:
        yield client


def told(client: AppClient, customer_id: str = "c-1042", **query: Any) -> httpx.Response:
    path = f"/v1/customers/{quote(customer_id, safe='')}/scores"
    return client.request("GET", path, params=query)


def recorded(client: AppClient, customer_id: str = "c-1042", **query: Any) -> list[dict[str, Any]]:
    answer = told(client, customer_id, **query)
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.json()["scores"]
    return rows


def score(client: AppClient, **changes: Any) -> dict[str, Any]:
    answer = client.post("/score", customer(record=True, **changes))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def row(day: int, **changes: Any) -> Remembered:
    """A row as it would be stored, of the version v1."""
    at = day * DAY
    given = Remembered(
        "c-1042", day, "v1", at, at, 0.5, "scored", "low", json.dumps([reason("a", 0.5)]), 60
    )
    return given._replace(**changes)


def reason(family: str, contribution: float, **changes: Any) -> dict[str, Any]:
    return {
        "code": f"{family}_code",
        "family": family,
        "direction": "raises" if contribution > 0 else "lowers",
        "contribution": contribution,
        "share": 0.5,
        **changes,
    }


def test_what_was_answered_is_remembered(client: AppClient) -> None:
    answered = score(client)
    (kept,) = recorded(client)
    same = ("as_of", "scored_at", "model_version", "status", "churn_probability", "risk_band",
            "horizon_days")  # fmt: skip
    assert {name: kept[name] for name in same} == {name: answered[name] for name in same}
    names = ("code", "family", "direction", "contribution", "share")
    expected = [{name: one[name] for name in names} for one in answered["reasons"]]
    assert kept["reasons"] == expected != []
    assert kept["previous_probability"] is kept["change"] is kept["previous_as_of"] is None
    assert kept["reasons_new"] == kept["reasons_gone"] == []


def test_without_record_nothing_is_remembered(client: AppClient) -> None:
    client.post("/score", customer())
    client.post("/score", customer(record=False))
    client.post("/v1/score/batch", {"customers": [customer()]})
    assert told(client).status_code == 404


def test_recording_adds_the_name_of_the_decision_and_changes_nothing_else(
    client: AppClient,
) -> None:
    plain = client.post("/score", customer(), x_request_id="same").json()
    recorded = client.post("/score", customer(record=True), x_request_id="same").json()
    assert len(recorded["action"].pop("decision_id")) == 32
    assert recorded == plain


def test_the_first_of_a_day_stays(client: AppClient) -> None:
    first = score(client)
    second = score(client, as_of="2026-11-21T11:00:00Z", events=purchases(2))
    assert second["churn_probability"] != first["churn_probability"]
    (kept,) = recorded(client)
    assert kept["churn_probability"] == first["churn_probability"]
    assert len(recorded(client)) == 1


def test_scores_by_id_and_rows_of_a_batch_are_remembered(client: AppClient) -> None:
    keep(client, "c-1", purchases())
    rows = [
        {"customer_id": "c-1", "as_of": "2026-10-21T00:00:00Z", "record": True},
        customer(customer_id="c-2", record=True),
        customer(customer_id="c-3"),
        {"customer_id": "nobody", "as_of": "2026-10-21T00:00:00Z", "record": True},
        customer(customer_id="c-4", record="yes"),
        customer(customer_id="c-5", events=[], record=True),
    ]
    results = client.post("/v1/score/batch", {"customers": rows}).json()["results"]
    assert results[4]["errors"][0] == {"pointer": "/customers/4/record", "code": "not_a_boolean"}
    for name, at in (("c-1", 0), ("c-2", 1)):
        (kept,) = recorded(client, name)
        assert kept["churn_probability"] == results[at]["churn_probability"]
    (kept,) = recorded(client, "c-5")
    assert (kept["status"], kept["churn_probability"]) == ("insufficient_history", None)
    for name in ("c-3", "nobody", "c-4"):
        assert told(client, name).status_code == 404


def test_of_whom_nothing_is_recorded_is_not_found(client: AppClient) -> None:
    for name in ("nobody", "x" * 300, "a\tb"):
        answer = told(client, name)
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/unknown-customer"
        assert answer.json()["instance"] == "/v1/customers/{customer_id}/scores"


@pytest.mark.parametrize(
    "name", ["a/b", "/", "a/scores", "%2F", "a b", "é😀", "?x=1", "#", "x" * 256, "a%00"]
)
def test_any_id_is_found_again(client: AppClient, name: str) -> None:
    score(client, customer_id=name)
    assert told(client, name).json()["customer_id"] == name
    assert len(recorded(client, name)) == 1


def test_the_id_reaches_neither_metrics_nor_the_log(
    client: AppClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    score(client, customer_id="canary-7")
    recorded(client, "canary-7")
    told(client, "canary-8")
    assert "canary" not in client.get("/metrics").text
    ours = [record for record in caplog.records if record.name.startswith("keepwell")]
    assert len(ours) >= 4
    assert not any("canary" in str(vars(record)) for record in ours)
    route = "/v1/customers/{customer_id}/scores"
    assert client.metric("http_requests_total", route=route, method="GET", status="200") == 1


def test_each_is_told_beside_the_one_before_of_the_same_model(client: AppClient) -> None:
    book = Scores(client.app.state.keepwell.store)
    book.record(
        [
            row(10, probability=0.25),
            row(20, probability=0.5),
            row(15, model_version="v2", probability=0.75),
            row(30, status="lapsed", probability=None, band=None, reasons="[]"),
            row(40, probability=0.125),
        ]
    )
    found = recorded(client)
    told_of = [(one["model_version"], one["churn_probability"], one["previous_probability"],
                one["change"]) for one in found]  # fmt: skip
    assert told_of == [
        ("v1", 0.125, None, None),
        ("v1", None, 0.5, None),
        ("v1", 0.5, 0.25, 0.25),
        ("v2", 0.75, None, None),
        ("v1", 0.25, None, None),
    ]
    assert found[2]["previous_as_of"] == instants.text(10 * DAY)
    assert [one["model_version"] for one in recorded(client, model_version="v2")] == ["v2"]
    assert recorded(client, model_version="v3") == []


def test_what_changed_in_the_reasons_is_told_by_family(client: AppClient) -> None:
    before = [reason("stays", 0.5), reason("grows", 0.5), reason("shrinks", 0.5),
              reason("goes", 0.4), reason("turns", 0.3), reason("lowers", -0.5)]  # fmt: skip
    after = [reason("comes", 0.9), reason("stays", 0.59), reason("grows", 0.65, code="now"),
             reason("shrinks", 0.35), reason("turns", -0.3), reason("lowers", -0.7)]  # fmt: skip
    Scores(client.app.state.keepwell.store).record(
        [row(10, reasons=json.dumps(before)), row(11, reasons=json.dumps(after))]
    )
    now, _ = recorded(client)
    assert now["reasons_new"] == ["comes_code", "turns_code"]
    assert now["reasons_gone"] == ["goes_code", "turns_code"]
    assert now["reasons_grown"] == ["lowers_code", "now"]
    assert now["reasons_shrunk"] == ["shrinks_code"]


def test_pages_hold_every_score_once(client: AppClient) -> None:
    days = [*range(100, 110), *range(100, 110)]
    Scores(client.app.state.keepwell.store).record(
        [row(day, model_version=f"v{at // 10}", probability=at / 100)
         for at, day in enumerate(days)]
    )  # fmt: skip
    whole = recorded(client)
    assert len(whole) == 20
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = told(client, **query).json()
        found += page["scores"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == whole


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": 0}, "too_small"),
        ({"limit": 101}, "too_big"),
        ({"cursor": "x"}, "invalid"),
        ({"cursor": "2026-02-31_v1"}, "invalid"),
        ({"cursor": "2026-1-311_v1"}, "invalid"),
        ({"before": "x"}, "unknown_parameter"),
    ],
)
def test_a_wrong_parameter_is_told(client: AppClient, query: dict[str, Any], code: str) -> None:
    answer = told(client, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == code


def test_while_the_store_is_away_nothing_is_pretended(published: Path) -> None:
    with build(Settings(models_dir=published, store_url=AWAY)) as client:
        answer = client.post("/score", customer(record=True))
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        rows = [customer(record=True), customer()]
        first, second = client.post("/v1/score/batch", {"customers": rows}).json()["results"]
        assert (first["status"], second["status"]) == (503, "scored")
        assert told(client).status_code == 503


def test_records_that_wait_for_each_other_are_written_together(database: Database) -> None:
    class Counting(Scores):
        """Counts transactions, the first of which waits until all have come."""

        turns = 0

        def record(self, *rows: Any) -> Any:
            self.turns += 1
            all_came.wait()
            return super().record(*rows)

    all_came = threading.Event()
    book = Counting(database)

    async def record_all() -> None:
        with ThreadPoolExecutor(1) as writer:
            recorder = Recorder(book, writer)
            tasks = [
                asyncio.create_task(recorder.record([row(1, customer_id=f"c-{at}")]))
                for at in range(20)
            ]
            while book.turns == 0:
                await asyncio.sleep(0.001)
            all_came.set()
            await asyncio.gather(*tasks)

    asyncio.run(record_all())
    assert book.turns <= 2
    with database.reading() as connection:
        assert len(connection.execute(scores.select()).all()) == 20


@pytest.mark.parametrize("is_for_ever", [False, True], ids=["for a while", "for ever"])
def test_a_transaction_waits_for_those_who_are_about_to_come(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_for_ever: bool
) -> None:
    sizes = []

    class Noted(Scores):
        def record(self, rows: Any, *others: Any) -> Any:
            sizes.append(len(rows))
            return super().record(rows, *others)

    # Long enough for those who come; of those who never do nobody waits to the end of time.
    monkeypatch.setattr(recorder, "MOST_SECONDS", 0.5 if is_for_ever else 60.0)
    coming = [True]

    async def one_after_the_other() -> None:
        with ThreadPoolExecutor(1) as writer:
            book = Recorder(Noted(database), writer, lambda: coming[0])
            tasks = []
            for at in range(5):
                tasks.append(asyncio.create_task(book.record([row(1, customer_id=f"c-{at}")])))
                await asyncio.sleep(0.01)
            coming[0] = is_for_ever
            await asyncio.wait_for(asyncio.gather(*tasks), 30)

    asyncio.run(one_after_the_other())
    assert sizes == [5]


def test_a_score_from_before_its_customers_erasure_is_not_kept(database: Database) -> None:
    with database.writing() as connection:
        bury(connection, "c-1042", 10 * DAY)
    book = Scores(database)
    book.record([row(10), row(9), row(11)])
    found = book.of_customer("c-1042", limit=10)
    assert [one.day for one in found or ()] == [11]


def test_old_scores_are_found_by_when_they_were_made(database: Database) -> None:
    Scores(database).record([row(5, scored_at=NOW), row(NOW // DAY, scored_at=NOW - 1)])
    with database.reading() as connection:
        old = connection.execute(scores.select().where(recorded_before(NOW))).all()
    assert [one.day for one in old] == [NOW // DAY]
