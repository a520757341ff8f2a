"""Short forms of `python -m benchmarks hostile` and `overload`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import open_loop
from benchmarks.drain import HISTORY
from benchmarks.hostile import ATTACKS, attacked, prepared
from benchmarks.servers import Running, keepwell, running


@pytest.fixture(scope="module")
def up(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = keepwell(published)
    settings = {"KEEPWELL_MAX_WAITING": "16", "KEEPWELL_RECEIVE_SECONDS": "1"}
    with running(replace(server, environment={**server.environment, **settings})) as up:
        yield up


@pytest.mark.parametrize(
    ("what", "answers"),
    [
        ("100 MB in chunks, as a list", {"413", "closed"}),
        ("4 million keys, as a list", {"413", "closed"}),
        ("empty arrays, 16 MB", {"400"}),
        ("100,000 deep", {"400"}),
        ("a bomb of gzip", {"415"}),
        ("2 MB of headers", {"431", "closed"}),
        ("200 that send a byte now and then", {"408", "closed"}),
    ],
)
def test_an_attack_is_refused_and_others_are_answered(
    up: Running, tmp_path: Path, what: str, answers: set[str]
) -> None:
    outcome = attacked(up, ATTACKS[what], prepared(tmp_path), seconds=0.5)
    assert set(outcome.answers) <= answers
    assert outcome.longest_s < 10
    assert outcome.rise_mb < 2 * 16.8
    assert outcome.others is not None
    assert outcome.others.share(200) == 1.0


def test_of_too_many_requests_some_are_answered_and_the_rest_told(up: Running) -> None:
    told = open_loop.ask(up.port, [HISTORY], rate=20_000, seconds=0.5, connections=200)
    assert told.asked == 10_000
    assert set(told.by_status) == {200, 429}
    assert sum(one.count for one in told.by_status.values()) == told.asked
    assert told.lost == 0
    calm = open_loop.ask(up.port, [HISTORY], rate=20, seconds=0.5, connections=4)
    assert calm.share(200) == 1.0  # so few are never too many


def test_an_answers_time_counts_from_when_its_request_was_due(up: Running) -> None:
    # All are due at once, and one connection answers one after the other: half of them wait for as
    # long as half of them take.
    told = open_loop.ask(up.port, [HISTORY], rate=200_000, seconds=0.001, connections=1)
    assert told.accepted.count == 200
    each_ms = told.seconds * 1e3 / 200
    assert told.accepted.p50_ms > 10 * each_ms
