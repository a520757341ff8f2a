"""What somebody who can write into a models' folder might put there, and bundles that differ."""

import io
import json
import os
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper

from churn import bundle, plain_pickle
from churn.bundle import GOLDEN, MANIFEST, MODEL, SIGNATURE
from churn.calibration import Calibration
from churn.manifest import Manifest
from churn.model import parse_model
from churn.signing import SigningKey

Files = dict[str, bytes]
Change = Callable[[Any], Any]


class Runs:
    """A pickle of this makes a folder when it is read, as a plain unpickler would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def dumped(content: Any) -> bytes:
    """What joblib makes of it."""
    buffer = io.BytesIO()
    joblib.dump(content, buffer)
    return buffer.getvalue()


def written(
    folder: Path, manifest: Manifest, files: Files, signing: SigningKey | None = None
) -> Path:
    """A bundle whose digests are right, whatever its files hold."""
    folder.mkdir(parents=True)
    bundle.write(folder, manifest, files, signing)
    return folder


def with_version(manifest: Manifest, version: str) -> Manifest:
    return manifest.model_copy(update={"model_version": version})


def shifted(files: Files, manifest: Manifest, version: str, by: float) -> tuple[Manifest, Files]:
    """A sound bundle that differs from another in every probability."""
    parts = plain_pickle.read(files[MODEL])
    parts["calibration"] = Calibration(**parts["calibration"]).shifted(by).to_dict()
    content = dumped(parts)
    model = parse_model(Path(MODEL), content)
    golden = json.loads(files[GOLDEN])
    X = np.array([row["features"] for row in golden["rows"]], dtype=np.float64)
    made = {MODEL: content, GOLDEN: bundle.golden_bytes(model, X)}
    return with_version(manifest, version), files | made


def endless(levels: int = 60) -> tuple[Any, ...]:
    """A tuple that holds one tuple twice, that another twice and so on.

    Small to read; whoever hashes it or turns it into text never ends.
    """
    made: tuple[Any, ...] = ()
    for _ in range(levels):
        made = (made, made)
    return made


def pickles(marker: Path, sound: bytes) -> dict[str, bytes]:
    """Pickles that should never be carried out; `sound` is a model's."""
    runs = Runs(marker)
    nested = np.array([[runs, None]], dtype=object)
    path = str(marker).encode()
    # Pickled by hand: to pickle it as a key would be to hash it.
    bomb = b")\x94" + b"".join(b"h" + bytes([at]) + b"\x86\x94" for at in range(60))
    return {
        "a call": dumped(runs),
        "a call inside": dumped({"columns": [], "trees": runs}),
        "a call inside an array of objects": dumped({"columns": nested}),
        "a plain pickle": pickle.dumps(runs),
        "an old protocol": pickle.dumps(runs, protocol=0),
        "a call by name": b"cos\nmkdir\n(S'" + path + b"'\ntR.",
        "an instance": b"(S'" + path + b"'\nios\nmkdir\n.",
        "a call of builtins": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x01x\x85R.",
        "a class of numpy": pickle.dumps(np.ndarray.__reduce__(np.array([1.0]))),
        "arguments that crash numpy.ndarray": (
            b"cnumpy\nndarray\n((I1\ntcnumpy\ndtype\n(S'O'\nI00\nI01\ntRS'12345678'\ntR."
        ),
        "a change of a class": b"cnumpy\ndtype\n(N}S'read'\nI1\nstb.",
        "a method put in place of another": sound.replace(b"allow_mmap", b"read_array", 1),
        "a name that fills the log": b"\x80\x04X\xff\xff\x00\x00"
        + b"n" * 65_535
        + b"\x8c\x01x\x93.",
        "a name that is two lines": b"\x80\x04\x8c\x03a\nb\x8c\x01x\x93.",
        "a key that cannot be hashed in time": b"\x80\x04}(" + bomb + b"K\x01u.",
        "a set": b"\x80\x04\x8f(" + bomb + b"\x90.",
        "an array made of what cannot be hashed in time": b"\x80\x04\x8c\x13joblib.numpy_pickle"
        + b"\x8c\x11NumpyArrayWrapper\x93)\x81"
        + bomb
        + b"b.",
        "more values than a model has": b"\x80\x04](" + b"N" * 2_100_000 + b"e.",
        "an array of no end": _array(shape=(2**62,)),
        "an array of a wrapped size": _array(shape=(2**32, 2**32)),
        "an array of less than nothing": _array(shape=(-1,)),
        "an array of a shape that is none": _array(shape=([1, [2]],)),
        "an array of many dimensions": _array(shape=(1,) * 32),
        "an array whose bytes are missing": _array(),
        "an array of a type that never ends": _array(dtype=_EndlessType()),
        "an array of a shape that never ends": _array(shape=endless()),
        "an array of text": dumped({"columns": np.array(["a"])}),
        "an array of complex numbers": dumped({"columns": np.array([1j])}),
        "an array of the other byte order": dumped({"columns": np.array([1.0], dtype=">f8")}),
        "nothing": b"",
        "a number": dumped(7),
        "a list": dumped([1, 2]),
        "lists in lists": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
    }


