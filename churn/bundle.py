"""A model bundle on disk: write, verify, load.

A bundle is a folder. `manifest.json` names every other file with its SHA-256; nothing is parsed
before the bytes read have that digest, and what is parsed is those bytes. Where keys are trusted
(`churn.signing`), the manifest itself is not parsed before its signature holds. The digests tell
that the bytes are the published ones; `churn.model` and `churn.golden` check that they are a model.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from churn import bundle_files
from churn.bundle_files import GOLDEN, MANIFEST, MODEL
from churn.drift import Reference
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.golden import check_golden, golden_bytes
from churn.manifest import FileEntry, Manifest
from churn.model import Model, model_bytes, parse_model
from churn.signing import SIGNATURE, SigningKey, TrustedKeys

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
    "write",
]

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
        bundle_files.write_durably(folder / name, content)
        entries[name] = FileEntry(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    complete = manifest.model_copy(update={"files": entries})
    raw = (complete.model_dump_json(indent=1) + "\n").encode()
    bundle_files.write_durably(folder / MANIFEST, raw)
    if signing is not None:
        bundle_files.write_durably(folder / SIGNATURE, signing.sign(raw))
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
    manifest, files, digest = bundle_files.read_verified(path, trusted, version, passed)
    model = parse_model(path / MODEL, files[MODEL], passed)
    _check_agreement(path, manifest, model)
    passed("agreement")
    _make_tables(path, model)
    passed("tables")
    check_golden(path / GOLDEN, files[GOLDEN], model)
    passed("golden")
    return Bundle(manifest, model, digest)


def read_manifest(path: Path) -> Manifest:
    """What a bundle says of itself, its files unread: to tell people, never to score with.

    Raises
    ------
    BundleNotFound
        No such folder or no manifest in it.
    BundleCorrupt, BundleUnsupported
        The manifest is none, or of another format.
    """
    with bundle_files.opened(path) as folder:
        return bundle_files.parse_manifest(path, bundle_files.raw_manifest(folder))


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
    with bundle_files.opened(path) as folder:
        raw = bundle_files.raw_manifest(folder)
    if hashlib.sha256(raw).hexdigest() != sha256:
        raise BundleCorrupt(f"{path / MANIFEST} changed while it was to be signed")
    return signing.sign(raw)


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
            raise BundleCorrupt(f"{path / MANIFEST}: drift: {bundle_files.short(error)}") from None


def _make_tables(path: Path, model: Model) -> None:
    try:
        _ = model.trees.program
    except BundleUnsupported as error:
        raise BundleUnsupported(f"{path / MODEL}: {error}") from None
