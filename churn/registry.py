"""Versions of the model on disk: publish, promote, roll back.

A registry is a folder with one bundle per version and a text file `current`: its first line is
the promoted version, the lines below are those promoted before it, latest first. Every change is
a write to a temporary name, a flush to disk and a rename, so a reader never sees half of one.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from churn import bundle
from churn.errors import BundleCorrupt, BundleNotFound, ConfigError
from churn.manifest import Manifest

CURRENT = "current"
_REMEMBERED = 50


class Registry:
    """The model versions in one folder.

    Parameters
    ----------
    root : Path
        The folder, such as ``models``; created when something is published.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> list[str]:
        """Published versions, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self.root.iterdir()
            if not entry.name.startswith(".") and (entry / bundle.MANIFEST).is_file()
        )

    def current(self) -> str | None:
        """The promoted version, or None before the first promotion."""
        promoted = self._promoted()
        return promoted[0] if promoted else None

    def path(self, version: str) -> Path:
        """The folder of a published version.

        Raises
        ------
        BundleNotFound
            No such version; the message names those there are.
        """
        known = self.versions()
        if version not in known:
            there = ", ".join(known[-5:]) or "none; run `keepwell train` first"
            raise BundleNotFound(f"no model version {version} in {self.root} (there are: {there})")
        return self.root / version

    def check_writable(self) -> None:
        """Refuse a folder that nothing can be published in, before any work is done for it.

        Raises
        ------
        ConfigError
            It, or the nearest folder above it that exists, is a file or may not be written.
        """
        existing = next(
            path for path in (self.root, *self.root.absolute().parents) if path.exists()
        )
        if not existing.is_dir():
            raise ConfigError(f"{existing}: a file stands where the models' folder should be")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigError(f"{existing}: no permission to publish models there")

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        """Write a bundle so that it appears whole or not at all; it is not promoted yet."""
        self.root.mkdir(parents=True, exist_ok=True)
        target = self.root / manifest.model_version
        if target.exists():
            raise BundleCorrupt(f"{target} exists already; versions are never overwritten")
        folder = Path(tempfile.mkdtemp(prefix=".publishing-", dir=self.root))
        try:
            bundle.write(folder, manifest, files)
            folder.chmod(0o755)
            _sync_folder(folder)
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _sync_folder(self.root)
        return target

    def promote(self, version: str) -> None:
        """Make a version the current one, after verifying it."""
        self._verify(version)
        before = [entry for entry in self._promoted() if entry != version]
        self._write_current([version, *before])

    def rollback(self) -> str:
        """Promote the version that was current before, and return it.

        Raises
        ------
        BundleNotFound
            Nothing was promoted before the current version.
        """
        promoted = self._promoted()
        if len(promoted) < 2:
            raise BundleNotFound(f"{self.root} remembers no version before the current one")
        self._verify(promoted[1])
        self._write_current(promoted[1:])
        return promoted[1]

    def _verify(self, version: str) -> None:
        folder = self.path(version)
        named = bundle.verify(folder).model_version
        if named != version:
            raise BundleCorrupt(f"{folder} holds version {named}; give the folder that name")

    def _promoted(self) -> list[str]:
        try:
            return (self.root / CURRENT).read_text(encoding="utf-8", errors="replace").split()
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _write_current(self, versions: list[str]) -> None:
        handle, name = tempfile.mkstemp(prefix=".current-", dir=self.root)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write("\n".join(versions[:_REMEMBERED]) + "\n")
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(self.root / CURRENT)
        _sync_folder(self.root)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
