"""A folder for the work of one command, which the next run removes if this one is killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """Make a temporary folder, and remove those of the same prefix that nobody works in any more.

    A lock on a file beside the folder says that somebody does: it ends with the process, however
    that ends.

    Parameters
    ----------
    prefix : str
        What the folders' names begin with.
    """
    try:
        import fcntl
    except ImportError:  # no such locks: the system's own sweeping has to do
        with tempfile.TemporaryDirectory(prefix=prefix) as made:
            yield Path(made)
        return

    def locked(path: Path) -> int | None:
        """Open and lock a file; None where another process has it."""
        try:
            lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        except OSError:
            pass
        os.close(lock)
        return None

    def removed(path: Path, lock: int) -> None:
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        path.unlink(missing_ok=True)
        os.close(lock)

    root = Path(tempfile.gettempdir())
    for left in root.glob(f"{prefix}*.lock"):
        lock = locked(left)
        if lock is not None:
            removed(left, lock)
    lock = None
    while lock is None:
        mine = root / f"{prefix}{uuid4().hex}.lock"
        lock = locked(mine)
    folder = mine.with_suffix("")
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        removed(mine, lock)
