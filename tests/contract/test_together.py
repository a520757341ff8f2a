"""Requests that are read at the same time are answered together, each as it would be alone."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from churn.rows import CustomerRow
from churn.scores import CustomerScore
from churn.scoring import Scorer
from service.answers import MODE_SINGLE, Scoring
from service.settings import Settings
from service.together import MOST, Asked, Together
from service.traffic import Traffic
from tests.contract.client import AS_OF, NOW, AppClient, build, customer, keep, purchases

FEATURES = {"purchases_30d": 2, "days_since_last_purchase": 12}
BODIES: list[dict[str, Any]] = [
    customer(),
    customer(language="ru", direction="both", max_reasons=8),
    customer(customer_id="c-2", events=purchases(3), feeds=["orders", "cheques"]),
    customer(customer_id="c-3", events=purchases(1, amount=70.0)),
    customer(customer_id="new", events=[]),
    customer(customer_id="long-gone", as_of="2026-11-21T00:00:00Z", events=[
        {"occurred_at": "2025-01-03T10:00:00Z", "kind": "purchase", "amount": 12.0}
    ]),
    customer(customer_id="later", events=[
        *purchases(2), {"occurred_at": "2027-01-01T00:00:00Z", "kind": "visit"},
    ]),
    customer(customer_id="asked", events=[
        *purchases(4), {"occurred_at": "2026-11-01T00:00:00Z", "kind": "contact"},
    ]),
    {"customer_id": "ready", "features": FEATURES},
    {"customer_id": "ready-too", "features": FEATURES | {"purchases_90d": None}},
    {"customer_id": "c-1042", "as_of": AS_OF},
    {"customer_id": "nobody", "as_of": AS_OF},
    customer(customer_id="kept", record=True),
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """A service whose store knows c-1042."""
    settings = Settings(
        models_dir=published,
        store_url=f"sqlite:///{tmp_path_factory.mktemp('together')}/keepwell.db",
        stale_after_hours=1e6,
        stale_limit_hours=1e6,
    )
    with build(settings) as client:
        keep(client, "c-1042", purchases())
        client.refresh()
        yield client


@pytest.fixture
def blocks(shop: AppClient, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were scored at each time."""
    sizes: list[int] = []
    whole = Scorer.score_rows

    def noted(self: Scorer, rows: Sequence[CustomerRow]) -> list[CustomerScore]:
        sizes.append(len(rows))
        return whole(self, rows)

    monkeypatch.setattr(Scorer, "score_rows", noted)
    return sizes


def at_once(client: AppClient, bodies: Sequence[Any]) -> list[httpx.Response]:
    """Send bodies as the server does when it has read them all before it begins the first."""
    state = client.app.state.keepwell
    traffic = Traffic(client.app, state.settings, state.metrics, (), state.together.waiting)
    transport = httpx.ASGITransport(app=traffic.begin, raise_app_exceptions=False)

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=transport, base_url="http://keepwell.test") as http:
            traffic.waiting.count += len(bodies)
            asked = [
                http.post(
                    "/score",
                    content=body if isinstance(body, bytes) else json.dumps(body).encode(),
                    headers={"content-type": "application/json", "x-request-id": "same"},
                )
                for body in bodies
            ]
            return list(await asyncio.gather(*asked))

    answers = client._runner.run(send())
    assert state.together.waiting.count == 0
    return answers


def told(answer: httpx.Response) -> dict[str, Any]:
    """An answer without the name of its decision, which is a new one each day."""
    found: dict[str, Any] = answer.json()
    if found.get("action"):
        found["action"].pop("decision_id", None)
    return found


def test_all_are_answered_as_they_would_be_alone(shop: AppClient, blocks: list[int]) -> None:
    alone = [shop.post("/score", body, x_request_id="same") for body in BODIES]
    assert blocks == [1] * (len(BODIES) - 1)  # of nobody there is nothing to score
    blocks.clear()
    together = at_once(shop, BODIES)
    assert [answer.status_code for answer in together] == [200] * len(BODIES)
    assert list(map(told, together)) == list(map(told, alone))
    assert together[0].content == alone[0].content
    assert together[-1].json()["action"]["decision_id"] == alone[-1].json()["action"]["decision_id"]
    stored = 2  # one of them unknown
    assert blocks == [len(BODIES) - stored, 1]
    blocks.clear()
    assert {answer.content for answer in at_once(shop, [BODIES[-3]] * 5)} == {alone[-3].content}
    assert blocks == [5]


