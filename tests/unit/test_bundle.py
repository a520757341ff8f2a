import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from churn import bundle
from churn.bundle import GOLDEN, MANIFEST, MODEL
from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported
from churn.manifest import Manifest
from churn.plain_pickle import read
from tests.support import small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle of the test's own."""
    return written(tmp_path / "bundle")


def written(folder: Path, **files: bytes) -> Path:
    """A bundle whose digests are right, whatever its files hold."""
    manifest, sound = small_model()
    folder.mkdir()
    named = {f"{name}.{'json' if name == 'golden' else 'joblib'}": files[name] for name in files}
    bundle.write(folder, manifest, sound | named)
    return folder


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def test_what_is_written_is_loaded(folder: Path) -> None:
    manifest, files = small_model()
    loaded = bundle.load(folder)
    assert loaded.version == manifest.model_version
    assert set(loaded.manifest.files) == {MODEL, GOLDEN}
    assert loaded.manifest.model_copy(update={"files": {}}) == manifest
    assert bundle.model_bytes(loaded.model) == files[MODEL]
    assert loaded.model.lightgbm_text.startswith("tree")


def test_the_digest_of_a_bundle_is_that_of_its_manifest(folder: Path) -> None:

    expected = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    assert bundle.load(folder).sha256 == expected


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
@pytest.mark.parametrize("where", [0.0, 0.37, 0.9999])
def test_a_changed_byte_is_refused_by_name(folder: Path, name: str, where: float) -> None:
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / name} has changed" in one_line(error)


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
@pytest.mark.parametrize("keep", [0, 1, 1000])
def test_a_truncated_file_is_refused_by_name(folder: Path, name: str, keep: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / name} has changed" in one_line(error)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / GOLDEN} is missing" in one_line(error)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "model.joblib.bak"])
def test_an_extra_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / name} does not belong" in one_line(error)


def test_a_link_is_refused_even_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (folder / MODEL).rename(tmp_path / "elsewhere")
    (folder / MODEL).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / MODEL} is not a plain file" in one_line(error)


def test_a_folder_in_a_files_place_is_refused(folder: Path) -> None:
    (folder / GOLDEN).unlink()
    (folder / GOLDEN).mkdir()
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert f"{folder / GOLDEN} is not a plain file" in one_line(error)


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a file"])
def test_no_bundle_is_told_from_a_broken_one(tmp_path: Path, there: str) -> None:
    path = tmp_path / "bundle"
    if there == "an empty folder":
        path.mkdir()
    elif there == "a file":
        path.write_text("x")
    with pytest.raises(BundleNotFound) as error:
        bundle.load(path)
    assert str(path) in one_line(error)


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / MANIFEST).read_bytes())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))


def test_another_format_asks_to_train_again(folder: Path) -> None:
    changed(folder, lambda manifest: manifest.update(format_version=3))
    with pytest.raises(BundleUnsupported) as error:
        bundle.load(folder)
    assert "format 3" in one_line(error)
    assert "train again" in str(error.value)


MANIFEST_CHANGES: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "a key more": ("surplus", lambda m: m.update(surplus=1)),
    "a key less": ("thresholds", lambda m: m.pop("thresholds")),
    "a number as text": ("horizon_days", lambda m: m.update(horizon_days="sixty")),
    "a digest that is none": ("sha256", lambda m: m["files"][MODEL].update(sha256="00")),
    "a version that leaves the folder": (
        "model_version", lambda m: m.update(model_version="../../etc"),
    ),
    "a probability above one": ("high", lambda m: m["thresholds"].update(high=1.5)),
    "bands out of order": ("thresholds", lambda m: m["thresholds"].update(medium=1.0)),
    "an unknown feed": ("feeds", lambda m: m.update(feeds=["orders", "horoscopes"])),
    "no horizon": ("horizon_days", lambda m: m.update(horizon_days=0)),
}  # fmt: skip


@pytest.mark.parametrize("change", MANIFEST_CHANGES)
def test_a_manifest_is_typed(folder: Path, change: str) -> None:
    field, apply = MANIFEST_CHANGES[change]
    changed(folder, apply)
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert str(folder / MANIFEST) in one_line(error)
    assert field in str(error.value)


