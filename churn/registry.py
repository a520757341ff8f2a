"""Versions of the model on disk: publish, promote, roll back.

A registry is a folder with one bundle per version and a text file `current`: its first line is
the promoted version, the lines below are those promoted before it, latest first. A file `shadow`
names a version that is scored beside it. Every change is a write to a temporary name, a flush to
disk and a rename, so a reader never sees half of one.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from churn import bundle, bundle_files
from churn.errors import BundleCorrupt, BundleNotFound, ConfigError, ModelError
from churn.manifest import VERSION, Manifest
from churn.plain_files import Folder
from churn.signing import Keys

CURRENT, SHADOW = "current", "shadow"
_WRITES = {CURRENT: "promote", SHADOW: "shadow"}
_REMEMBERED = 50
_MOST_POINTER_BYTES = 65_536
_PUBLISHING, _POINTING = ".publishing-", ".current-"
_ABANDONED_SECONDS = 86_400.0


class Registry:
    """The model versions in one folder.

    Parameters
    ----------
    root : Path
        The folder, such as ``models``; created when something is published.
    keys : Keys, optional
        Whose bundles are trusted, and what is published is signed with; by default nobody need
        have signed anything.
    """

    def __init__(self, root: Path, keys: Keys | None = None) -> None:
        self.root = root
        self.keys = keys or Keys()

    def versions(self) -> list[str]:
        """Published versions, oldest first; a link to a folder is none."""
        try:
            with os.scandir(self.root) as entries:
                return sorted(
                    entry.name
                    for entry in entries
                    if VERSION.fullmatch(entry.name)
                    and entry.is_dir(follow_symlinks=False)
                    and os.path.lexists(os.path.join(entry.path, bundle.MANIFEST))
                )
        except (FileNotFoundError, NotADirectoryError):
            return []

    def current(self) -> str | None:
        """The promoted version, or None before the first promotion.

        Raises
        ------
        BundleCorrupt
            The file `current` is no plain one, or names no version.
        """
        promoted = self._promoted()
        return promoted[0] if promoted else None

    def shadow(self) -> str | None:
        """The version that is scored beside the current one, if any.

        Raises
        ------
        BundleCorrupt
            The file `shadow` is no plain one, or names no version.
        """
        named = self._pointed(SHADOW)
        return named[0] if named else None

    def path(self, version: str) -> Path:
        """The folder of a published version.

        Raises
        ------
        BundleNotFound
            No such version; the message names those there are.
        BundleCorrupt
            A link stands in its place.
        """
        known = self.versions()
        if version in known:
            return self.root / version
        if VERSION.fullmatch(version) and (self.root / version).is_symlink():
            raise BundleCorrupt(
                f"{self.root / version} is a link, which may lead anywhere; put the folder itself "
                "there"
            )
        there = ", ".join(known[-5:]) or "none; run `keepwell train` first"
        raise BundleNotFound(f"no model version {version} in {self.root} (there are: {there})")

    def load(
        self, version: str, passed: Callable[[str], None] = lambda check: None
    ) -> bundle.Bundle:
        """Verify a published version and make it ready to score.

        Parameters
        ----------
        version : str
            Its name.
        passed : callable, optional
            As in `churn.bundle.load`.

        Raises
        ------
        ModelError
            As `path` and `churn.bundle.load`.
        """
        return bundle.load(self.path(version), self.keys.trusted, version, passed)

    def check_writable(self) -> None:
        """Refuse a folder that nothing can be published in, before any work is done for it.

        Raises
        ------
        ConfigError
            It, or the nearest folder above it that exists, is a file or may not be written; or
            what is published could not be promoted for want of a trusted key.
        """
        self.keys.check()
        existing = next(
            path for path in (self.root, *self.root.absolute().parents) if path.exists()
        )
        if not existing.is_dir():
            raise ConfigError(f"{existing}: a file stands where the models' folder should be")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigError(f"{existing}: no permission to publish models there")

    def publish(self, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
        """Write a bundle so that it appears whole or not at all; it is not promoted yet.

        Raises
        ------
        BundleCorrupt
            The version exists already.
        ModelError
            It cannot be written: the disk is full, perhaps. Nothing of it is left, or else it is
            there and the disk did not confirm it, and the message says so.
        """
        target = self.root / manifest.model_version
        if os.path.lexists(target):
            raise BundleCorrupt(f"{target} exists already; versions are never overwritten")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._clear()
            folder = Path(tempfile.mkdtemp(prefix=_PUBLISHING, dir=self.root))
            try:
                bundle.write(folder, manifest, files, self.keys.signing)
                folder.chmod(0o755)
                _sync_folder(folder)
                folder.rename(target)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except OSError as error:
            raise ModelError(
                f"{target} cannot be published: {error.strerror}; nothing of it is left"
            ) from error
        _confirm(self.root, f"{target} is published")
        return target

    def sign(self, version: str) -> None:
        """Sign a published version anew, after verifying all but who signed it before."""
        assert self.keys.signing is not None
        folder = self.path(version)
        found = bundle.load(folder, None, version)
        # Written beside the version's folder: whoever loads it now would refuse a file more in it.
        content = bundle.sign(folder, self.keys.signing, found.sha256)
        self._replace(folder / bundle.SIGNATURE, content)
        _confirm(folder, f"{folder} is signed")

    def promote(self, version: str) -> None:
        """Make a version the current one, after verifying it."""
        self.load(version)
        try:
            promoted = self._promoted()
        except BundleCorrupt:
            promoted = []  # a damaged pointer is mended by this
        before = [entry for entry in promoted if entry != version]
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
        self.load(promoted[1])
        self._write_current(promoted[1:])
        return promoted[1]

    def set_shadow(self, version: str | None) -> None:
        """Have a version scored beside the current one, after verifying it; None for no more."""
        if version is None:
            try:
                (self.root / SHADOW).unlink(missing_ok=True)
            except OSError as error:
                raise ModelError(
                    f"{self.root / SHADOW} cannot be removed: {error.strerror}"
                ) from error
            return
        self.load(version)
        self._point(SHADOW, [version])

    def _promoted(self) -> list[str]:
        return self._pointed(CURRENT)

    def _pointed(self, pointer: str) -> list[str]:
        try:
            with Folder(self.root.resolve()) as folder:
                content = folder.read(pointer, _MOST_POINTER_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return []
        versions = content.decode("ascii", errors="replace").split()
        if not all(VERSION.fullmatch(version) for version in versions):
            raise BundleCorrupt(
                f"{self.root / pointer} names what is no version; "
                f"`keepwell models {_WRITES[pointer]} VERSION` writes it anew"
            )
        return versions

    def _write_current(self, versions: list[str]) -> None:
        self._point(CURRENT, versions[:_REMEMBERED])

    def _point(self, pointer: str, versions: list[str]) -> None:
        self._replace(self.root / pointer, ("\n".join(versions) + "\n").encode())
        _confirm(self.root, f"{self.root / pointer} is written")

    def _replace(self, file: Path, content: bytes) -> None:
        """Write a file so that it is the old one or the new one, whole, whatever happens."""
        try:
            handle, name = tempfile.mkstemp(prefix=_POINTING, dir=self.root)
            os.close(handle)
            try:
                bundle_files.write_durably(Path(name), content)
                Path(name).chmod(0o644)
                Path(name).replace(file)
            except BaseException:
                with suppress(OSError):
                    os.unlink(name)
                raise
        except OSError as error:
            raise ModelError(
                f"{file} cannot be written: {error.strerror}; it is as it was"
            ) from error

    def _clear(self) -> None:
        """Remove what publishers left that were ended long ago."""
        before = time.time() - _ABANDONED_SECONDS
        with os.scandir(self.root) as entries:
            for entry in entries:
                with suppress(OSError):
                    left = entry.name.startswith((_PUBLISHING, _POINTING))
                    if not left or entry.stat(follow_symlinks=False).st_mtime > before:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        os.unlink(entry.path)


def _confirm(folder: Path, done: str) -> None:
    """Flush a folder in which a file or a folder was renamed, so that it keeps its new name."""
    try:
        _sync_folder(folder)
    except OSError as error:
        raise ModelError(f"{done}, but the disk did not confirm it: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