def test_a_wrong_request_is_refused_and_harms_nobody(shop: AppClient, blocks: list[int]) -> None:
    wrong = [
        b"{",
        customer(events=[{"occurred_at": AS_OF, "kind": "purchase", "amount": -1}]),
        {"customer_id": "c", "features": {"purchases_30d": -1}},
        {"customer_id": "c", "features": {"no_such": 1}},
        customer(features={"purchases_30d": 1}),
    ]
    alone = [shop.post("/score", body, x_request_id="same") for body in wrong]
    good = shop.post("/score", customer(), x_request_id="same")
    together = at_once(shop, [customer(), *wrong, customer()])
    assert [one.status_code for one in together] == [200, 400, 422, 422, 422, 422, 200]
    assert [one.content for one in together[1:-1]] == [one.content for one in alone]
    assert together[0].content == together[-1].content == good.content


def test_a_fault_is_that_customers_alone(shop: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Scorer.score_rows

    def faulty(self: Scorer, rows: Sequence[CustomerRow]) -> list[CustomerScore]:
        if any(row.customer_id == "faulty" for row in rows):
            raise ArithmeticError
        return whole(self, rows)

    monkeypatch.setattr(Scorer, "score_rows", faulty)
    names = ["a", "faulty", "b"]
    answers = at_once(shop, [customer(customer_id=name) for name in names])
    assert [answer.status_code for answer in answers] == [200, 500, 200]
    assert answers[1].json()["type"].endswith("internal-error")


def test_every_request_counts_once_and_for_its_part(shop: AppClient) -> None:
    def counts() -> list[float]:
        return [
            shop.metric("predict_rows_total", mode="single", status="scored"),
            shop.metric("predict_duration_seconds_count", mode="single"),
            shop.metric("http_requests_total", route="/score", method="POST", status="200"),
        ]

    before = counts()
    at_once(shop, [customer()] * 10)
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [10, 10, 10]


def test_a_block_has_its_most(shop: AppClient, blocks: list[int]) -> None:
    answers = at_once(shop, [customer(customer_id=f"c-{n}") for n in range(2 * MOST + 1)])
    assert [answer.json()["customer_id"] for answer in answers] == [
        f"c-{n}" for n in range(2 * MOST + 1)
    ]
    assert blocks == [MOST, MOST, 1]


def test_whoever_waits_for_something_else_is_not_waited_for(shop: AppClient) -> None:
    state = shop.app.state.keepwell
    scoring = Scoring(state.loaded(), state.metrics, now=NOW, request_id="same", mode=MODE_SINGLE)

    async def one() -> Asked:
        together = Together(state.settings.max_events)
        together.waiting.count = 5  # they never ask for a score
        asked = Asked(scoring, json.dumps(customer()).encode())
        await asyncio.wait_for(together.answer(asked), 10)
        return asked

    asked = shop._runner.run(one())
    assert asked.content == shop.post("/score", customer(), x_request_id="same").content


def test_who_has_left_is_not_answered_and_holds_up_nobody(
    shop: AppClient, blocks: list[int]
) -> None:
    state = shop.app.state.keepwell
    scoring = Scoring(state.loaded(), state.metrics, now=NOW, request_id="same", mode=MODE_SINGLE)

    async def three() -> list[Asked]:
        together = Together(state.settings.max_events)
        together.waiting.count = 1
        asked = [Asked(scoring, json.dumps(customer()).encode()) for _ in range(3)]
        tasks = [asyncio.create_task(together.answer(one)) for one in asked]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [False, True, False]
        return asked

    asked = shop._runner.run(three())
    assert [one.content is None for one in asked] == [False, True, False]
    assert blocks == [2]


def test_each_is_scored_with_the_model_of_its_request(
    shop: AppClient, published: Path, blocks: list[int]
) -> None:
    state = shop.app.state.keepwell
    with build(Settings(models_dir=published)) as other:
        loaded = [state.loaded(), other.app.state.keepwell.loaded()]

        async def both() -> list[Asked]:
            together = Together(state.settings.max_events)
            together.waiting.count = 1
            asked = [
                Asked(
                    Scoring(one, state.metrics, now=NOW, request_id="same", mode=MODE_SINGLE),
                    json.dumps(customer()).encode(),
                )
                for one in loaded * 2
            ]
            await asyncio.gather(*map(together.answer, asked))
            return asked

        blocks.clear()  # of the other's start
        asked = shop._runner.run(both())
    assert blocks == [2, 2]
    assert len({one.content for one in asked}) == 1
