"""A model bundle on disk: write, verify, load.

A bundle is a folder. `manifest.json` names every other file with its SHA-256; nothing is parsed
before the bytes read have that digest, and what is parsed is those bytes. `model.joblib` holds
built-ins and plain arrays only and is read by an unpickler that knows no other class.
The digests tell that the bytes are the published ones; that they are a model is checked as well.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from churn import plain_pickle
from churn.calibration import Calibration
from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported
from churn.features import FAMILIES, FEATURE_NAMES
from churn.manifest import FORMAT_VERSION, FileEntry, Manifest
from churn.plain_pickle import NotPlain
from churn.population import MODEL_COLUMNS, MODEL_FAMILIES, Population
from churn.trees import FlatTrees

MANIFEST = "manifest.json"
MODEL = "model.joblib"
GOLDEN = "golden.json"
_MOST_MANIFEST_BYTES = 4_000_000
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
    size = (path / MANIFEST).stat().st_size
    if size > _MOST_MANIFEST_BYTES:
        raise BundleCorrupt(
            f"{path / MANIFEST} has {size} bytes, which no manifest has; publish the bundle again"
        )
    raw = (path / MANIFEST).read_bytes()
    manifest = _parse_manifest(path, raw)
    present = {entry.name for entry in path.iterdir()} - {MANIFEST}
    for name in sorted(present - set(manifest.files)):
        raise BundleCorrupt(f"{path / name} does not belong to the bundle; remove it")
    files = {}
    for name, entry in manifest.files.items():
        if name not in present:
            raise BundleCorrupt(f"{path / name} is missing; publish the bundle again")
        files[name] = _read_file(path / name, entry)
    for name in (MODEL, GOLDEN):
        if name not in files:
            raise BundleCorrupt(f"{path / MANIFEST} lists no {name}; publish the bundle again")
    return manifest, files, hashlib.sha256(raw).hexdigest()


def _read_file(file: Path, entry: FileEntry) -> bytes:
    if file.is_symlink() or not file.is_file():
        raise BundleCorrupt(f"{file} is not a plain file; publish the bundle again")
    # The size first: a file that has grown without bounds is not read.
    if file.stat().st_size == entry.size:
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() == entry.sha256:
            return content
    raise BundleCorrupt(
        f"{file} has changed since it was published (its size or SHA-256 is not the manifest's); "
        "publish the bundle again or promote another version"
    )


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
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path / MANIFEST} is not JSON: {error}") from None


def _parse_model(path: Path, content: bytes) -> Model:
    try:
        parts = plain_pickle.read(content)
        if parts["columns"] != list(MODEL_COLUMNS):
            raise BundleUnsupported(
                f"{path}: the model was trained on other features than this version computes; "
                "train again with this version"
            )
        trees = FlatTrees(**parts["trees"])
        families = [FAMILIES.index(family) for family in MODEL_FAMILIES]
        if trees.families.tolist() != families or trees.n_families != len(FAMILIES):
            raise BundleUnsupported(f"{path}: the model has other reason families; train again")
        return Model(
            lightgbm_text=str(parts["lightgbm_text"]),
            trees=trees,
            population=Population(**parts["population"]),
            calibration=Calibration(**parts["calibration"]),
        )
    except BundleUnsupported:
        raise
    except BundleCorrupt as error:
        raise BundleCorrupt(f"{path / MODEL}: {error}") from None
    except NotPlain as error:
        raise BundleCorrupt(
            f"{path / MODEL} holds {error}, which no bundle of Keepwell does; do not use it"
        ) from None
    except Exception as error:  # whatever a malformed pickle makes joblib raise
        raise BundleCorrupt(
            f"{path / MODEL} cannot be read ({type(error).__name__}); publish the bundle again"
        ) from error


def _check_golden(path: Path, model: Model, content: bytes) -> None:
    try:
        golden = json.loads(content)
        if golden["columns"] != list(FEATURE_NAMES):
            raise BundleUnsupported(
                f"{path / GOLDEN}: other features than this version computes; train again"
            )
        rows = golden["rows"]
        X = np.array([row["features"] for row in rows], dtype=np.float64)
        expected = np.array([row["probability"] for row in rows], dtype=np.float64)
        explained = np.array([row["contributions"] for row in rows], dtype=np.float64)
        if X.shape != (len(rows), len(FEATURE_NAMES)) or not len(rows):
            raise ValueError
        if explained.shape != (len(rows), len(FAMILIES)):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleCorrupt(
            f"{path / GOLDEN} holds no rows to check the model with; publish the bundle again"
        ) from None
    margin, contributions = model.trees.explain(model.population.transform(X))
    probability = model.calibration.apply(margin)
    off = max(
        float(np.max(np.abs(probability - expected))),
        float(np.max(np.abs(contributions - explained))),
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
