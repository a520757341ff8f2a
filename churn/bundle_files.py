"""The files of a bundle: written to last, and read without believing a byte of them.

Bytes are believed as far as the manifest's digests go, and the manifest as far as its signature
does, where keys are trusted. What is in the files is for `churn.bundle` to look at.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from churn.errors import BundleCorrupt, BundleNotFound, BundleUnsupported, BundleUntrusted
from churn.manifest import FORMAT_VERSION, FileEntry, Manifest
from churn.plain_files import Folder
from churn.signing import SIGNATURE, BadSignature, TrustedKeys

MANIFEST = "manifest.json"
MODEL = "model.joblib"
GOLDEN = "golden.json"
_MOST_BYTES = {MANIFEST: 4_000_000, SIGNATURE: 1_000, MODEL: 256_000_000, GOLDEN: 16_000_000}
_MOST_OTHER_BYTES = 64_000_000  # a report or a card for people
_MOST_SHOWN = 200


def write_durably(file: Path, content: bytes) -> None:
    """Write a file and flush it to disk."""
    with file.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def opened(path: Path) -> Folder:
    """The folder of a bundle, to be read from.

    Raises
    ------
    BundleNotFound, BundleCorrupt
        There is none, or a link.
    """
    try:
        return Folder(path)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleNotFound(f"no model bundle at {path}") from None


def raw_manifest(folder: Folder) -> bytes:
    """The bytes of its manifest.

    Raises
    ------
    BundleNotFound, BundleCorrupt
        There is none, or no plain file.
    """
    try:
        return folder.read(MANIFEST, _MOST_BYTES[MANIFEST])
    except FileNotFoundError:
        raise BundleNotFound(f"no model bundle at {folder.path} ({MANIFEST} is missing)") from None


def read_verified(
    path: Path,
    trusted: TrustedKeys | None,
    version: str | None,
    passed: Callable[[str], None],
) -> tuple[Manifest, dict[str, bytes], str]:
    """The manifest, the files that score, and the manifest's digest.

    Parameters
    ----------
    path, trusted, version, passed
        As in `churn.bundle.load`.

    Raises
    ------
    BundleNotFound, BundleUntrusted, BundleCorrupt, BundleUnsupported
        As there.
    """
    with opened(path) as folder:
        passed("folder")
        raw = raw_manifest(folder)
        if trusted is not None:
            _check_signature(folder, raw, trusted)
            passed("signature")
        manifest = parse_manifest(path, raw)
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
            raise BundleCorrupt(f"{path}/{short(name)} is missing; publish the bundle again")
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


def parse_manifest(path: Path, raw: bytes) -> Manifest:
    """What the bytes of the manifest in this folder say.

    Raises
    ------
    BundleCorrupt, BundleUnsupported
        It is none, or of another format.
    """
    try:
        content = json.loads(raw, object_pairs_hook=_object, parse_constant=_constant)
        version = content.get("format_version") if isinstance(content, dict) else None
        if version is not None and version != FORMAT_VERSION:
            raise BundleUnsupported(
                f"{path / MANIFEST} has format {short(version)}, this Keepwell reads "
                f"{FORMAT_VERSION}; train again with this version"
            )
        return Manifest.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BundleCorrupt(f"{path / MANIFEST}: {short(where)}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise BundleCorrupt(f"{path / MANIFEST} is not JSON: {short(error)}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice in one object")  # readers differ in which they take
    return made


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def short(text: object) -> str:
    """As much of a text of anybody's as a message may show, in one line."""
    shown = str(text)[:_MOST_SHOWN]
    return shown if shown.isprintable() else repr(shown)