def _array(shape: Any = (1,), dtype: Any = None) -> bytes:
    """A pickle that tells of an array which does not follow."""
    told = np.dtype("f8") if dtype is None else dtype
    return dumped({"columns": NumpyArrayWrapper(np.ndarray, shape, "C", told)})


class _EndlessType:
    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return np.dtype, (endless(), False, True)


def _first(array: Any, value: Any, at: int = 0) -> Any:
    changed = array.copy()
    changed[at] = value
    return changed


def _deep(tables: dict[str, Any], length: int) -> dict[str, Any]:
    """One tree that is a path of so many decisions."""
    end = np.array([0, length])
    return tables | {
        "node_start": end,
        "leaf_start": np.array([0, length + 1]),
        "feature": np.zeros(length, dtype=np.int64),
        "decision": np.zeros(length, dtype=np.int64),
        "threshold": np.zeros(length),
        "default_left": np.zeros(length, dtype=np.bool_),
        "left": np.append(np.arange(1, length), -length - 1),
        "right": -1 - np.arange(length),
        "node_count": np.arange(2.0 * length, 0.0, -2.0) + 1.0,
        "leaf_count": np.append(np.full(length, 2.0), 1.0),
        "leaf_value": np.zeros(length + 1),
        "set_start": np.array([0]),
        "set_words": np.array([], dtype=np.int64),
    }


TREES: dict[str, Change] = {
    "a cycle": lambda t: t | {"left": _first(t["left"], 0)},
    "two nodes that are each other's children": lambda t: (
        t | {"left": _first(_first(t["left"], 2, 1), 1, 2)}
    ),
    "a node of two parents": lambda t: t | {"left": _first(t["left"], t["right"][0])},
    "a child beyond the nodes": lambda t: t | {"left": _first(t["left"], 10**9)},
    "a leaf beyond the leaves": lambda t: t | {"right": _first(t["right"], -(10**9))},
    "the least of all integers": lambda t: t | {"right": _first(t["right"], -(2**63))},
    "a feature beyond the features": lambda t: t | {"feature": t["feature"] + 10_000},
    "a feature before the first": lambda t: t | {"feature": _first(t["feature"], -1)},
    "an unknown decision": lambda t: t | {"decision": _first(t["decision"], 9)},
    "a set that does not exist": lambda t: t | {"decision": _first(t["decision"], 3)},
    "sets that overlap": lambda t: t | {"set_start": np.array([0, 5])},
    "an infinite leaf": lambda t: t | {"leaf_value": _first(t["leaf_value"], np.inf)},
    "a leaf that is no number": lambda t: t | {"leaf_value": _first(t["leaf_value"], np.nan)},
    "a leaf whose sum overflows": lambda t: t | {"leaf_value": _first(t["leaf_value"], 1e308)},
    "a threshold that is no number": lambda t: t | {"threshold": _first(t["threshold"], np.nan)},
    "more rows below than above": lambda t: t | {"node_count": _first(t["node_count"], 1e6, 1)},
    "a node that no row reached": lambda t: t | {"node_count": _first(t["node_count"], 0.0)},
    "32 bits": lambda t: t | {"threshold": t["threshold"].astype(np.float32)},
    "a matrix": lambda t: t | {"left": t["left"].reshape(1, -1)},
    "a list": lambda t: t | {"left": t["left"].tolist()},
    "a shorter column": lambda t: t | {"threshold": t["threshold"][:-1]},
    "a part missing": lambda t: {name: t[name] for name in t if name != "leaf_value"},
    "a part more": lambda t: t | {"surplus": t["left"]},
    "a path without end": lambda t: _deep(t, 5_000),
    "more leaves than can be explained": lambda t: (
        t | {"leaf_value": np.zeros(300_000), "leaf_count": np.zeros(300_000)}
    ),
    "other families": lambda t: t | {"families": t["families"][::-1].copy()},
    "families beyond the families": lambda t: t | {"families": t["families"] + 1000},
    "no families": lambda t: t | {"n_families": 0},
    "not a table": lambda t: list(t),
}
"""What may be wrong with trees."""

