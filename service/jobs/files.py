"""Files that are whole or not there: written beside, forced to disk, then renamed."""

import contextlib
import errno
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from service.jobs.folders import sync
from service.jobs.job import JobFailed

NEW = ".new"
"""What the name of a file ends in while it is being written."""

BLOCK = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes the place of `path` once it is whole and on disk."""
    # A name of its own: a worker that was taken for dead may still be writing the same file.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}{NEW}")
    try:
        with fresh.open("wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    sync(path.parent)


@contextlib.contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Tell in the job's words that a disk is full.

    Raises
    ------
    JobFailed
        It is.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise JobFailed(
            f"no space left in {folder}; free some there, or ask for less, and send the list again"
        ) from None


class Hashed(io.RawIOBase):
    """Counts and digests what is written through it to a file.

    Parameters
    ----------
    handle : binary file
        Written to, from its beginning.
    """

    def __init__(self, handle: BinaryIO) -> None:
        super().__init__()
        self.size = 0
        self._handle = handle
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Digest of what was written so far, hexadecimal."""
        return self._digest.hexdigest()

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: Any) -> int:
        """Write and digest."""
        self._handle.write(data)
        self._digest.update(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def tell(self) -> int:
        """How much was written."""
        return self.size
