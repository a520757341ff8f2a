"""Bundles of somebody who can write into the models' folder, digests and all: none is served.

`python -m benchmarks bundles` does the same thousands of times.
"""

import json
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from churn import bundle, bundle_files, plain_files, tree_tables
from churn.bundle import GOLDEN, MANIFEST, MODEL, SIGNATURE
from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported, ModelError
from churn.examination import examine
from churn.registry import CURRENT, Registry
from tests import hostile
from tests.support import small_model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One sound version, promoted."""
    registry = Registry(tmp_path / "models")
    registry.publish(*small_model())
    registry.promote(small_model()[0].model_version)
    return registry


def named(registry: Registry) -> str:
    version = registry.current()
    assert version is not None
    return version


MARKER = "it-ran"


def test_every_bundle_whose_content_is_hostile_is_refused_and_nothing_of_it_runs(
    root: Path,
) -> None:
    manifest, files = small_model()
    marker = root / MARKER
    seen = []
    for name, folder in hostile.with_digests_right(root, manifest, files, marker):
        with pytest.raises(ModelError) as refused:
            bundle.load(folder, version=folder.name)
        said = str(refused.value)
        assert "\n" not in said, name
        assert len(said) < 600, name
        assert str(folder) in said, name
        seen.append(name)
        shutil.rmtree(folder.parent)
    assert len(seen) > 100
    assert not marker.exists()


def test_the_attacks_work_where_nobody_looks(tmp_path: Path) -> None:
    for name in ("a plain pickle", "an old protocol", "a call by name", "an instance"):
        marker = tmp_path / name
        pickle.loads(hostile.pickles(marker, b"")[name])
        assert marker.exists()  # else the test above could not fail


def test_drift_of_other_columns_is_no_drift_of_this_model(tmp_path: Path) -> None:
    manifest, files = small_model()
    for name, where in (
        ("drift of a column that is not there", "agreement"),
        ("drift in categories of a number", "agreement"),
        ("drift in bins without end", "manifest"),
        ("drift of more customers than there can be", "manifest"),
    ):
        registry = Registry(tmp_path / name)
        folder = registry.publish(manifest, files)
        content = hostile.MANIFESTS[name](json.loads((folder / MANIFEST).read_text()))
        (folder / MANIFEST).write_text(json.dumps(content))
        checks = examine(registry, manifest.model_version)
        assert [one.name for one in checks if one.outcome == "failed"] == [where], name


def test_a_sound_bundle_made_in_the_same_way_is_loaded(tmp_path: Path) -> None:
    manifest, files = small_model()
    same = {name: lambda part: part for name in ("trees", "schema", "columns")}
    folder = hostile.written(
        tmp_path / manifest.model_version,
        manifest,
        files | {MODEL: hostile.of_parts(files, same)},
    )
    assert bundle.load(folder).version == manifest.model_version


def test_every_prefix_and_flipped_bit_is_refused(registry: Registry) -> None:
    version = named(registry)
    folder = registry.path(version)
    names = sorted(entry.name for entry in folder.iterdir())
    sound = {name: (folder / name).read_bytes() for name in names}
    for name, content in sound.items():
        for kept in (0, 1, 7, len(content) // 2, len(content) - 2):
            (folder / name).write_bytes(content[:kept])
            with pytest.raises(ModelError):
                registry.load(version)
        (folder / name).write_bytes(content)
    files = {name: sound[name] for name in (MODEL, GOLDEN)}
    for name, at, bit in hostile.bit_flips(files, 60):
        changed = bytearray(sound[name])
        changed[at] ^= 1 << bit
        (folder / name).write_bytes(changed)
        with pytest.raises(BundleCorrupt, match="has changed"):
            registry.load(version)
        (folder / name).write_bytes(sound[name])
    registry.load(version)


def test_tables_that_would_fill_the_memory_are_refused(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_tables, "MOST_NUMBERS", 1000)
    with pytest.raises(BundleUnsupported, match=f"{MODEL}: .* tables of more than 1,000 numbers"):
        registry.load(named(registry))
    failed = [one.name for one in examine(registry, named(registry)) if one.outcome == "failed"]
    assert failed == ["tables"]


@pytest.mark.parametrize("text", ['"model_version": "x",', '"files": {},'])
def test_a_manifest_that_says_two_things_is_refused(registry: Registry, text: str) -> None:
    file = registry.path(named(registry)) / MANIFEST
    file.write_text("{" + text + file.read_text()[1:])
    with pytest.raises(BundleCorrupt, match="a key stands twice"):
        registry.load(named(registry))


def test_a_bundle_is_loaded_under_no_other_name(registry: Registry) -> None:
    version = named(registry)
    other = "2030-01-01T00-00-00Z-beef"
    shutil.copytree(registry.path(version), registry.root / other)
    with pytest.raises(BundleCorrupt, match=f"holds version {version}"):
        registry.load(other)


FILES: dict[str, Callable[[Path], object]] = {
    "a link": lambda file: (file.rename(file.parents[2] / "away"),
                            file.symlink_to(file.parents[2] / "away")),
    "a link to nothing": lambda file: (file.unlink(), file.symlink_to("nowhere")),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a socket": lambda file: (file.unlink(), _socket(file)),
}  # fmt: skip


def _socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # a socket's name may not be long
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(file.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("name", [MANIFEST, MODEL, GOLDEN, SIGNATURE])
def test_what_is_no_plain_file_is_refused_at_once(registry: Registry, kind: str, name: str) -> None:
    version = named(registry)
    file = registry.path(version) / name
    if name == SIGNATURE:
        file.touch()
    FILES[kind](file)
    with pytest.raises(BundleCorrupt, match=f"{name} is not a plain file"):
        registry.load(version)


@pytest.mark.parametrize("kind", FILES)
def test_a_pointer_that_is_no_plain_file_is_refused_at_once_and_mended_by_a_promotion(
    registry: Registry, kind: str
) -> None:
    version = named(registry)
    (registry.root / "deeper" / "still").mkdir(parents=True)
    FILES[kind](registry.root / CURRENT)
    with pytest.raises(BundleCorrupt, match=f"{CURRENT} is not a plain file"):
        registry.current()
    if kind == "a folder":
        (registry.root / CURRENT).rmdir()
    registry.promote(version)
    assert registry.current() == version
    assert (registry.root / CURRENT).is_file()
    assert not (registry.root / CURRENT).is_symlink()


@pytest.mark.parametrize(
    "content",
    [b"../../etc\n", b"a/b", b"..", b".hidden", b"\x00", b"\xff\xfe", b"v" * 65, b"a\n/etc"],
)
def test_a_pointer_that_names_no_version_is_refused(registry: Registry, content: bytes) -> None:
    (registry.root / CURRENT).write_bytes(content)
    with pytest.raises(BundleCorrupt, match="names what is no version"):
        registry.current()


def test_a_pointer_of_any_length_is_not_read(registry: Registry) -> None:
    with (registry.root / CURRENT).open("wb") as out:
        out.truncate(1 << 40)
    with pytest.raises(BundleCorrupt, match="larger than"):
        registry.current()


def test_a_file_of_any_length_is_not_read(registry: Registry) -> None:
    file = registry.path(named(registry)) / MODEL
    with file.open("ab") as out:
        out.truncate(1 << 40)
    with pytest.raises(BundleCorrupt, match="larger than"):
        registry.load(named(registry))


def test_a_version_that_is_a_link_is_no_version(registry: Registry, tmp_path: Path) -> None:
    version = named(registry)
    registry.path(version).rename(tmp_path / version)
    (registry.root / version).symlink_to(tmp_path / version)
    assert registry.versions() == []
    with pytest.raises(BundleCorrupt, match="is a link"):
        registry.load(version)
    with pytest.raises(BundleCorrupt, match="is a link"):
        bundle.load(registry.root / version)
    assert examine(registry, version)[0].outcome == "failed"


def test_the_registry_itself_may_lie_behind_a_link(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "behind").symlink_to(registry.root)
    behind = Registry(tmp_path / "behind")
    assert behind.load(named(behind)).version == named(registry)


def test_a_name_that_leaves_the_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "inside").mkdir()
    with plain_files.Folder(tmp_path / "inside") as folder:
        for name in ("../outside", "/etc/hostname", "", ".", "..", "a/../../outside"):
            with pytest.raises(BundleCorrupt, match="does not lie in its folder"):
                folder.read(name, 100)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    real = os.read

    def growing(handle: int, n: int) -> bytes:
        with (tmp_path / "file").open("ab") as out:
            out.write(b"x" * 10)
        return real(handle, n)

    monkeypatch.setattr(os, "read", growing)
    with (
        plain_files.Folder(tmp_path) as folder,
        pytest.raises(BundleCorrupt, match="larger than 15 bytes"),
    ):
        folder.read("file", 15)


def test_a_folder_that_is_exchanged_while_it_is_read_stays_the_one_that_was_opened(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = named(registry)
    folder = registry.path(version)
    other = hostile.shifted(small_model()[1], small_model()[0], version, 1.0)
    hostile.written(registry.root / "other" / version, *other)
    before = registry.load(version).sha256
    real = bundle_files.parse_manifest

    def exchanged(*arguments: object) -> object:
        if folder.exists():
            folder.rename(registry.root / "away")
            (registry.root / "other" / version).rename(folder)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bundle_files, "parse_manifest", exchanged)
    assert registry.load(version).sha256 == before  # whole, though no longer of that name


CHECKED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a manifest of another format": (
        "manifest",
        lambda folder: (folder / MANIFEST).write_text('{"format_version": 99}'),
    ),
    "a surplus file": ("files", lambda folder: (folder / "extra.py").touch()),
    "a changed byte": ("files", lambda folder: (folder / MODEL).write_bytes(b"x")),
}


@pytest.mark.parametrize("damage", CHECKED)
def test_an_examination_tells_which_check_failed(registry: Registry, damage: str) -> None:
    check, apply = CHECKED[damage]
    version = named(registry)
    assert {one.outcome for one in examine(registry, version)} == {"passed", "not asked"}
    apply(registry.path(version))
    found = {one.name: one for one in examine(registry, version)}
    assert list(found) == list(bundle.CHECKS)
    assert [one.name for one in found.values() if one.outcome == "failed"] == [check]
    assert found[check].detail
    after = list(found)[list(found).index(check) + 1 :]
    assert {found[name].outcome for name in after} == {"not reached"}


def test_the_check_that_fails_is_the_one_that_the_damage_is_of(
    registry: Registry, tmp_path: Path
) -> None:
    manifest, files = small_model()
    trees = {"trees": hostile.TREES["a cycle"]}
    curve = {"curve": lambda part: part | {"horizon": 99}}
    other = {"columns": lambda columns: columns[::-1]}
    golden = json.dumps({"columns": [], "rows": []}).encode()
    expected = {
        "contents": files | {MODEL: hostile.dumped(hostile.Runs(tmp_path / MARKER))},
        "columns": files | {MODEL: hostile.of_parts(files, other)},
        "trees": files | {MODEL: hostile.of_parts(files, trees)},
        "parts": files | {MODEL: hostile.of_parts(files, curve)},
        "golden": files | {GOLDEN: golden},
    }
    for check, content in expected.items():
        version = f"v-{check}"
        hostile.written(registry.root / version, hostile.with_version(manifest, version), content)
        failed = [one.name for one in examine(registry, version) if one.outcome == "failed"]
        assert failed == [check]


def test_nothing_is_examined_where_there_is_nothing(registry: Registry) -> None:
    with pytest.raises(BundleNotFound, match="no model version"):
        examine(registry, "v-none")
