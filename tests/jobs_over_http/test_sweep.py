"""What has had its time is removed, and nothing else; on both databases."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from service.jobs import keys
from service.jobs.folders import Folders
from service.jobs.sweep import ORPHAN_SECONDS, ROW_OUTLIVES, sweep
from service.store.database import Database
from tests.job_rows import KEEP, START, add, get, name, row


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "jobs")


def make(folders: Folders, number: int, age: float = 0.0) -> Path:
    folder = folders.of(name(number))
    folder.mkdir(parents=True)
    (folder / "results.csv").write_text("x")
    made = time.time() - age
    os.utime(folder, (made, made))
    return folder


def test_files_go_when_a_job_expires_and_its_row_a_day_later(
    database: Database, folders: Folders
) -> None:
    add(database, row(1, state="done", expires_at=START + KEEP))
    folder = make(folders, 1)
    assert sweep(database, folders, START + KEEP - 1) == 0
    assert folder.exists()
    assert sweep(database, folders, START + KEEP) == 1
    assert not folder.exists()
    assert get(database) is not None
    assert sweep(database, folders, START + KEEP + ROW_OUTLIVES) == 1
    assert get(database) is None


@pytest.mark.parametrize(
    ("state", "stays"),
    [("queued", True), ("running", True), ("done", True), ("failed", False), ("cancelled", False)],
)
def test_what_a_job_did_not_finish_is_not_kept(
    database: Database, folders: Folders, state: Any, stays: bool
) -> None:
    ended = state not in {"queued", "running"}
    add(database, row(1, state=state, expires_at=START + KEEP if ended else None))
    folder = make(folders, 1, age=10 * ORPHAN_SECONDS)
    sweep(database, folders, START)
    assert folder.exists() == stays
    assert get(database) is not None


def test_a_folder_without_a_row_goes_after_an_hour(database: Database, folders: Folders) -> None:
    young, old = make(folders, 1), make(folders, 2, age=ORPHAN_SECONDS + 60)
    assert sweep(database, folders, START) == 1
    assert young.exists()
    assert not old.exists()


def test_a_folder_whose_row_is_just_being_written_stays(
    database: Database, folders: Folders
) -> None:
    handle = folders.begin(name(1))
    (folders.incoming(name(1)) / "input").write_text("x")
    folders.accept(name(1))
    long_ago = time.time() - 2 * ORPHAN_SECONDS
    os.utime(folders.of(name(1)), (long_ago, long_ago))
    assert sweep(database, folders, START) == 0
    assert folders.of(name(1)).exists()
    folders.end(name(1), handle)
    assert sweep(database, folders, START) == 1


def test_a_key_goes_with_the_row_and_a_key_of_nothing_after_a_day(
    database: Database, folders: Folders
) -> None:
    add(database, row(1, state="done", expires_at=START))
    bound, loose, fresh = (keys.digest_of(text) for text in ("bound", "loose", "fresh"))
    keys.claim(database, bound, name(1), START)
    with database.writing() as connection:
        keys.settle(connection, bound, name(1), b"sent")
    keys.claim(database, loose, name(2), START)
    keys.claim(database, fresh, name(3), START + 1)
    sweep(database, folders, START + ROW_OUTLIVES)
    assert keys.claim(database, bound, name(4), START) is None
    assert keys.claim(database, loose, name(4), START) is None
    assert keys.claim(database, fresh, name(4), START) is not None
