"""How much is taken on: a burst whole, an overload a little at a time."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.metrics import Metrics
from service.settings import Settings
from service.traffic import Traffic

SCORE = b"/v1/score?x=1"


async def answered(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


def traffic(**settings: Any) -> Traffic:
    return Traffic(answered, Settings(**settings), Metrics(), {"/v1/score"})


def counted(one: Traffic, name: str, **labels: str) -> float | None:
    return one.metrics.registry.get_sample_value(f"churn_{name}_total", labels)


def test_a_burst_is_taken_whole_and_of_an_overload_a_64th() -> None:
    one = traffic(max_waiting=256)
    for one.waiting.count in range(256):
        assert one.refusal(SCORE, 1) is None
    one.waiting.count = 256
    assert one.refusal(SCORE, 1) == "waiting"
    one.waiting.count = 4
    assert one.refusal(SCORE, 1) == "waiting"
    one.waiting.count = 3
    assert one.refusal(SCORE, 1) is None


def test_an_overload_is_over_when_nobody_was_refused_from_one_look_to_the_next() -> None:
    one = traffic(max_waiting=64)
    one.waiting.count = 64
    one.refusal(SCORE, 1)
    one.sweep((), 0.0)
    one.waiting.count = 4
    assert one.refusal(SCORE, 1) == "waiting"
    one.sweep((), 0.5)
    one.sweep((), 1.0)
    assert one.refusal(SCORE, 1) is None


def test_whoever_is_begun_does_not_wait_any_more() -> None:
    one = traffic(max_waiting=1)
    one.waiting.count = 1
    asyncio.run(one.begin({}, None, None))  # type: ignore[arg-type]
    assert one.refusal(SCORE, 1) is None


@pytest.mark.parametrize("url", [b"/health/live", b"/health/ready?x", b"/metrics"])
def test_probes_and_scrapes_are_always_taken(url: bytes) -> None:
    one = traffic(max_waiting=1, max_connections=10)
    one.waiting.count = 1_000
    assert one.refusal(url, 1_000) is None


@pytest.mark.parametrize("url", [b"/health/mine", b"/metrics-mine", b"/metrics/x", b"/v1/model"])
def test_what_only_looks_like_a_probe_is_taken_as_anything_else(url: bytes) -> None:
    one = traffic(max_waiting=1, max_connections=10)
    assert one.refusal(url, 1_000) == "connections"
    one.waiting.count = 1_000
    assert one.refusal(url, 1_000) == "waiting"


def test_beyond_the_connections_that_may_be_nothing_else_is_taken() -> None:
    one = traffic(max_connections=10)
    assert one.refusal(SCORE, 10) is None
    assert one.refusal(SCORE, 11) == "connections"


def test_a_refusal_is_a_problem_and_counted_by_its_route() -> None:
    one = traffic()
    for identity in ("a", "b-2"):
        head, body = one.refused("waiting", "POST", SCORE, identity)
        problem = json.loads(body)
        assert problem["type"] == "/problems/overloaded"
        assert (problem["instance"], problem["request_id"]) == ("/v1/score", identity)
        headers = dict(line.split(b": ") for line in head.splitlines())
        assert headers[b"content-length"] == b"%d" % len(body)
        assert headers[b"retry-after"] == b"1"
        assert headers[b"x-request-id"] == identity.encode()
    one.refused("connections", "BREW", b"/c-1042", "c")
    assert counted(one, "requests_shed", reason="waiting") == 2
    assert counted(one, "requests_shed", reason="connections") == 1
    assert counted(one, "http_requests", route="/v1/score", method="POST", status="429") == 2
    assert counted(one, "http_requests", route="unmatched", method="other", status="429") == 1


@dataclass
class Fake:
    since: float
    spare: bool = True
    looks: list[float] = field(default_factory=list)
    is_gone: bool = False

    def look(self, now: float) -> None:
        self.looks.append(now)

    def is_spare(self) -> bool:
        return self.spare

    def idle_since(self) -> float:
        return self.since

    def give_up(self) -> None:
        self.is_gone = True


def test_room_is_made_by_those_who_have_been_idle_for_longest() -> None:
    some = [Fake(float(at), spare=at % 2 == 0) for at in range(100)]
    new = Fake(-1.0)
    traffic().make_room([*some, new], new)
    assert [one.since for one in some if one.is_gone] == [0.0, 2.0, 4.0]
    assert not new.is_gone


def test_where_all_are_being_answered_nobody_has_to_go() -> None:
    some = [Fake(float(at), spare=False) for at in range(10)]
    new = Fake(10.0)
    traffic().make_room([*some, new], new)
    assert not any(one.is_gone for one in (*some, new))


def test_every_connection_is_looked_at() -> None:
    some = [Fake(0.0), Fake(1.0)]
    traffic().sweep(some, 7.0)
    assert [one.looks for one in some] == [[7.0], [7.0]]
