"""A command's work folder: gone with the command, and swept by the next if that was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.scratch import scratch

HELD = """
import sys
from cli.scratch import scratch
with scratch("keepwell-test-") as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)


def test_the_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch("keepwell-test-") as folder:
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_worked_in_is_left_alone(tmp_path: Path) -> None:
    with scratch("keepwell-test-") as one, scratch("keepwell-test-") as other:
        assert one != other
        assert one.is_dir()


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with scratch("keepwell-test-"):
            assert left.is_dir()
        process.kill()
    assert left.is_dir()
    with scratch("keepwell-test-"):
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []
