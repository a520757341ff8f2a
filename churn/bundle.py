"""A model bundle on disk: write, verify, load.

A bundle is a folder. `manifest.json` names every other file with its SHA-256; nothing is parsed
before the bytes read have that digest, and what is parsed is those bytes. The digests tell that
the bytes are the published ones; `churn.model` checks that they are a model.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported
from churn.manifest import FORMAT_VERSION, FileEntry, Manifest
from churn.model import Model, check_golden, golden_bytes, model_bytes, parse_model

__all__ = [
    "GOLDEN",
    "MANIFEST",
    "MODEL",
    "Bundle",
    "Model",
    "golden_bytes",
    "load",
    "model_bytes",
    "read_manifest",
    "verify",
    "write",
]

MANIFEST = "manifest.json"
MODEL = "model.joblib"
GOLDEN = "golden.json"
_MOST_MANIFEST_BYTES = 4_000_000


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
    model = parse_model(path / MODEL, files[MODEL])
    check_golden(path / GOLDEN, files[GOLDEN], model)
    return Bundle(manifest, model, digest)


def verify(path: Path) -> Manifest:
    """Check a bundle as `load` does, and return its manifest."""
    return load(path).manifest


def read_manifest(path: Path) -> Manifest:
    """What a bundle says of itself, its files unread: to tell people, never to score with.

    Raises
    ------
    BundleNotFound
        No such folder or no manifest in it.
    BundleCorrupt, BundleUnsupported
        The manifest is none, or of another format.
    """
    return _parse_manifest(path, _raw_manifest(path))


def _raw_manifest(path: Path) -> bytes:
    if not (path / MANIFEST).is_file():
        raise BundleNotFound(f"no model bundle at {path} ({MANIFEST} is missing)")
    size = (path / MANIFEST).stat().st_size
    if size > _MOST_MANIFEST_BYTES:
        raise BundleCorrupt(
            f"{path / MANIFEST} has {size} bytes, which no manifest has; publish the bundle again"
        )
    return (path / MANIFEST).read_bytes()


def _read_verified(path: Path) -> tuple[Manifest, dict[str, bytes], str]:
    raw = _raw_manifest(path)
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


def _write_durably(file: Path, content: bytes) -> None:
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
