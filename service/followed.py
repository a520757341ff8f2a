"""Files that are followed: read at the start, read again when they change.

A change that cannot be used leaves in force what was there before and is tried again now and then,
as a broken model is: what was wrong need not be in the file, such as who may read it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from churn.errors import KeepwellError
from service.metrics import ByLabels, Counter
from service.patience import Patience

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
        Told in words what is wrong with a change, each time that it is tried.

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
        self._patience = Patience()
        self._in_force = _signature(path)
        self.first = read(path)
        reloads["ok"].inc()
        reloads["error"].inc(0)  # a rise can only be told from what was there before

    def changed(self) -> T | None:
        """Read the file if it has changed; None where it has not, or cannot be used.

        Never raises.
        """
        signature = _signature(self._path)
        if signature == self._in_force or self._patience.waits(signature):
            return None
        try:
            found = self._read(self._path)
        except Exception as error:
            self._patience.refused(signature)
            self._reloads["error"].inc()
            self._complain(str(error) if isinstance(error, KeepwellError) else type(error).__name__)
            return None
        if _signature(self._path) != signature:
            return None  # it was being written: next time
        self._in_force = signature
        self._reloads["ok"].inc()
        return found


def text_of(path: Path, error: type[KeepwellError], hint: str) -> str:
    """Read a file that somebody wrote.

    Parameters
    ----------
    path : Path
        Where it is.
    error : type
        What is raised where it cannot be read, with words that name it.
    hint : str
        What to do where there is none.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{path}: no such file; {hint}") from None
    except UnicodeDecodeError as wrong:
        raise error(f"{path}: not UTF-8 text (byte {wrong.start})") from None
    except OSError as wrong:
        raise error(f"{path}: cannot be read: {wrong.strerror}") from None


def _signature(path: Path) -> _Signature:
    """What changes whenever the file does; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
