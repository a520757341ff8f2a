"""A file that appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from churn.errors import DataError


@contextmanager
def appearing(out: Path) -> Iterator[BinaryIO]:
    """Lend a file under a temporary name; when the block ends well it is on disk and renamed.

    Raises
    ------
    DataError
        It cannot be written.
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        unfinished.replace(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
