"""A model bundle on disk: write, verify, load.

A bundle is a folder. `manifest.json` names every other file with its SHA-256; nothing is parsed
before the bytes read have that digest, and what is parsed is those bytes. `model.joblib` holds
built-ins and plain arrays only and is read by an unpickler that knows no other class.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
from numpy.typing import NDArray
from pydantic import ValidationError

from churn.calibration import Calibration
from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported
from churn.features import FAMILIES, FEATURE_NAMES
from churn.manifest import FORMAT_VERSION, FileEntry, Manifest
from churn.population import MODEL_COLUMNS, Population
from churn.trees import FlatTrees

MANIFEST = "manifest.json"
MODEL = "model.joblib"
GOLDEN = "golden.json"
GOLDEN_TOLERANCE = 1e-9  # libm may round a logarithm differently on another machine


@dataclass(frozen=True, slots=True)
class Model:
    """The parts that turn loop features into a probability and contributions.

    Attributes
    ----------
    lightgbm_text : str
        The booster as LightGBM writes it, for the analyst; never parsed online.
    trees, population, calibration
        The same model in the form that scores.
    """

    lightgbm_text: str
    trees: FlatTrees
    population: Population
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle; `sha256` is the digest of its manifest."""

    manifest: Manifest
    model: Model
    sha256: str

    @property
    def version(self) -> str:
        """Model version, such as ``2026-11-20T18-03-11Z-5f2c``."""
        return self.manifest.model_version


def model_bytes(model: Model) -> bytes:
    """The content of `model.joblib`."""
    buffer = io.BytesIO()
    joblib.dump(
        {
            "format_version": FORMAT_VERSION,
            "lightgbm_text": model.lightgbm_text,
            "columns": list(MODEL_COLUMNS),
            "trees": model.trees.to_dict(),
            "population": model.population.to_dict(),
            "calibration": {
                "method": model.calibration.method,
                "slope": model.calibration.slope,
                "intercept": model.calibration.intercept,
            },
        },
        buffer,
    )
    return buffer.getvalue()


def golden_bytes(model: Model, X: NDArray[np.float64]) -> bytes:
    """The content of `golden.json`: rows of loop features (n, n_loop) and what they must give."""
    margin, contributions = model.trees.explain(model.population.transform(X))
    rows = [
        {
            "features": [None if np.isnan(number) else float(number) for number in row],
            "probability": float(probability),
            "contributions": [float(number) for number in contribution],
        }
        for row, probability, contribution in zip(
            X, model.calibration.apply(margin), contributions, strict=True
        )
    ]
    return json.dumps({"columns": list(FEATURE_NAMES), "rows": rows}).encode()


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """Write a bundle's files, then its manifest, each flushed to disk.

    Parameters
    ----------
    folder : Path
        An empty folder.
    manifest : Manifest
        Its `files` are filled in here.
    files : mapping of file name to bytes
        Must include `model.joblib` and `golden.json`.

    Returns
    -------
    Manifest
        As written.
    """
    entries = {}
    for name, content in files.items():
        _write_durably(folder / name, content)
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    complete = manifest.model_copy(update={"files": entries})
    _write_durably(folder / MANIFEST, (complete.model_dump_json(indent=1) + "\n").encode())
    return complete


def load(path: Path) -> Bundle:
    """Verify a bundle and make it ready to score.

    Raises
    ------
    BundleNotFound
        No such folder or no manifest in it.
    BundleCorrupt
        A file is missing, surplus or changed, or the golden rows do not come out.
    BundleUnsupported
        Written in a format, or with features, that this version does not have.
    """
    manifest, files, digest = _read_verified(path)
    model = _parse_model(path, files[MODEL])
    _check_golden(path, model, files[GOLDEN])
    return Bundle(manifest, model, digest)


def verify(path: Path) -> Manifest:
    """Check a bundle as `load` does, and return its manifest."""
    return load(path).manifest


