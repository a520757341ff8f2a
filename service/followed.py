"""Files that are followed: read at the start, read again when they change.

A change that cannot be used leaves in force what was there before, as a broken model does.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import Counter

from churn.errors import KeepwellError
from service.metrics import ByLabels

T = TypeVar("T")

_Signature = tuple[int, int, int] | None


class Followed(Generic[T]):
    """One file.

    Parameters
    ----------
    path : Path
        Where it is.
    read : callable
        Reads and checks it; raises a `KeepwellError` that says what is wrong.
    reloads : counter by result
        Told of every attempt, ``ok`` or ``error``.
    complain : callable
        Told in words what is wrong with a change, once for each.

    Raises
    ------
    KeepwellError
        The file cannot be used.

    Attributes
    ----------
    first : object
        What was read at the start.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], T],
        reloads: ByLabels[Counter],
        complain: Callable[[str], None],
    ) -> None:
        self._path = path
        self._read = read
        self._reloads = reloads
        self._complain = complain
        self._seen = _signature(path)
        self.first = read(path)
        reloads["ok"].inc()
        reloads["error"].inc(0)  # a rise can only be told from what was there before

    def changed(self) -> T | None:
        """Read the file if it has changed; None where it has not, or cannot be used.

        Never raises.
        """
        signature = _signature(self._path)
        if signature == self._seen:
            return None
        try:
            found = self._read(self._path)
        except Exception as error:
            self._seen = signature
            self._reloads["error"].inc()
            self._complain(str(error) if isinstance(error, KeepwellError) else type(error).__name__)
            return None
        if _signature(self._path) != signature:
            return None  # it was being written: next time
        self._seen = signature
        self._reloads["ok"].inc()
        return found


def _signature(path: Path) -> _Signature:
    """What changes whenever the file does; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
