"""A few kills of the many that `python -m benchmarks kills` makes."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import kills_events
from tests.postgresql import Server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    server: Server = request.getfixturevalue("postgresql")
    return kills_events.stores(request.param, tmp_path, server)


def test_acknowledged_events_outlive_kills(urls: Iterator[str], tmp_path: Path) -> None:
    seen = kills_events.ingestion(urls, tmp_path, 1, random.Random(1))
    assert (seen.kills, seen.is_clean) == (1, True), seen
    assert seen.units > 0


def test_a_killed_import_goes_on_and_leaves_nothing(
    urls: Iterator[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kills_events, "LOG_EVENTS", 20_000)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    seen = kills_events.importing(urls, tmp_path, 1, random.Random(3))
    assert (seen.kills, seen.is_clean) == (1, True), seen
    assert seen.units >= 19_000
