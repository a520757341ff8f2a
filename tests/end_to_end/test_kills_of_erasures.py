"""A few kills of the many that `python -m benchmarks kills` makes, of a service that forgets."""

import random
from pathlib import Path

import pytest

from benchmarks import kills_erasures
from benchmarks.kills_events import stores
from tests.postgresql import Server


@pytest.mark.parametrize("dialect", ["SQLite", "PostgreSQL"])
def test_an_erasure_that_was_killed_comes_to_its_end_by_itself(
    dialect: str, tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills_erasures, "LONGEST", 0.2)
    url = next(stores(dialect, tmp_path, postgresql))
    seen = kills_erasures.erasures(url, tmp_path, 2, random.Random(5), postgresql)
    assert (seen.kills, seen.left, seen.others_lost) == (2, 0, 0), seen
    assert seen.ended == seen.begun
