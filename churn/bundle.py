"""A model bundle on disk: write, verify, load.

A bundle is a folder. `manifest.json` names every other file with its SHA-256; nothing is parsed
before the bytes read have that digest, and what is parsed is those bytes. Where keys are trusted
(`churn.signing`), the manifest itself is not parsed before its signature holds. The digests tell
that the bytes are the published ones; `churn.model` and `churn.golden` check that they are a model.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from churn.drift import Reference
from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported, BundleUntrusted
from churn.golden import check_golden, golden_bytes
from churn.manifest import FORMAT_VERSION, FileEntry, Manifest
from churn.model import Model, model_bytes, parse_model
from churn.plain_files import Folder
from churn.signing import SIGNATURE, BadSignature, SigningKey, TrustedKeys

__all__ = [
    "CHECKS",
    "GOLDEN",
    "MANIFEST",
    "MODEL",
    "SIGNATURE",
    "Bundle",
    "Model",
    "golden_bytes",
    "load",
    "model_bytes",
    "read_manifest",
    "sign",
    "verify",
    "write",
]

MANIFEST = "manifest.json"
MODEL = "model.joblib"
GOLDEN = "golden.json"
CHECKS = {
    "folder": "it is a folder and no link",
    "signature": "a trusted key signed the manifest",
    "manifest": "the manifest is one, of a format that this version reads",
    "version": "it is the version that its folder is named after",
    "files": "every file is there, plain, and as published, and there is no other",
    "contents": "the model is built-ins and plain arrays and names nothing else",
    "columns": "it reads the columns that this version computes",
    "trees": "its trees are trees, and not too many",
    "parts": "its other parts have the right shapes and sane numbers",
    "agreement": "the manifest speaks of this model",
    "tables": "the tables that explain its trees fit into memory",
    "golden": "the golden rows come out as where it was trained",
}
"""What `load` checks, in this order."""

_MOST_BYTES = {MANIFEST: 4_000_000, SIGNATURE: 1_000, MODEL: 256_000_000, GOLDEN: 16_000_000}
_MOST_OTHER_BYTES = 64_000_000  # a report or a card for people
_MOST_SHOWN = 200


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


def write(
    folder: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    signing: SigningKey | None = None,
) -> Manifest:
    """Write a bundle's files, then its manifest, each flushed to disk.

    Parameters
    ----------
    folder : Path
        An empty folder.
    manifest : Manifest
        Its `files` are filled in here.
    files : mapping of file name to bytes
        Must include `model.joblib` and `golden.json`.
    signing : SigningKey, optional
        Signs the manifest.

    Returns
    -------
    Manifest
        As written.
    """
    entries = {}
    for name, content in files.items():
        write_durably(folder / name, content)
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    complete = manifest.model_copy(update={"files": entries})
    raw = (complete.model_dump_json(indent=1) + "\n").encode()
    write_durably(folder / MANIFEST, raw)
    if signing is not None:
        write_durably(folder / SIGNATURE, signing.sign(raw))
    return complete


def load(
    path: Path,
    trusted: TrustedKeys | None = None,
    version: str | None = None,
    passed: Callable[[str], None] = lambda check: None,
) -> Bundle:
    """Verify a bundle and make it ready to score.

    Parameters
    ----------
    path : Path
        The bundle's folder.
    trusted : TrustedKeys, optional
        Who may have signed it; by default nobody need have.
    version : str, optional
        The one that it has to be.
    passed : callable, optional
        Told of each of `CHECKS` that came out well.

    Raises
    ------
    BundleNotFound
        No such folder or no manifest in it.
    BundleUntrusted
        None of the trusted keys signed it.
    BundleCorrupt
        A file is missing, surplus, changed or no plain one, the model is none, or the golden rows
        do not come out.
    BundleUnsupported
        Written in a format, or with features, that this version does not have.
    """
    manifest, files, digest = _read_verified(path, trusted, version, passed)
    model = parse_model(path / MODEL, files[MODEL], passed)
    _check_agreement(path, manifest, model)
    passed("agreement")
    _make_tables(path, model)
    passed("tables")
    check_golden(path / GOLDEN, files[GOLDEN], model)
    passed("golden")
    return Bundle(manifest, model, digest)


def verify(path: Path, trusted: TrustedKeys | None = None, version: str | None = None) -> Manifest:
    """Check a bundle as `load` does, and return its manifest."""
    return load(path, trusted, version).manifest


def read_manifest(path: Path) -> Manifest:
    """What a bundle says of itself, its files unread: to tell people, never to score with.

    Raises
    ------
    BundleNotFound
        No such folder or no manifest in it.
    BundleCorrupt, BundleUnsupported
        The manifest is none, or of another format.
    """
    with _opened(path) as folder:
        return _parse_manifest(path, _raw_manifest(folder))


def sign(path: Path, signing: SigningKey, sha256: str) -> bytes:
    """The content that `manifest.sig` of a bundle should have.

    Parameters
    ----------
    path : Path
        Its folder.
    signing : SigningKey
        The key.
    sha256 : str
        `Bundle.sha256` of what was verified.

    Raises
    ------
    BundleCorrupt
        The manifest is another one by now.
    """
    with _opened(path) as folder:
        raw = _raw_manifest(folder)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise BundleCorrupt(f"{path / MANIFEST} changed while it was to be signed")
    return signing.sign(raw)


def write_durably(file: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def _opened(path: Path) -> Folder:
    try:
        return Folder(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleNotFound(f"no model bundle at {path}") from None


def _raw_manifest(folder: Folder) -> bytes:
    try:
        return folder.read(MANIFEST, _MOST_BYTES[MANIFEST])
    except FileNotFoundError:
        raise BundleNotFound(f"no model bundle at {folder.path} ({MANIFEST} is missing)") from None


def _read_verified(
    path: Path,
    trusted: TrustedKeys | None,
    version: str | None,
    passed: Callable[[str], None],
) -> tuple[Manifest, dict[str, bytes], str]:
    with _opened(path) as folder:
        passed("folder")
        raw = _raw_manifest(folder)
        if trusted is not None:
            _check_signature(folder, raw, trusted)
            passed("signature")
        manifest = _parse_manifest(path, raw)
        passed("manifest")
        if version is not None:
            if manifest.model_version != version:
                raise BundleCorrupt(
                    f"{path} holds version {manifest.model_version}; give the folder that name"
                )
            passed("version")
        files = _read_files(folder, manifest)
        passed("files")
    return manifest, files, hashlib.sha256(raw).hexdigest()


def _check_signature(folder: Folder, raw: bytes, trusted: TrustedKeys) -> None:
    file = folder.path / SIGNATURE
    try:
        trusted.check(raw, folder.read(SIGNATURE, _MOST_BYTES[SIGNATURE]))
    except FileNotFoundError:
        raise BundleUntrusted(
            f"{file} is missing, and only signed bundles are trusted here; publish it again with "
            "a signing key, or `keepwell models sign` it"
        ) from None
    except BadSignature as error:
        raise BundleUntrusted(f"{file} {error}; do not use the bundle") from None


def _read_files(folder: Folder, manifest: Manifest) -> dict[str, bytes]:
    """The files that score, and the digests of all."""
    path = folder.path
    present = folder.names() - {MANIFEST}
    if SIGNATURE in present:  # whether it is asked for or not
        folder.read(SIGNATURE, _MOST_BYTES[SIGNATURE])
        present.remove(SIGNATURE)
    for name in sorted(present - set(manifest.files)):
        raise BundleCorrupt(f"{path / name} does not belong to the bundle; remove it")
    files = {}
    for name, entry in manifest.files.items():
        if name not in present:
            raise BundleCorrupt(f"{path}/{_short(name)} is missing; publish the bundle again")
        content = _read_file(folder, name, entry)
        if name in (MODEL, GOLDEN):
            files[name] = content
    for name in (MODEL, GOLDEN):
        if name not in files:
            raise BundleCorrupt(f"{path / MANIFEST} lists no {name}; publish the bundle again")
    return files


def _read_file(folder: Folder, name: str, entry: FileEntry) -> bytes:
    most = _MOST_BYTES.get(name, _MOST_OTHER_BYTES)
    if entry.size > most:
        raise BundleCorrupt(
            f"{folder.path / name} has {entry.size:,} bytes, more than {most:,}, as none of its "
            "kind does; publish the bundle again"
        )
    try:
        content = folder.read(name, most)
    except FileNotFoundError:
        content = b""
    if len(content) == entry.size and hashlib.sha256(content).hexdigest() == entry.sha256:
        return content
    raise BundleCorrupt(
        f"{folder.path / name} has changed since it was published (its size or SHA-256 is not the "
        "manifest's); publish the bundle again or promote another version"
    )


def _parse_manifest(path: Path, raw: bytes) -> Manifest:
    try:
        content = json.loads(raw, object_pairs_hook=_object, parse_constant=_constant)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version is not None and version != FORMAT_VERSION:
            raise BundleUnsupported(
                f"{path / MANIFEST} has format {_short(version)}, this Keepwell reads "
                f"{FORMAT_VERSION}; train again with this version"
            )
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleCorrupt(f"{path / MANIFEST}: {_short(where)}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path / MANIFEST} is not JSON: {_short(error)}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")  # readers differ in which they take
    return made


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _check_agreement(path: Path, manifest: Manifest, model: Model) -> None:
    """Refuse a manifest that tells of another model than the one beside it.

    Raises
    ------
    BundleCorrupt
        Other features, in another order, or another horizon; or drift of columns that it does not
        have.
    """
    schema = model.schema
    told = [entry.name for entry in manifest.features]
    at = [schema.position.get(name, -1) for name in told]
    own = {column.name for column in schema.extras}
    if -1 in at or at != sorted(set(at)) or not own <= set(told):
        raise BundleCorrupt(f"{path / MANIFEST}: features: they are not those of the model")
    for entry in manifest.features:
        column = schema.extra(entry.name)
        if (entry.kind, entry.categories or []) != (
            ("numeric", []) if column is None else (column.kind, list(column.categories))
        ):
            raise BundleCorrupt(f"{path / MANIFEST}: features: {entry.name} is another one")
    if model.curve.days[model.curve.horizon] != manifest.horizon_days:
        raise BundleCorrupt(f"{path / MANIFEST}: horizon_days: it is not that of the model")
    if manifest.drift is not None:
        try:
            Reference(schema, manifest.drift)
        except BundleCorrupt as error:
            raise BundleCorrupt(f"{path / MANIFEST}: drift: {_short(error)}") from None


def _make_tables(path: Path, model: Model) -> None:
    try:
        _ = model.trees.program
    except BundleUnsupported as error:
        raise BundleUnsupported(f"{path / MODEL}: {error}") from None


def _short(text: object) -> str:
    shown = str(text)[:_MOST_SHOWN]
    return shown if shown.isprintable() else repr(shown)