def _read_verified(path: Path) -> tuple[Manifest, dict[str, bytes], str]:
    if not (path / MANIFEST).is_file():
        raise BundleNotFound(f"no model bundle at {path} ({MANIFEST} is missing)")
    raw = (path / MANIFEST).read_bytes()
    manifest = _parse_manifest(path, raw)
    present = {entry.name for entry in path.iterdir()} - {MANIFEST}
    for name in sorted(present - set(manifest.files)):
        raise BundleCorrupt(f"{path / name} does not belong to the bundle; remove it")
    files = {}
    for name, entry in manifest.files.items():
        file = path / name
        if name not in present or not file.is_file() or file.is_symlink():
            raise BundleCorrupt(f"{file} is missing; publish the bundle again")
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleCorrupt(
                f"{file} has changed since it was published (its SHA-256 is not the manifest's); "
                "publish the bundle again or promote another version"
            )
        files[name] = content
    for name in (MODEL, GOLDEN):
        if name not in files:
            raise BundleCorrupt(f"{path / MANIFEST} lists no {name}")
    return manifest, files, hashlib.sha256(raw).hexdigest()


def _parse_manifest(path: Path, raw: bytes) -> Manifest:
    try:
        content = json.loads(raw)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version is not None and version != FORMAT_VERSION:
            raise BundleUnsupported(
                f"{path / MANIFEST} has format {version}, this Keepwell reads {FORMAT_VERSION}; "
                "train again with this version"
            )
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleCorrupt(f"{path / MANIFEST}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise BundleCorrupt(f"{path / MANIFEST} is not JSON: {error}") from None


class _PlainUnpickler(NumpyUnpickler):  # type: ignore[misc]
    """Knows arrays and built-ins; any other class in the file is refused before it is looked up."""

    _allowed = {  # noqa: RUF012 - a constant of the class
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): NumpyArrayWrapper,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Look a class up among the allowed ones."""
        try:
            return self._allowed[module, name]
        except KeyError:
            raise BundleCorrupt(
                f"model.joblib names {module}.{name}, which no Keepwell bundle holds"
            ) from None


def _parse_model(path: Path, content: bytes) -> Model:
    try:
        parts = _PlainUnpickler("", io.BytesIO(content), ensure_native_byte_order=False).load()
        if parts["columns"] != list(MODEL_COLUMNS):
            raise BundleUnsupported(
                f"{path}: the model was trained on other features than this version computes; "
                "train again with this version"
            )
        trees = FlatTrees(**parts["trees"])
        if trees.n_families != len(FAMILIES):
            raise BundleUnsupported(f"{path}: the model has other reason families; train again")
        return Model(
            lightgbm_text=parts["lightgbm_text"],
            trees=trees,
            population=Population(**parts["population"]),
            calibration=Calibration(**parts["calibration"]),
        )
    except (BundleCorrupt, BundleUnsupported):
        raise
    except Exception as error:  # whatever a malformed pickle makes joblib raise
        raise BundleCorrupt(f"{path / MODEL} cannot be read: {type(error).__name__}") from error


def _check_golden(path: Path, model: Model, content: bytes) -> None:
    golden = json.loads(content)
    if golden["columns"] != list(FEATURE_NAMES):
        raise BundleUnsupported(f"{path / GOLDEN}: other features than this version computes")
    rows = golden["rows"]
    X = np.array([row["features"] for row in rows], dtype=np.float64)
    margin, contributions = model.trees.explain(model.population.transform(X))
    probability = model.calibration.apply(margin)
    off = max(
        float(np.max(np.abs(probability - [row["probability"] for row in rows]))),
        float(np.max(np.abs(contributions - [row["contributions"] for row in rows]))),
    )
    if not off <= GOLDEN_TOLERANCE:
        raise BundleCorrupt(
            f"{path / GOLDEN}: the model gives other results here than where it was trained "
            f"(off by {off:.3g}); do not serve it"
        )


def _write_durably(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
