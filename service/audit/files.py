"""Lines on their way to the audit log: a file a day, written beside the requests.

Lines wait in memory for half a second at most and then go to the system in one write, at the end
of the file: several processes may share it. Where that fails they wait, and the service goes on;
what does not fit any more is lost, and counted.
"""

import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from churn.errors import ConfigError
from churn.events import MICROSECONDS_PER_DAY
from service import instants, logs
from service.metrics import Metrics

MOST_WAITING = 100_000
"""Lines that may wait, some 50 MB, beside those that are being written."""

_ONLY_OWNER = 0o600
_logger = logging.getLogger(f"{logs.ROOT}.audit")
_log = logs.Sparing(_logger)


class AuditFiles:
    """The files of one audit log.

    Parameters
    ----------
    path : Path
        ``audit.jsonl`` stands for ``audit-2026-11-22.jsonl`` and the like: one for each day in UTC.
    keep_days : int
        For how many days a file is kept after its own.
    metrics : Metrics
        Told of lines.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.

    Raises
    ------
    ConfigError
        Nothing can be written there.
    """

    def __init__(
        self, path: Path, keep_days: int, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        self._path = path
        self._keep_days = keep_days
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[bytes] = deque()
        self._block = b""
        self._written = 0
        self._is_torn = False
        self._handle = -1
        self._lock = threading.Lock()
        metrics.audit_lines["lost"].inc(0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open_day()
        except OSError as error:
            raise ConfigError(
                f"KEEPWELL_AUDIT_FILE: {path} cannot be written: {error.strerror}"
            ) from None

    def add(self, line: bytes) -> None:
        """Take a line, from any thread."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(line)
        else:
            self._metrics.audit_lines["lost"].inc()

    def flush(self) -> None:
        """Write what waits. Never raises."""
        with self._lock:
            try:
                self._open_day()
                while self._block or self._waiting:
                    self._write()
            except OSError as error:
                self._metrics.audit_write_failures.inc()
                _log.warning(
                    f"the audit log cannot be written: {error.strerror}; its lines wait, and are "
                    f"lost from {MOST_WAITING} on"
                )

    def close(self) -> None:
        """Write what waits, and end; what cannot be written now is lost."""
        self.flush()
        with self._lock:
            lost = len(self._waiting) + self._block.count(b"\n", self._written)
            if lost:
                _logger.error("%d lines of the audit log are lost", lost)
            os.close(self._handle)
            self._handle = -1

    def _write(self) -> None:
        """Write a block of lines, or what is left of it."""
        if not self._block:
            self._block = b"".join([self._waiting.popleft() for _ in range(len(self._waiting))])
        if self._is_torn:
            os.write(self._handle, b"\n")
            self._is_torn = False
        block = memoryview(self._block)
        while self._written < len(block):
            self._written += os.write(self._handle, block[self._written :])
        self._metrics.audit_lines["written"].inc(self._block.count(b"\n"))
        self._block, self._written = b"", 0

    def _open_day(self) -> None:
        """Go on in today's file, anew where somebody took it away; remove those too old."""
        day = self._clock() // MICROSECONDS_PER_DAY
        today = instants.day_text(day)
        path = self._path.with_name(f"{self._path.stem}-{today}{self._path.suffix}")
        if self._handle >= 0 and _is_same(path, self._handle):
            return
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, _ONLY_OWNER)
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = handle
        # A line of which the file before has a part is told whole by this one.
        self._written = self._block.rfind(b"\n", 0, self._written) + 1
        size = os.fstat(handle).st_size
        # After a line that a full disk or a kill cut short, ours begins on another.
        self._is_torn = bool(size) and os.pread(handle, 1, size - 1) != b"\n"
        self._remove_before(instants.day_text(day - self._keep_days))

    def _remove_before(self, first: str) -> None:
        stem, suffix = re.escape(self._path.stem), re.escape(self._path.suffix)
        for path in self._path.parent.iterdir():
            found = re.fullmatch(rf"{stem}-([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){suffix}", path.name)
            if found and found[1] < first:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    _log.warning(
                        f"{path.name}, which is older than KEEPWELL_AUDIT_KEEP_DAYS says, cannot "
                        f"be removed: {error.strerror}"
                    )


def _is_same(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
