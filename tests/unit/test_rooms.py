"""So many may wait, and no more: in rooms, for figures, and with bodies that are arriving."""

import asyncio
from typing import Any

import pytest

from service.body import Arriving, read, told
from service.metrics import Metrics
from service.problems import Problem
from service.rooms import Room


def test_who_finds_no_room_is_told_and_counted_and_who_leaves_makes_room() -> None:
    metrics = Metrics()
    room = Room(2, "lists", "More lists wait", metrics)
    with room:
        with room, pytest.raises(Problem) as caught, room:
            raise AssertionError("a third one was let in")
        assert (caught.value.kind.status, caught.value.headers["Retry-After"]) == (429, "1")
        assert caught.value.detail.startswith("More lists wait than may")
        with room:
            assert room.inside == 2
    assert room.inside == 0
    value = metrics.registry.get_sample_value("churn_requests_shed_total", {"reason": "lists"})
    assert value == 1


def test_who_fails_leaves_too() -> None:
    room = Room(1, "lists", "", Metrics())
    with pytest.raises(KeyError), room:
        raise KeyError
    assert room.inside == 0


def reading(chunks: list[bytes], arriving: Arriving, limit: int = 1000) -> bytes:
    left = list(chunks)

    async def receive() -> Any:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return asyncio.run(read(told({"headers": []}), receive, limit, arriving))


def test_bodies_count_while_they_arrive_and_not_after() -> None:
    arriving = Arriving(100, Metrics())
    assert reading([b"a" * 60, b"b" * 60], arriving) == b"a" * 60 + b"b" * 60
    assert arriving.bytes == 0
    with pytest.raises(Problem, match="larger than 80"):
        reading([b"a" * 60, b"b" * 60, b""], arriving, limit=80)
    assert arriving.bytes == 0


def test_what_is_whole_at_once_finds_room_and_what_is_not_may_not() -> None:
    arriving = Arriving(100, Metrics())
    arriving.add(90)
    assert reading([b"a" * 500], arriving) == b"a" * 500
    with pytest.raises(Problem) as caught:
        reading([b"a" * 20, b"b"], arriving)
    assert caught.value.kind.status == 429
    assert caught.value.headers == {"Retry-After": "1", "Connection": "close"}
    assert arriving.bytes == 90