@pytest.mark.parametrize("listed", ["../outside", "/etc/passwd", "sub/inside"])
def test_a_manifest_cannot_name_files_elsewhere(folder: Path, tmp_path: Path, listed: str) -> None:
    (tmp_path / "outside").write_text("x")
    (folder.parent / "sub").mkdir()
    entry = {"sha256": "0" * 64, "size": 1}
    changed(folder, lambda manifest: manifest["files"].update({listed: entry}))
    with pytest.raises(BundleCorrupt, match="is missing"):
        bundle.load(folder)


@pytest.mark.parametrize("name", [MODEL, GOLDEN])
def test_a_manifest_that_leaves_out_a_needed_file_is_refused(folder: Path, name: str) -> None:
    changed(folder, lambda manifest: manifest["files"].pop(name))
    (folder / name).unlink()
    with pytest.raises(BundleCorrupt, match=f"lists no {name}"):
        bundle.load(folder)


GARBAGE = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "a list": b"[]",
    "a number": b"7",
    "half": b'{"format_version": 1, "model_ver',
    "deep": b"[" * 200_000,
    "a long number": b'{"format_version": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"format_version": NaN}',
    "long": b" " * 5_000_000,
}


@pytest.mark.parametrize("content", GARBAGE)
def test_a_garbage_manifest_is_one_clear_line(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_bytes(GARBAGE[content])
    with pytest.raises((BundleCorrupt, BundleUnsupported)) as error:
        bundle.load(folder)
    assert str(folder / MANIFEST) in one_line(error)


class Runs:
    """A pickle of this runs a command when it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def dumped(content: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    return buffer.getvalue()


def attacks(marker: Path) -> dict[str, bytes]:
    runs = Runs(f"touch {marker}")
    nested = np.array([[runs, None]], dtype=object)
    frozen = np.ndarray.__reduce__(np.array([1.0]))
    crash = b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(S'O'\nI00\nI01\ntRS'12345678'\ntR."
    return {
        "a call": dumped(runs),
        "a call inside": dumped({"columns": [], "trees": runs}),
        "a call inside an array of objects": dumped({"columns": nested}),
        "a plain pickle": pickle.dumps(runs),
        "a class of numpy": pickle.dumps(frozen),
        "arguments that crash numpy.ndarray": crash,
        "a change of a class": b"cnumpy\ndtype\n(N}S'read'\nI1\nstb.",
    }


@pytest.mark.parametrize("attack", attacks(Path()))
def test_a_hostile_pickle_is_refused_before_anything_runs(tmp_path: Path, attack: str) -> None:
    marker = tmp_path / "it-ran"
    folder = written(tmp_path / "bundle", model=attacks(marker)[attack])
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert str(folder / MODEL) in one_line(error)
    assert not marker.exists()


def test_the_attack_works_where_nobody_looks(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    pickle.loads(attacks(marker)["a plain pickle"])
    assert marker.exists()  # else the tests above could not fail


@pytest.mark.parametrize("kept", [0, 10, 1000, 100_000])
def test_half_a_pickle_is_refused(tmp_path: Path, kept: int) -> None:
    content = small_model()[1][MODEL][:kept]
    folder = written(tmp_path / "bundle", model=content)
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert str(folder / MODEL) in one_line(error)


def parts(**changes: Any) -> bytes:
    content = read(small_model()[1][MODEL])
    for name, change in changes.items():
        content[name] = change(content[name])
    return dumped(content)


PART_CHANGES: dict[str, dict[str, Callable[[Any], Any]]] = {
    "a leaf beyond the leaves": {
        "trees": lambda t: t | {"left": np.where(t["left"] < 0, -99, t["left"])}
    },
    "a feature beyond the features": {"trees": lambda t: t | {"feature": t["feature"] + 10_000}},
    "a tree part missing": {"trees": lambda t: {k: t[k] for k in t if k != "leaf_value"}},
    "gaps that are none": {"population": lambda p: p | {"gaps": p["gaps"] * 0}},
    "no gaps": {"population": lambda p: p | {"gaps": p["gaps"][:0]}},
    "fewer quantiles": {"population": lambda p: p | {"quantiles": p["quantiles"][:-1]}},
    "quantiles of nothing": {"population": lambda p: p | {"quantiles": p["quantiles"][:, :0]}},
    "an endless horizon": {"population": lambda p: p | {"horizon_days": float("inf")}},
    "an unknown calibration": {"calibration": lambda c: c | {"method": "horoscope"}},
    "an infinite slope": {"calibration": lambda c: c | {"above": float("inf")}},
    "an isotonic map without points": {"calibration": lambda c: c | {"method": "isotonic"}},
    "a curve that does not hold its horizon": {"curve": lambda c: c | {"horizon": 99}},
    "a curve of days gone by": {"curve": lambda c: c | {"days": -c["days"]}},
    "an interval of less than nothing": {"reliability": lambda r: r | {"repeat": -1.0}},
    "a value of columns that are not there": {"value": lambda v: v | {"column": v["column"] + 999}},
    "segments without limits": {"value": lambda v: v | {"limits": v["limits"][:0]}},
    "a limit of lateness below nothing": {"loss": lambda r: r | {"late": -1.0}},
    "a list for a dictionary": {"calibration": lambda c: list(c)},
    "32-bit thresholds": {"trees": lambda t: t | {"threshold": t["threshold"].astype(np.float32)}},
}


@pytest.mark.parametrize("change", PART_CHANGES)
def test_a_model_whose_parts_do_not_fit_is_refused(tmp_path: Path, change: str) -> None:
    folder = written(tmp_path / "bundle", model=parts(**PART_CHANGES[change]))
    with pytest.raises(BundleCorrupt) as error:
        bundle.load(folder)
    assert str(folder / MODEL) in one_line(error)


def test_an_older_bundle_without_values_is_loaded_and_says_nothing_of_them(tmp_path: Path) -> None:
    older = read(small_model()[1][MODEL])
    del older["value"], older["loss"]
    golden = json.loads(small_model()[1][GOLDEN])
    for row in golden["rows"]:
        del row["value"]
    folder = written(tmp_path / "bundle", model=dumped(older), golden=json.dumps(golden).encode())
    loaded = bundle.load(folder).model
    assert loaded.value is None
    assert loaded.loss is None


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": lambda columns: columns[::-1]},
        {"trees": lambda t: t | {"families": t["families"][::-1].copy()}},
    ],
)
def test_a_model_of_other_columns_or_families_asks_to_train_again(
    tmp_path: Path, changes: dict[str, Callable[[Any], Any]]
) -> None:
    folder = written(tmp_path / "bundle", model=parts(**changes))
    with pytest.raises(BundleUnsupported, match="train again"):
        bundle.load(folder)


@pytest.mark.parametrize("what", ["probability", "contributions", "value", "no value"])
def test_a_model_that_gives_other_results_is_not_served(tmp_path: Path, what: str) -> None:
    golden = json.loads(small_model()[1][GOLDEN])
    row = golden["rows"][3]
    if what == "probability":
        row["probability"] += 1e-6
    elif what == "value":
        row["value"] *= 1.0 + 1e-6
    elif what == "no value":
        row["value"] = None
    else:
        row["contributions"][0] += 1e-6
    folder = written(tmp_path / "bundle", golden=json.dumps(golden).encode())
    with pytest.raises(BundleCorrupt, match="other results") as error:
        bundle.load(folder)
    assert str(folder / GOLDEN) in one_line(error)


def test_a_last_bit_of_difference_is_forgiven(tmp_path: Path) -> None:
    golden = json.loads(small_model()[1][GOLDEN])
    golden["rows"][0]["probability"] += 1e-15
    bundle.load(written(tmp_path / "bundle", golden=json.dumps(golden).encode()))


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"columns": 1}', b"[" * 100_000, b'{"rows": [], "columns": []}'],
)
def test_golden_rows_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = written(tmp_path / "bundle", golden=content)
    with pytest.raises((BundleCorrupt, BundleUnsupported)) as error:
        bundle.load(folder)
    assert str(folder / GOLDEN) in one_line(error)


@pytest.mark.parametrize("rows", [[], [{"features": [1.0], "probability": 1, "contributions": []}]])
def test_golden_rows_of_another_shape_are_refused(tmp_path: Path, rows: list[Any]) -> None:
    golden = json.loads(small_model()[1][GOLDEN]) | {"rows": rows}
    folder = written(tmp_path / "bundle", golden=json.dumps(golden).encode())
    with pytest.raises(BundleCorrupt, match="no rows, or too many, to check"):
        bundle.load(folder)


def test_a_manifest_says_nothing_that_json_cannot(folder: Path) -> None:
    raw = (folder / MANIFEST).read_bytes()
    assert Manifest.model_validate_json(raw) == bundle.load(folder).manifest
