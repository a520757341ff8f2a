"""The service beside a store that is there, away, or not its own."""

import asyncio
from pathlib import Path

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.problems import STORE_UNAVAILABLE, store_unavailable
from service.settings import Settings
from service.store import watch
from service.store.database import Database
from service.store.errors import BadStoreUrl, StoreReadOnly, StoreTooNew, StoreUnavailable
from tests.contract.client import build, customer
from tests.contract.exchanges import AWAY


async def started(app: FastAPI, until: bool) -> None:
    """Run the app's lifespan until its store is as awaited."""
    async with app.router.lifespan_context(app):
        for _ in range(1000):
            if app.state.keepwell.store.available == until:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def test_the_store_is_prepared_at_start(published: Path, store_url: str) -> None:
    app = create_app(Settings(models_dir=published, store_url=store_url))
    assert not app.state.keepwell.store.available
    asyncio.run(started(app, until=True))


def test_histories_in_the_body_are_scored_while_the_store_is_away(published: Path) -> None:
    with build(Settings(models_dir=published, store_url=AWAY)) as client:
        with pytest.raises(StoreUnavailable, match="nothing listens there; start the server"):
            client.app.state.keepwell.store.prepare()
        assert client.post("/score", customer()).json()["status"] == "scored"
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["store"]) == (200, "unavailable")


def test_what_needs_the_store_answers_503_while_it_is_away(published: Path) -> None:
    with build(Settings(models_dir=published, store_url=AWAY)) as client:
        store: Database = client.app.state.keepwell.store

        @client.app.get("/needs-the-store")
        def needs_the_store() -> None:
            with store.reading():
                raise AssertionError

        answer = client.get("/needs-the-store")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["type"] == STORE_UNAVAILABLE.type


def test_the_answer_does_not_say_where_the_store_is() -> None:
    for error in (StoreUnavailable("at db.internal"), StoreReadOnly("x db."), StoreTooNew("db.")):
        problem = store_unavailable(error)
        assert "db." not in problem.detail
        assert problem.headers["Retry-After"]


def test_a_url_that_can_never_work_ends_the_start() -> None:
    with pytest.raises(BadStoreUrl, match="mysql is not supported; write sqlite:///"):
        create_app(Settings(store_url="mysql://me:secret@host/x"))


def test_the_log_says_once_that_the_store_went_and_once_that_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Flickering:
        """A store that is there, there, away, away, there."""

        shown = "the store"
        turns = iter([None, None, "gone", "gone", None])

        def prepare(self) -> None:
            turn = next(self.turns, "end")
            if turn == "end":
                ended.set()
                turn = None
            if turn:
                raise StoreUnavailable(turn)

    ended = asyncio.Event()

    async def look() -> None:
        task = asyncio.create_task(watch.watch(Flickering(), 0.001))  # type: ignore[arg-type]
        await ended.wait()
        task.cancel()

    caplog.set_level("INFO", "keepwell.store")
    asyncio.run(look())
    assert [record.getMessage() for record in caplog.records] == [
        "store ready",
        "gone",
        "store ready",
    ]
