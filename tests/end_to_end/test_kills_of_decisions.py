"""A few kills of the many that `python -m benchmarks kills` makes."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import kills_decisions, kills_events
from tests.postgresql import Server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    server: Server = request.getfixturevalue("postgresql")
    return kills_events.stores(request.param, tmp_path, server)


def test_acknowledged_decisions_and_outcomes_outlive_kills(
    urls: Iterator[str], tmp_path: Path
) -> None:
    seen = kills_decisions.deciding(urls, tmp_path, 2, random.Random(2))
    assert (seen.kills, seen.is_clean) == (2, True), seen
    assert seen.units > 0
