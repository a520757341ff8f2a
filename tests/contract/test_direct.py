"""What is answered below the framework is what the framework would answer."""

import asyncio
import gc
import json
import weakref
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope

from service.direct import PIECE, Direct, Reply
from service.metrics import Metrics
from service.problems import invalid_field
from service.settings import Settings
from tests.contract.client import AppClient, build, customer

PATHS = ("/score", "/v1/score", "/v1/score/batch", "/v1/events")
BODIES = (b"[]", b"{", b"{}", json.dumps(customer()).encode(), json.dumps([customer()]).encode())
KEPT = ("content-type", "x-model-version", "x-request-id", "cache-control", "content-length")


@pytest.fixture
def mounted(published: Path) -> AppClient:
    """The app under another path, where the framework's routes answer."""
    client = build(Settings(models_dir=published))
    client.below = client.app  # type: ignore[attr-defined]
    client.app = Starlette(routes=[Mount("/churn", client.app)])  # type: ignore[assignment]
    return client


def test_the_declared_paths_are_answered_below_the_framework(client: AppClient) -> None:
    assert set(client.app.direct) == set(PATHS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", BODIES)
def test_under_another_path_the_same_is_answered(
    client: AppClient, mounted: AppClient, path: str, body: bytes
) -> None:
    with mounted:
        routed = mounted.post(f"/churn{path}", body, x_request_id="same")
    direct = client.post(path, body, x_request_id="same")
    assert _kept(routed) == _kept(direct)


def _kept(answer: httpx.Response) -> tuple[object, ...]:
    headers = [answer.headers.get(name) for name in KEPT]
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("path", PATHS)
def test_other_methods_are_the_frameworks(client: AppClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_what_a_refused_request_held_is_let_go_at_once() -> None:
    class Body:
        """Stands for many megabytes."""

    kept: list[weakref.ref[Body]] = []

    async def endpoint(scope: Scope, receive: Receive) -> Reply:
        body = Body()
        kept.append(weakref.ref(body))
        raise invalid_field("It is wrong.", "", "invalid")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    scope: Scope = {"type": "http", "state": {"request_id": "a"}}
    gc.disable()
    try:
        asyncio.run(Direct("/score", endpoint, Metrics())(scope, receive, send))
        assert [one() for one in kept] == [None]
    finally:
        gc.enable()
    assert sent[0]["status"] == 422


def test_a_large_answer_is_sent_in_pieces() -> None:
    content = bytes(range(256)) * 4096
    sent: list[Message] = []

    async def endpoint(scope: Scope, receive: Receive) -> Reply:
        return Reply(content, "application/json")

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    asyncio.run(Direct("/x", endpoint, Metrics())({"type": "http"}, receive, send))
    start, *pieces = sent
    assert (b"content-length", b"%d" % len(content)) in start["headers"]
    assert b"".join(piece["body"] for piece in pieces) == content
    assert max(len(piece["body"]) for piece in pieces) <= PIECE
    assert [piece.get("more_body", False) for piece in pieces] == [True] * 3 + [False]