PARTS: dict[str, dict[str, Change]] = {
    "swapped columns": {
        "columns": lambda c: [c[1], c[0], *c[2:]],
    },
    "swapped thresholds": {
        "trees": lambda t: t | {"threshold": t["threshold"][::-1].copy()},
    },
    "swapped features": {
        "trees": lambda t: (
            t | {"feature": np.where(t["feature"] < 2, 1 - t["feature"], t["feature"])}
        ),
    },
    "swapped quantiles": {
        "population": lambda p: p | {"quantiles": p["quantiles"][::-1].copy()},
    },
    "a model of nothing": {"trees": lambda t: None},
    "a text that is none": {"lightgbm_text": lambda text: [text]},
    "a text that never ends": {"lightgbm_text": lambda text: endless()},
    "columns that never end": {"columns": lambda c: [endless()]},
    "categories that never end": {
        "schema": lambda s: s | {"extras": [_column(kind="categorical", categories=[endless()])]},
    },
    "codes that never end": {"schema": lambda s: s | {"extras": [_column(codes=[endless()])]}},
    "words that never end": {"schema": lambda s: s | {"extras": [_column(label=endless())]}},
    "a method that never ends": {"calibration": lambda c: c | {"method": endless()}},
    "gaps that are none": {"population": lambda p: p | {"gaps": p["gaps"] * 0}},
    "gaps without end": {"population": lambda p: p | {"gaps": p["gaps"] * np.inf}},
    "no gaps": {"population": lambda p: p | {"gaps": p["gaps"][:0]}},
    "fewer quantiles": {"population": lambda p: p | {"quantiles": p["quantiles"][:-1]}},
    "ranks of columns that are not there": {
        "population": lambda p: p | {"ranked": np.array([10**9])},
    },
    "an endless horizon": {"population": lambda p: p | {"horizon_days": float("inf")}},
    "an unknown calibration": {"calibration": lambda c: c | {"method": "horoscope"}},
    "a calibration that overflows": {"calibration": lambda c: c | {"above": 1e308, "below": 0.0}},
    "a calibration that falls": {"calibration": lambda c: c | {"above": -1.0}},
    "a calibration that is no number": {"calibration": lambda c: c | {"intercept": float("nan")}},
    "an isotonic map without points": {"calibration": lambda c: c | {"method": "isotonic"}},
    "a calibration of nothing": {"calibration": lambda c: None},
    "a curve beyond its days": {"curve": lambda c: c | {"horizon": 99}},
    "a curve of days gone by": {"curve": lambda c: c | {"days": -c["days"]}},
    "a curve beyond all calendars": {"curve": lambda c: c | {"days": c["days"] * 10**12}},
    "a curve of another horizon": {"curve": lambda c: c | {"days": c["days"] + 1}},
    "a curve that is no number": {"curve": lambda c: c | {"slope": c["slope"] * np.nan}},
    "an interval of less than nothing": {"reliability": lambda r: r | {"repeat": -1.0}},
    "a linear part of columns that are not there": {
        "linear": lambda part: part | {"column": part["column"] + 10_000},
    },
    "a linear part that divides by zero": {"linear": lambda p: p | {"scale": p["scale"] * 0}},
    "a linear part that is no number": {"linear": lambda p: p | {"weight": p["weight"] * np.nan}},
    "a linear part of shorter columns": {"linear": lambda part: part | {"mean": part["mean"][:-1]}},
    "a value of columns that are not there": {"value": lambda v: v | {"column": v["column"] + 999}},
    "a value beyond all money": {"value": lambda v: v | {"high": v["high"] + 1e6}},
    "segments without limits": {"value": lambda v: v | {"limits": v["limits"][:0]}},
    "a limit of lateness below nothing": {"loss": lambda r: r | {"late": -1.0}},
    "usual contributions of other families": {"usual": lambda u: np.zeros(3)},
    "usual contributions that are no numbers": {"usual": lambda u: u * np.nan},
    "a column that is no name": {
        "schema": lambda s: s | {"extras": [_column(name=["x"])]},
    },
    "words that run": {
        "schema": lambda s: (
            s | {"extras": [_column(text={"en": "{value.__class__}", "ru": "{value}"})]}
        ),
    },
    "words that are none": {
        "schema": lambda s: s | {"extras": [_column(label={"en": 1, "ru": 2})]},
    },
    "no schema": {"schema": lambda s: None},
}  # fmt: skip
"""What may be wrong with a model whose digests are right."""


