"""A few of the kills that `python -m benchmarks publishing` makes, and its full disk."""

from pathlib import Path

import pytest

from benchmarks import publishing


def test_no_kill_leaves_half_a_version_or_a_pointer_to_one(published: Path, tmp_path: Path) -> None:
    found = publishing.in_process(published, tmp_path, kills=20, seed=1)
    assert (found["torn"], found["lost"]) == (0, 0)
    assert found["versions"] >= 20  # each was at work, ...
    assert found["publishing"] > 0  # ... some in the middle of it


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_torn(published: Path) -> None:
    found = publishing.filled(published)
    if found is None:
        pytest.skip("no disk can be mounted here: that takes a privileged user")
    assert "cannot be published: No space left on device" in found["said"]
    assert found["versions"] > 0
    assert (found["left"], found["loads"], found["after"]) == (0, "True", "True")
