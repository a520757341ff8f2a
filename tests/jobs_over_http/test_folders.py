"""Where jobs' files come and go."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.jobs.folders import INPUT, Folders
from tests.job_rows import name


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "jobs")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


RECEIVE_AND_HANG = """
import sys, time
from pathlib import Path
from service.jobs.folders import Folders
folders = Folders(Path(sys.argv[1]))
folders.begin(sys.argv[2])
(folders.incoming(sys.argv[2]) / "input").write_bytes(b"half")
print("begun", flush=True)
time.sleep(600)
"""


def test_an_accepted_job_has_its_input_in_its_folder(folders: Folders) -> None:
    handle = folders.begin(name(1))
    (folders.incoming(name(1)) / INPUT).write_bytes(b"whole")
    assert folders.is_receiving(name(1))
    folders.accept(name(1))
    assert folders.is_receiving(name(1))
    folders.end(name(1), handle)
    assert not folders.is_receiving(name(1))
    assert files(folders.root) == [f"{name(1)}/input"]
    assert list(folders.accepted()) == [name(1)]


def test_what_was_not_accepted_leaves_nothing(folders: Folders) -> None:
    handle = folders.begin(name(1))
    (folders.incoming(name(1)) / INPUT).write_bytes(b"half")
    folders.end(name(1), handle)
    assert files(folders.root) == []
    assert folders.accepted() == {}


def test_a_killed_process_no_longer_receives_and_is_cleared_away(folders: Folders) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RECEIVE_AND_HANG, str(folders.root), name(1)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert folders.is_receiving(name(1))
        assert folders.remove_abandoned() == 0
        process.kill()
    assert not folders.is_receiving(name(1))
    assert folders.remove_abandoned() == 1
    assert files(folders.root) == []


def test_a_removed_job_is_gone_and_removing_it_again_is_harmless(folders: Folders) -> None:
    (folders.of(name(1)) / "parts").mkdir(parents=True)
    (folders.of(name(1)) / "parts" / "00000.csv").write_text("x")
    folders.remove(name(1))
    folders.remove(name(1))
    assert list(folders.root.iterdir()) == []


def test_a_removal_that_was_cut_short_is_completed(folders: Folders) -> None:
    doomed = folders.root / f".doomed-{name(1)}"
    doomed.mkdir(parents=True)
    (doomed / "input").write_text("x")
    assert folders.accepted() == {}
    assert folders.remove_abandoned() == 1
    assert not doomed.exists()


def test_a_root_that_does_not_exist_holds_nothing(folders: Folders) -> None:
    assert folders.accepted() == {}
    assert folders.remove_abandoned() == 0
    assert not folders.is_receiving(name(1))


def test_strangers_in_the_folder_are_left_alone(folders: Folders) -> None:
    folders.root.mkdir()
    (folders.root / "readme.txt").write_text("mine")
    (folders.root / "lost+found").mkdir()
    assert folders.accepted() == {}
    assert folders.remove_abandoned() == 0
    assert (folders.root / "readme.txt").exists()
