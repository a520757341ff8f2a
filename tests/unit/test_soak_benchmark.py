"""A short form of `python -m benchmarks soak`."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers import keepwell, running
from benchmarks.soak import Asked, Sample, growth, requests, soak

CUSTOMERS = [
    {
        "customer_id": f"c-{at}",
        "as_of": "2026-11-21T00:00:00Z",
        "events": [
            {"occurred_at": f"2026-0{at}-19T16:40:00Z", "kind": "purchase", "amount": 60.5 + at}
        ],
    }
    for at in range(7, 10)
]


def body(asked: Asked) -> Any:
    head, _, body = asked.request.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d" % len(body) in head
    return json.loads(body)


def test_a_real_server_answers_all_of_them_and_its_memory_is_told(published: Path) -> None:
    with running(keepwell(published)) as up:
        samples = soak(up, requests(CUSTOMERS), 2_003, samples=10)
    assert samples[0].requests == 0
    assert samples[-1].requests == 2_003
    assert len(samples) == 11
    assert all(50 < sample.private <= sample.resident < 1_000 for sample in samples)


def test_an_answer_of_another_status_ends_it(published: Path) -> None:
    wrong = (asked._replace(status=418) for asked in requests(CUSTOMERS))
    with running(keepwell(published)) as up, pytest.raises(RuntimeError, match="200 OK"):
        soak(up, wrong, 100)


def test_no_two_customers_are_alike() -> None:
    asked = [one for one in itertools.islice(requests(CUSTOMERS), 2_000) if one.status == 200]
    single = [body(one) for one in asked if b"POST /score " in one.request]
    assert len({one["customer_id"] for one in single}) == len(single) > 1_900
    assert len({one["events"][0]["amount"] for one in single}) == len(single)
    lists = [body(one) for one in asked if b"/v1/score/batch" in one.request]
    assert [len(one) for one in lists] == [100] * 4
    assert sum(b"GET /metrics" in one.request for one in asked) == 2


def test_a_trend_of_the_second_half_is_growth_and_the_first_half_is_not() -> None:
    first = [Sample(at, 100.0 + at, 50.0) for at in range(101)]
    level = [Sample(at, 200.0, 50.0) for at in range(101, 201)]
    assert growth(first + level, "resident") == pytest.approx(0.0)
    rising = [Sample(at, 200.0 + 0.1 * (at - 100), 50.0) for at in range(101, 201)]
    assert growth(first + rising, "resident") == pytest.approx(5.0, rel=1e-3)
    assert growth(first + rising, "private") == pytest.approx(0.0)
