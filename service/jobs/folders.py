"""Where the files of jobs lie, and how they come and go without halves.

::

    JOBS_DIR/
    ├── <job_id>/                a job that the store has a row of
    │   ├── input                as it was sent
    │   ├── policy.json          what may be done about customers, as it was then
    │   ├── parts/               finished chunks
    │   └── results.<format>     the whole, once there
    ├── .incoming/
    │   ├── <job_id>/input       being received
    │   └── <job_id>.lock        held by the process that receives it
    └── .working/<job_id>        held by whoever works on it, or takes a person out of it

A lock ends with its process, however that ends. So whoever finds a lock free knows that nobody
receives that job any more, without a clock.
"""

import contextlib
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

INPUT, PARTS = "input", "parts"
JOB_ID = re.compile(r"[0-9a-f]{32}")

_INCOMING = ".incoming"
_WORKING = ".working"
_LOCK = ".lock"
_DOOMED = ".doomed-"


class Folders:
    """The files of all jobs.

    Parameters
    ----------
    root : Path
        ``JOBS_DIR``; made when the first job comes.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / _INCOMING

    def of(self, job_id: str) -> Path:
        """The folder of a job."""
        return self.root / job_id

    def results(self, job_id: str, results_format: str) -> Path:
        """The finished results of a job."""
        return self.root / job_id / f"results.{results_format}"

    def incoming(self, job_id: str) -> Path:
        """The folder of a job that is being received."""
        return self._incoming / job_id

    def begin(self, job_id: str) -> int:
        """Make the folder that a job is received in; until `end` others see that it is.

        Returns
        -------
        int
            What `end` wants back.

        Raises
        ------
        OSError
            The disk is full, or the folder cannot be written.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        handle = _locked(self._incoming / (job_id + _LOCK))
        try:
            self.incoming(job_id).mkdir()
        except BaseException:
            self.end(job_id, handle)
            raise
        return handle

    def end(self, job_id: str, handle: int) -> None:
        """Remove what was not accepted; whoever waits for the job's key may have it."""
        shutil.rmtree(self.incoming(job_id), ignore_errors=True)
        (self._incoming / (job_id + _LOCK)).unlink(missing_ok=True)
        os.close(handle)

    def is_receiving(self, job_id: str) -> bool:
        """Whether some process still receives a job."""
        try:
            handle = os.open(self._incoming / (job_id + _LOCK), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not _take(handle)
        finally:
            os.close(handle)

    def accept(self, job_id: str) -> None:
        """Put a received job, whose input is on disk, in its place; it stays there over a crash."""
        folder = self.incoming(job_id)
        sync(folder)
        folder.rename(self.of(job_id))
        sync(self.root)
        sync(self.root.parent)  # the root itself may be new

    @contextlib.contextmanager
    def working(self, job_id: str, *, alone: bool = False) -> Iterator[bool]:
        """Hold a job's files while they are worked on; whether that is granted.

        Parameters
        ----------
        alone : bool, optional
            Only while nobody else does, and nobody else meanwhile: workers of one job make the
            same bytes and may be several, who changes its input must not be.
        """
        path = self.root / _WORKING / job_id
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held = _take(handle, kind)
            if not held or _is_at(path, handle):
                break
            os.close(handle)  # whoever left last has removed it
        try:
            yield held
        finally:
            if held and _take(handle):
                path.unlink(missing_ok=True)
            os.close(handle)

    def remove(self, job_id: str) -> None:
        """Remove everything of a job; gone at once for whoever still works in it.

        Raises
        ------
        OSError
            Something of it could not be removed.
        """
        folder, doomed = self.of(job_id), self.root / (_DOOMED + job_id)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(doomed)
        _remove(doomed)

    def remove_parts(self, job_id: str) -> None:
        """Make room: remove the finished chunks of a job that will not be finished."""
        shutil.rmtree(self.of(job_id) / PARTS, ignore_errors=True)

    def accepted(self) -> dict[str, float]:
        """Jobs that have a folder, and how old in seconds its making is."""
        now = time.time()
        found = {}
        for entry in _entries(self.root):
            with contextlib.suppress(FileNotFoundError):
                if JOB_ID.fullmatch(entry.name):
                    found[entry.name] = now - entry.stat().st_mtime
        return found

    def remove_abandoned(self) -> int:
        """Remove what a killed process left half received or half removed; return how many."""
        removed = 0
        for entry in _entries(self.root):
            if entry.name.startswith(_DOOMED):
                _remove(Path(entry.path))
                removed += 1
        names = {entry.name.removesuffix(_LOCK) for entry in _entries(self._incoming)}
        for job_id in names:
            if not self.is_receiving(job_id):
                _remove(self.incoming(job_id))
                (self._incoming / (job_id + _LOCK)).unlink(missing_ok=True)
                removed += 1
        return removed


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked(path: Path) -> int:
    """Make a lock file and hold it."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        held = _take(handle)
        # Between the two calls somebody may have taken it for abandoned, and removed it.
        if held and _is_at(path, handle):
            return handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Whether an open file still has its name."""
    try:
        return os.stat(path).st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False


def _take(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
