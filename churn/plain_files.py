"""Reading files that a stranger may have put there: plain ones only, and never more than told.

A link leads out of the folder, a pipe never ends, a device may do anything, and what was looked at
before it was opened may be another file by then. So a file is opened first, without following a
link and without waiting, then looked at, and what is read is what was opened.
"""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from churn.errors import BundleCorrupt

_PIECE = 1 << 20
_PLAINLY = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Folder:
    """An open folder: its files are found in it even if its name comes to mean another one.

    Parameters
    ----------
    path : Path
        May lie behind links; must not be one itself.

    Raises
    ------
    BundleCorrupt
        It is a link.
    FileNotFoundError, NotADirectoryError
        There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._handle = os.open(path, _PLAINLY | os.O_DIRECTORY)
        except OSError:
            if path.is_symlink():
                raise BundleCorrupt(
                    f"{path} is a link, which may lead anywhere; put the folder itself there"
                ) from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def names(self) -> set[str]:
        """What lies in the folder, of whatever kind."""
        return set(os.listdir(self._handle))

    def read(self, name: str, most: int) -> bytes:
        """The content of a file.

        Parameters
        ----------
        name : str
            One of `names`; a path is none.
        most : int
            Bytes that it may have.

        Raises
        ------
        BundleCorrupt
            It is no plain file, or a larger one.
        FileNotFoundError
            There is none.
        """
        file = self.path / name
        if os.path.basename(name) != name or name in ("", ".", ".."):
            raise BundleCorrupt(f"{file} does not lie in its folder")
        try:
            handle = os.open(name, _PLAINLY, dir_fd=self._handle)
        except FileNotFoundError:
            raise
        except OSError:
            # A link or a socket; of what may not be read, the system's own words say more.
            if stat.S_ISREG(os.stat(name, dir_fd=self._handle, follow_symlinks=False).st_mode):
                raise
            raise _not_plain(file) from None
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise _not_plain(file)
            if found.st_size > most:
                raise _too_large(file, most)
            content = bytearray()
            # It may still be growing.
            while part := os.read(handle, min(most + 1 - len(content), _PIECE)):
                content += part
        finally:
            os.close(handle)
        if len(content) > most:
            raise _too_large(file, most)
        return bytes(content)


def _not_plain(file: Path) -> BundleCorrupt:
    return BundleCorrupt(f"{file} is not a plain file; publish the bundle again")


def _too_large(file: Path, most: int) -> BundleCorrupt:
    return BundleCorrupt(f"{file} is larger than {most:,} bytes, which none of its kind is")
