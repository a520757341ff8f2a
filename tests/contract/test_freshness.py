"""A stalled import is told, and not taken for everybody's silence."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from churn.errors import ConfigError
from churn.events import FEED_KINDS, Feed
from service import freshness, instants
from service.freshness import Freshness
from service.metrics import Metrics
from service.settings import Settings, load
from service.store.reading import Reading
from service.store.tables import watermarks
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases

HOUR = 3_600_000_000
NEWEST = instants.parse("2026-10-20T10:00:00Z")  # of `purchases()`


@pytest.fixture
def client(published: Path, store_url: str) -> Iterator[AppClient]:
    with build(Settings(models_dir=published, store_url=store_url)) as client:
        keep(client, "c-1042", purchases())
        yield client


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "LOOK_SECONDS", -1.0)


def at(instant: int, **changes: Any) -> dict[str, Any]:
    return {"customer_id": "c-1042", "as_of": instants.text(instant), **changes}


def warnings(client: AppClient, body: dict[str, Any]) -> list[str]:
    answer = client.post("/score", body)
    assert answer.status_code == 200, answer.text
    found: list[str] = answer.json()["warnings"]
    return found


def test_a_feed_that_stalls_is_told_and_then_refused(client: AppClient) -> None:
    told = ["stale_history: orders since 2026-10-20T10:00:00Z"]
    assert warnings(client, at(NEWEST + 72 * HOUR)) == []
    assert warnings(client, at(NEWEST + 72 * HOUR + 1)) == told
    assert warnings(client, at(NEWEST + 336 * HOUR)) == told
    answer = client.post("/score", at(NEWEST + 336 * HOUR + 1))
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["type"] == "/problems/stale-history"
    assert answer.json()["errors"] == [{"pointer": "", "code": "stale_history"}]
    assert client.post("/score", at(NEWEST + 336 * HOUR + 1, customer_id="x")).status_code == 503


def test_events_in_the_body_are_never_stale(client: AppClient) -> None:
    late = instants.text(NEWEST + 340 * HOUR)
    assert warnings(client, customer(as_of=late)) == []


def test_rows_of_a_batch_are_held_each_against_its_own_as_of(client: AppClient) -> None:
    rows = [at(NEWEST + HOUR), at(NEWEST + 100 * HOUR), at(NEWEST + 400 * HOUR)]
    fresh, late, refused = client.post("/v1/score/batch", {"customers": rows}).json()["results"]
    assert fresh["warnings"] == []
    assert late["warnings"][0].startswith("stale_history: orders")
    assert (refused["status"], refused["type"]) == (503, "/problems/stale-history")


def test_an_event_of_the_feed_makes_it_fresh_again(client: AppClient) -> None:
    assert client.post("/score", at(NOW)).status_code == 503
    keep(client, "another", [{"occurred_at": instants.text(NOW - HOUR), "kind": "purchase"}])
    assert warnings(client, at(NOW)) == []


def test_other_feeds_are_watched_where_that_is_asked_for(published: Path, tmp_path: Path) -> None:
    settings = Settings(
        models_dir=published,
        store_url=f"sqlite:///{tmp_path}/keepwell.db",
        stale_after_hours={"complaints": 24, "visits": 24},  # type: ignore[dict-item]
    )
    with build(settings) as client:
        visit = {"occurred_at": instants.text(NEWEST - 30 * HOUR), "kind": "visit"}
        keep(client, "c-1042", [*purchases(), visit])
        told = "stale_history: visits since 2026-10-19T04:00:00Z"
        assert warnings(client, at(NEWEST + HOUR)) == [told]
        assert warnings(client, at(NEWEST + HOUR, feeds=["orders", "complaints"])) == []


def test_an_event_that_claims_to_be_of_the_future_does_not_hide_a_stall(
    client: AppClient,
) -> None:
    with client.app.state.keepwell.store.writing() as connection:
        connection.execute(watermarks.update().values(occurred_at=NOW * 2, received_at=NEWEST))
    assert client.post("/score", at(NOW)).status_code == 503


def test_a_feed_that_never_came_is_left_out_once_there_are_customers_enough(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = at(NEWEST + HOUR, max_reasons=8, direction="both")
    sent = customer(as_of=ask["as_of"], max_reasons=8, direction="both")
    whole = client.post("/score", ask, x_request_id="same").content
    assert whole == client.post("/score", sent, x_request_id="same").content
    monkeypatch.setattr(freshness, "ENOUGH_CUSTOMERS", 1)
    got = client.post("/score", ask).json()
    assert got["warnings"] == ["feeds_not_stored: complaints, feedback, returns, visits"]
    feeds = [feed.value for feed in Feed if feed not in FEED_KINDS or feed is Feed.ORDERS]
    expected = client.post("/score", sent | {"feeds": feeds}).json()
    assert got["churn_probability"] == expected["churn_probability"]
    assert got["reasons"] == expected["reasons"]
    assert "engagement_drop" not in {reason["family"] for reason in got["reasons"]}
    assert warnings(client, ask | {"feeds": ["orders", "visits"]}) == []


def test_the_watermarks_are_metrics(client: AppClient) -> None:
    client.get("/metrics")
    name = "feed_watermark_timestamp_seconds"
    assert client.metric(name, feed="orders") == NEWEST / 1e6
    assert client.metric(name, feed="visits") == 0.0


def test_watermarks_are_not_read_for_every_score(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "LOOK_SECONDS", 3600.0)
    state = client.app.state.keepwell
    looks = []

    class Counting(Freshness):
        def read(self) -> Any:
            looks.append(1)
            return super().read()

    watching = Counting(state.settings, state.store, Reading(state.store), Metrics())

    async def look() -> None:
        for _ in range(10):
            await watching.marks()

    asyncio.run(look())
    assert len(looks) == 1


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        ("24", {"orders": 24.0}),
        ('{"complaints": 720}', {"orders": 72.0, "complaints": 720.0}),
        ('{"orders": 1.5, "visits": 2}', {"orders": 1.5, "visits": 2.0}),
    ],
)
def test_hours_are_a_number_or_by_feed(
    monkeypatch: pytest.MonkeyPatch, given: str, hours: dict[str, float]
) -> None:
    monkeypatch.setenv("KEEPWELL_STALE_AFTER_HOURS", given)
    assert load().stale_after_hours == hours


@pytest.mark.parametrize(
    "given", ["many", "0", "-1", "[]", '{"cheques": 1}', '{"orders": true}', "NaN", "1e9", '"72"']
)
def test_wrong_hours_are_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("KEEPWELL_STALE_LIMIT_HOURS", given)
    with pytest.raises(ConfigError, match="KEEPWELL_STALE_LIMIT_HOURS: ") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert json.dumps(str(caught.value))
