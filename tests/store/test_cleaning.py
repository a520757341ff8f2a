"""After an erasure nothing of a person is in SQLite's files, and until then it is told so."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from service import instants
from service.erasure import FILE, Eraser
from service.jobs.folders import Folders
from service.jobs.job import Limits
from service.jobs.taking_out import TakingOut
from service.store import cleaning, forgetting
from service.store.database import Database
from service.store.errors import StoreUnavailable
from service.store.exporting import Exporting
from service.store.histories import Histories

NOW = 20_000 * DAY + DAY // 2  # noon
NEXT = 20_001 * DAY + 3 * 3_600_000_000
MANY = 300


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store" / "keepwell.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{file}")
    database.prepare()
    yield database
    database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def eraser_of(database: Database, clock: Clock) -> Eraser:
    return Eraser(database, clock, TakingOut(database, Folders(Path("/nowhere")), Limits()))


@pytest.fixture
def eraser(database: Database, clock: Clock) -> Eraser:
    return eraser_of(database, clock)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take any file for a large one."""
    monkeypatch.setattr(cleaning, "AT_ONCE_BYTES", 0)


def fill(database: Database, seed: int) -> None:
    """Histories that grow by turns, so that rows move from page to page again and again."""
    rng, histories = random.Random(seed), Histories(database)
    names = [f"{kind}-{number:03}" for number in range(MANY) for kind in ("canary", "other")]
    for round_ in range(12):
        batch = []
        for who in rng.sample(names, len(names) // 2):
            for at in range(rng.choice([1, 2, 9])):
                when = NOW - DAY * (1 + round_ * 10 + at)
                batch.append((who, Event(when, Kind.VISIT, order_id=f"order-of-{who}-{when}")))
        histories.append(batch, NOW)


def everybody(database: Database) -> dict[str, int]:
    return {who: len(history) for page in Exporting(database).pages() for who, history in page}


def found(file: Path, text: bytes = b"canary") -> int:
    """How often a text is in the files of the store."""
    return sum(path.read_bytes().count(text) for path in file.parent.iterdir())


def test_of_hundreds_who_were_rewritten_and_erased_nothing_is_left(
    database: Database, eraser: Eraser, clock: Clock, file: Path, large: None
) -> None:
    fill(database, seed=0)
    kept = everybody(database)
    for number in range(MANY):
        eraser.erase(f"canary-{number:03}")
    clock.now = NEXT
    assert eraser.finish()
    assert found(file) == 0
    assert everybody(database) == {who: n for who, n in kept.items() if who.startswith("other")}


def test_a_small_file_is_clean_when_the_erasure_is_answered(
    database: Database, eraser: Eraser, file: Path
) -> None:
    fill(database, seed=4)
    for number in range(20):
        erased = eraser.erase(f"canary-{number:03}")
        assert (erased.pending, erased.rewritten_at) == ((), None)
        assert found(file, f"canary-{number:03}".encode()) == 0


def test_a_large_file_is_clean_from_the_hour_that_is_told_on(
    database: Database, eraser: Eraser, clock: Clock, large: None
) -> None:
    fill(database, seed=5)
    erased = eraser.erase("canary-001")
    assert (erased.pending, erased.rewritten_at) == ((FILE,), NEXT)
    assert erased.document()["rewritten_at"] == instants.text(NEXT)
    clock.now = NEXT - 1
    assert not eraser.finish()
    assert eraser.erase("canary-001").rewritten_at == NEXT  # asked again: not yet
    clock.now = NEXT
    assert eraser.finish()
    again = eraser.erase("canary-001")
    assert (again.pending, again.rewritten_at) == ((), None)


def test_whoever_cannot_wait_has_it_done_at_once(
    database: Database, eraser: Eraser, file: Path, large: None
) -> None:
    fill(database, seed=6)
    for number in range(20):
        eraser.erase(f"canary-{number:03}")
    assert eraser.erase("canary-020", at_once=True).pending == ()
    for number in range(21):
        assert found(file, f"canary-{number:03}".encode()) == 0


def test_what_was_due_while_nothing_ran_is_done_at_the_start(
    database: Database, eraser: Eraser, clock: Clock, large: None
) -> None:
    fill(database, seed=7)
    eraser.erase("canary-001")
    clock.now = NEXT + 9 * DAY
    assert eraser_of(database, clock).finish()
    assert cleaning.noted(database) is None


def test_an_erasure_during_the_rewriting_is_not_taken_for_done(
    database: Database, eraser: Eraser, clock: Clock, large: None
) -> None:
    fill(database, seed=8)
    eraser.erase("canary-001")
    noted = cleaning.noted(database)
    assert noted == NOW
    eraser.erase("canary-002")
    cleaning.rewrite(database, noted)
    assert cleaning.noted(database) == NOW + 1
    clock.now = NEXT
    assert eraser.finish()
    assert cleaning.noted(database) is None


def test_one_of_whom_nothing_is_stored_leaves_nothing_to_clean(
    database: Database, eraser: Eraser, file: Path, large: None
) -> None:
    erased = eraser.erase("canary-unheard-of" * 15)
    assert (erased.pending, erased.rewritten_at) == ((), None)
    assert found(file) == 0


def test_many_at_once_whose_jobs_are_not_done_with_leave_nothing_either(
    database: Database, eraser: Eraser, clock: Clock, file: Path, large: None
) -> None:
    with database.writing() as connection:
        for number in range(150):
            forgetting.forget(connection, f"canary-{number}-{'x' * (number % 50)}", NOW)
    assert not eraser.finish()
    clock.now = NEXT
    assert eraser.finish()
    assert found(file) == 0


def test_a_store_that_is_being_written_to_is_cleaned_later(
    database: Database, eraser: Eraser, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, seed=9)

    def busy(database: Database, since: int) -> None:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as patch:
        patch.setattr(cleaning, "rewrite", busy)
        erased = eraser.erase("canary-001")
    assert (erased.pending, erased.rewritten_at) == ((FILE,), None)
    assert eraser.finish()


def test_readers_go_on_while_the_file_is_written_anew(
    database: Database, eraser: Eraser, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.erasure.LOG_SECONDS", 0.05)
    fill(database, seed=10)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM histories").fetchone()
    erased = eraser.erase("canary-001")
    assert erased.pending == (FILE,)
    assert reader.execute("SELECT count(*) FROM histories").fetchone() == before
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM histories").fetchone()[0] == before[0] - 1
    reader.close()
    assert eraser.finish()
    assert found(file, b"order-of-canary-001-") == 0