def _column(**changes: Any) -> dict[str, Any]:
    return {
        "name": "x", "kind": "numeric", "family": "x", "unit": "number",
        "label": {"en": "x", "ru": "x"}, "text": None, "direction": 0, "controllable": True,
        "categories": [], "codes": [], "norm": None,
    } | changes  # fmt: skip


GOLDENS: dict[str, Change] = {
    "no rows": lambda g: g | {"rows": []},
    "rows to keep one busy": lambda g: g | {"rows": g["rows"] * 100},
    "rows of other columns": lambda g: g | {"columns": g["columns"][::-1]},
    "rows of fewer numbers": lambda g: g | {"rows": [g["rows"][0] | {"features": [1.0]}]},
    "another probability": lambda g: g | {"rows": [g["rows"][0] | {"probability": 0.123}]},
    "a probability that is no number": lambda g: (
        g | {"rows": [g["rows"][0] | {"probability": float("nan")}]}
    ),
    "a curve of one point": lambda g: g | {"rows": [g["rows"][0] | {"curve": [0.5]}]},
    "a probability of many": lambda g: g | {"rows": [g["rows"][0] | {"probability": [0.5]}]},
    "numbers without end": lambda g: g | {"rows": [g["rows"][0] | {"probability": 10**400}]},
    "rows that are none": lambda g: g | {"rows": [1, 2]},
    "rows that are a word": lambda g: g | {"rows": "rows"},
    "not a table": lambda g: [g],
}
"""What may be wrong with golden rows."""

