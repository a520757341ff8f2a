import errno
import json
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from churn import bundle, bundle_files
from churn.errors import BundleCorrupt, BundleNotFound, ConfigError, ModelError
from churn.manifest import Manifest
from churn.registry import CURRENT, SHADOW, Registry
from cli.main import run
from tests.support import small_model


def version(n: int) -> str:
    return f"2026-11-{n:02d}T00-00-00Z-abcd"


def made(n: int) -> tuple[Manifest, dict[str, bytes]]:
    manifest, files = small_model()
    return manifest.model_copy(update={"model_version": version(n)}), files


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Three versions, the second of them current."""
    registry = Registry(tmp_path / "models")
    for n in (1, 2, 3):
        registry.publish(*made(n))
    registry.promote(version(1))
    registry.promote(version(2))
    return registry


def test_nothing_is_there_before_the_first_publication(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    assert registry.versions() == []
    assert registry.current() is None
    assert not registry.root.exists()


def test_publishing_does_not_promote(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    path = registry.publish(*made(1))
    assert path == registry.path(version(1)) == registry.root / version(1)
    assert registry.versions() == [version(1)]
    assert registry.current() is None
    assert bundle.load(path).version == version(1)


def test_a_published_bundle_can_be_read_by_other_users(registry: Registry) -> None:
    assert registry.path(version(1)).stat().st_mode & 0o755 == 0o755
    assert (registry.root / CURRENT).stat().st_mode & 0o777 == 0o644


def test_versions_are_listed_oldest_first(registry: Registry) -> None:
    (registry.root / ".publishing-abandoned").mkdir()
    (registry.root / "notes").mkdir()
    assert registry.versions() == [version(1), version(2), version(3)]


def test_a_version_is_never_overwritten(registry: Registry) -> None:
    with pytest.raises(BundleCorrupt, match=rf"{version(1)} exists already"):
        registry.publish(*made(1))
    assert bundle.load(registry.path(version(1))).version == version(1)


def test_a_publication_that_fails_leaves_nothing(registry: Registry) -> None:
    manifest, files = made(4)
    with pytest.raises(ModelError, match="cannot be published"):
        registry.publish(manifest, files | {"sub/file": b"x"})
    assert registry.versions() == [version(1), version(2), version(3)]
    assert sorted(entry.name for entry in registry.root.iterdir()) == [
        *(version(n) for n in (1, 2, 3)),
        CURRENT,
    ]


def test_promoting_makes_current(registry: Registry) -> None:
    registry.promote(version(3))
    assert registry.current() == version(3)


def test_rolling_back_goes_back_one_promotion_at_a_time(registry: Registry) -> None:
    registry.promote(version(3))
    assert registry.rollback() == version(2)
    assert registry.current() == version(2)
    assert registry.rollback() == version(1)
    with pytest.raises(BundleNotFound, match="no version before"):
        registry.rollback()
    assert registry.current() == version(1)


def test_a_bundle_under_a_foreign_name_is_not_promoted(registry: Registry) -> None:
    shutil.copytree(registry.path(version(1)), registry.root / version(9))
    with pytest.raises(BundleCorrupt, match=version(1)):
        registry.promote(version(9))
    assert registry.current() == version(2)


def test_promoting_again_does_not_count_twice(registry: Registry) -> None:
    registry.promote(version(2))
    assert registry.rollback() == version(1)


def test_an_unknown_version_is_named_with_those_there_are(registry: Registry) -> None:
    with pytest.raises(BundleNotFound) as error:
        registry.promote("2020-01-01T00-00-00Z-none")
    assert "2020-01-01T00-00-00Z-none" in str(error.value)
    assert version(3) in str(error.value)
    assert registry.current() == version(2)


def test_a_folder_that_cannot_be_published_in_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    Registry(folder / "deeper").check_writable()
    assert not folder.exists()
    folder.touch()
    for root in (folder, folder / "deeper"):
        with pytest.raises(ConfigError, match="a file stands where"):
            Registry(root).check_writable()
    # The tests may run as a user to whom everything is permitted.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match="no permission"):
        Registry(tmp_path).check_writable()


@pytest.mark.parametrize("outside", ["../outside", "..", ".", "", "/tmp", ".publishing-x", CURRENT])
def test_a_version_cannot_point_out_of_the_registry(registry: Registry, outside: str) -> None:
    elsewhere = Registry(registry.root.parent / "elsewhere").publish(*made(9))
    elsewhere.rename(registry.root.parent / "outside")
    with pytest.raises(BundleNotFound):
        registry.path(outside)
    with pytest.raises(BundleNotFound):
        registry.promote(outside)
    assert registry.current() == version(2)


def test_a_damaged_version_is_not_promoted(registry: Registry) -> None:
    (registry.path(version(3)) / bundle.MODEL).write_bytes(b"damaged")
    with pytest.raises(BundleCorrupt, match="has changed"):
        registry.promote(version(3))
    assert registry.current() == version(2)


def test_a_damaged_version_is_not_rolled_back_to(registry: Registry) -> None:
    (registry.path(version(1)) / bundle.MODEL).write_bytes(b"damaged")
    with pytest.raises(BundleCorrupt, match="has changed"):
        registry.rollback()
    assert registry.current() == version(2)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_pointer_is_no_version(registry: Registry, content: bytes) -> None:
    (registry.root / CURRENT).write_bytes(content)
    assert registry.current() is None
    registry.promote(version(3))
    assert registry.current() == version(3)


def test_a_damaged_pointer_says_which_command_mends_it(registry: Registry) -> None:
    registry.set_shadow(version(1))
    for pointer in (CURRENT, SHADOW):
        (registry.root / pointer).write_text("../../etc\n")
    with pytest.raises(BundleCorrupt, match=r"current names .* `keepwell models promote VERSION`"):
        registry.current()
    with pytest.raises(BundleCorrupt, match=r"shadow names .* `keepwell models shadow VERSION`"):
        registry.shadow()
    registry.promote(version(3))
    registry.set_shadow(version(2))
    assert (registry.current(), registry.shadow()) == (version(3), version(2))


def test_a_damaged_pointer_is_told_beside_the_versions(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.set_shadow(version(1))
    (registry.root / CURRENT).write_text("../../etc\n")
    where = ["--models-dir", str(registry.root)]
    assert run(["models", "list", *where]) == 0
    told = capsys.readouterr()
    assert [line[:1] for line in told.out.splitlines()] == ["+", " ", " "]
    assert told.err.startswith("keepwell: warning: ")
    assert "`keepwell models promote VERSION`" in told.err
    assert run(["models", "list", "--json", *where]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["current"], found["shadow"]) == (None, version(1))


def test_what_killed_publishers_left_is_removed_by_the_next_a_day_later(
    registry: Registry,
) -> None:
    names = (".publishing-old", ".publishing-new", ".current-old", ".mine")
    for name in names:
        (registry.root / name).mkdir()
        (registry.root / name / "file").touch()
    yesterday = time.time() - 90_000
    for name in (".publishing-old", ".current-old", ".mine"):
        os.utime(registry.root / name, (yesterday, yesterday))
    registry.publish(*made(4))
    left = {entry.name for entry in registry.root.iterdir() if entry.name.startswith(".")}
    assert left == {".publishing-new", ".mine"}


@pytest.mark.parametrize("failing", ["write", "fsync", "rename", "mkdtemp"])
def test_a_disk_that_fails_leaves_everything_as_it_was(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = {entry.name for entry in registry.root.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    where: dict[str, tuple[Any, str]] = {
        "write": (bundle_files, "write_durably"),
        "fsync": (os, "fsync"),
        "rename": (Path, "rename"),
        "mkdtemp": (tempfile, "mkdtemp"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*where[failing], fail)
        with pytest.raises(ModelError, match="cannot be published: No space left on device"):
            registry.publish(*made(4))
    assert {entry.name for entry in registry.root.iterdir()} == before
    for name in ("replace", "write_durably"):
        with monkeypatch.context() as patch:
            patch.setattr(Path if name == "replace" else bundle_files, name, fail)
            with pytest.raises(ModelError, match="current cannot be written: No space left"):
                registry.promote(version(3))
    assert {entry.name for entry in registry.root.iterdir()} == before
    assert registry.current() == version(2)


def test_what_a_disk_does_not_confirm_is_there_and_said_to_be(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fsync, root = os.fsync, registry.root.stat().st_ino

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_ino == root:
            raise OSError(errno.EIO, "Input/output error")
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    unsure = "but the disk did not confirm it: Input/output error"
    with pytest.raises(ModelError, match=f"{version(4)} is published, {unsure}"):
        registry.publish(*made(4))
    assert registry.load(version(4)).version == version(4)
    with pytest.raises(ModelError, match=f"current is written, {unsure}"):
        registry.promote(version(4))
    assert registry.current() == version(4)


def test_a_version_is_not_there_before_its_last_byte_is(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        real_fsync(handle)
        written.append(", ".join(sorted(entry.name for entry in registry.root.glob("*-04T*"))))

    monkeypatch.setattr(os, "fsync", fsync)
    registry.publish(*made(4))
    # Three files and their folder are flushed under another name; then the registry's own folder.
    assert written == ["", "", "", "", version(4)]


def test_readers_always_find_a_whole_current_version(registry: Registry) -> None:
    failures: list[BaseException] = []
    found: set[str] = set()
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                current = registry.current()
                assert current is not None
                assert registry.path(current).is_dir()
                found.add(current)
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(12):
        registry.promote(version(1 + n % 3))
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(found) > 1


def test_the_pointer_is_flushed_before_it_is_renamed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("flush")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    registry.promote(version(3))
    assert done == ["flush", "rename", "flush"]