MANIFESTS: dict[str, Change] = {
    "a key more": lambda m: m | {"surplus": 1},
    "a key less": lambda m: {name: m[name] for name in m if name != "thresholds"},
    "another format": lambda m: m | {"format_version": 99},
    "a version that leads elsewhere": lambda m: m | {"model_version": "../../etc"},
    "another version": lambda m: m | {"model_version": "2000-01-01T00-00-00Z-0000"},
    "a file elsewhere": lambda m: m | {"files": m["files"] | {"../x": m["files"][MODEL]}},
    "a file at an absolute path": lambda m: (
        m | {"files": m["files"] | {"/etc/passwd": m["files"][MODEL]}}
    ),
    "a file of many bytes": lambda m: (
        m | {"files": m["files"] | {MODEL: m["files"][MODEL] | {"size": 10**15}}}
    ),
    "no model": lambda m: m | {"files": {GOLDEN: m["files"][GOLDEN]}},
    "swapped features": lambda m: (
        m | {"features": [m["features"][1], m["features"][0], *m["features"][2:]]}
    ),
    "features of another model": lambda m: (
        m | {"features": [m["features"][0] | {"name": "x"}, *m["features"][1:]]}
    ),
    "categories of a number": lambda m: (
        m | {"features": [m["features"][0] | {"categories": ["a"]}, *m["features"][1:]]}
    ),
    "a horizon of the next ice age": lambda m: m | {"horizon_days": 10**9},
    "another horizon": lambda m: m | {"horizon_days": m["horizon_days"] + 1},
    "drift of a column that is not there": lambda m: _of_drift(m, "x", _bins(m)),
    "drift in categories of a number": lambda m: _of_drift(
        m, m["features"][0]["name"], _bins(m, categories=["a"], counts=[1, 0])
    ),
    "drift in bins without end": lambda m: _of_drift(
        m, m["features"][0]["name"], _bins(m, edges=[*range(300)], counts=[1, *[0] * 300])
    ),
    "drift of more customers than there can be": lambda m: (
        m | {"drift": {"as_of": None, "features": {}, "probability": _bins(m, counts=[10**30])}}
    ),
    "no object": lambda m: [m],
}
"""What may be wrong with a manifest."""


def _bins(manifest: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Bins with all customers in the first, where `counts` says 1."""
    held = manifest["drift"]["probability"]
    customers = sum(held["counts"]) + held["missing"]
    made = {"edges": [], "counts": [1], "missing": 0} | given
    return made | {"counts": [customers * n for n in made["counts"]]}


def _of_drift(manifest: dict[str, Any], name: str, bins: dict[str, Any]) -> dict[str, Any]:
    drift = manifest["drift"]
    return manifest | {"drift": drift | {"features": drift["features"] | {name: bins}}}


def of_parts(files: Files, changes: dict[str, Change]) -> bytes:
    """A model's pickle with parts of it changed."""
    content = plain_pickle.read(files[MODEL])
    for name, change in changes.items():
        content[name] = change(content[name])
    return dumped(content)


def with_digests_right(
    root: Path,
    manifest: Manifest,
    files: Files,
    marker: Path,
    signing: SigningKey | None = None,
) -> Iterator[tuple[str, Path]]:
    """Every hostile bundle that only a look at the content tells from a sound one.

    Parameters
    ----------
    root : Path
        Gets a folder for each, named after the version, in a folder of its own.
    manifest, files : Manifest, dict of str to bytes
        A sound bundle.
    marker : Path
        Is there afterwards if any of them was carried out.
    signing : SigningKey, optional
        Signs what is hostile: for those who ask what a stolen key can do.
    """
    models = {f"pickle: {name}": raw for name, raw in pickles(marker, files[MODEL]).items()}
    models |= {f"trees: {name}": of_parts(files, {"trees": TREES[name]}) for name in TREES}
    models |= {f"parts: {name}": of_parts(files, PARTS[name]) for name in PARTS}
    contents = {name: {MODEL: content} for name, content in models.items()}
    for name, change in GOLDENS.items():
        golden = json.dumps(change(json.loads(files[GOLDEN]))).encode()
        contents[f"golden: {name}"] = {GOLDEN: golden}
    for at, (name, content) in enumerate(contents.items()):
        folder = root / f"c{at}" / manifest.model_version
        yield name, written(folder, manifest, files | content, signing)
    for at, (name, change) in enumerate(MANIFESTS.items()):
        folder = written(root / f"m{at}" / manifest.model_version, manifest, files)
        raw = json.dumps(change(json.loads((folder / MANIFEST).read_text()))).encode()
        (folder / MANIFEST).write_bytes(raw)
        if signing is not None:
            (folder / SIGNATURE).write_bytes(signing.sign(raw))
        yield f"manifest: {name}", folder


def bit_flips(files: Files, n: int, seed: int = 7) -> Iterator[tuple[str, int, int]]:
    """Places to change a bit at: file, byte and bit."""
    chosen = random.Random(seed)
    for _ in range(n):
        name = chosen.choice(sorted(files))
        yield name, chosen.randrange(len(files[name])), chosen.randrange(8)
