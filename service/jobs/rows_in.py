"""Reading a list of any length, a chunk of rows at a time."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from churn.scoring import Scorer
from service.jobs.csv_in import CsvReader
from service.jobs.job import Job, JobFailed, Limits, input_path
from service.jobs.sent import Chunk, Place, Reader, Row
from service.validation import line_too_long

NEEDS_ARROW = (
    "Parquet is not installed on this server; its operator adds it by `pip install "
    "'keepwell[arrow]'`; send and ask for NDJSON or CSV meanwhile"
)

_MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "compressed with gzip",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"ARROW1": "an Arrow file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def open_list(folder: Path, job: Job, scorer: Scorer, limits: Limits) -> Reader:
    """Make the reader of a job's input.

    Raises
    ------
    JobFailed
        It is not of the declared format, or has a column that nobody knows.
    """
    path = input_path(folder)
    if job.input_format == "parquet":
        reader: Reader = arrow("service.jobs.parquet_in").ParquetReader(path, job, scorer)
        return reader
    refuse_other_formats(path, job.input_format)
    if job.input_format == "csv":
        return CsvReader(path, scorer.rows.inputs, limits)
    return NdjsonReader(path, limits)


def arrow(module: str) -> Any:
    """Import a module that needs the `arrow` extra.

    Raises
    ------
    JobFailed
        It is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise JobFailed(NEEDS_ARROW) from None


def refuse_other_formats(path: Path, declared: str) -> None:
    """Refuse an input that begins as no text does.

    Raises
    ------
    JobFailed
        The message says what it looks like.
    """
    with path.open("rb") as handle:
        head = handle.read(4096)
    looks = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if looks is None and b"\0" in head:
        looks = "binary"
    if looks is None and declared == "ndjson" and head.lstrip()[:1] == b"[":
        looks = "a JSON array"
    if looks is not None:
        raise JobFailed(
            f"the input is not {declared.upper()}: it looks like {looks}; send plain UTF-8 text "
            "with a customer per line, or name the format that it has"
        )


class NdjsonReader:
    """Reads a customer from each line, as a line of an NDJSON batch.

    Parameters
    ----------
    path : Path
        The list.
    limits : Limits
        A longer line is refused by itself, and skipped without being held in memory.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._most = limits.line_bytes

    def chunks(self, start: Place, size: int) -> Iterator[Chunk]:
        """The rest of the list from a place on, `size` rows at a time."""
        with self._path.open("rb") as handle:
            handle.seek(start.byte)
            place, rows = start, list[Row]()
            for line, length in lines(handle, self._most):
                rows.append(self._row(line))
                place = Place(place.rows + 1, place.byte + length, place.line + 1)
                if len(rows) == size:
                    yield Chunk(rows, place)
                    rows = []
            if rows:
                yield Chunk(rows, place)

    def _row(self, line: bytes | None) -> Row:
        if line is None:
            return Row(None, line_too_long(self._most))
        return Row(line)


def lines(handle: BinaryIO, most: int) -> Iterator[tuple[bytes | None, int]]:
    """Each line without its break, None if it is longer than `most` bytes, and its whole length.

    Blanks after the last line break are no line, as in `service.batch.lines`.
    """
    while True:
        line = handle.readline(most + 1)
        length = len(line)
        if not line.endswith(b"\n"):
            if length <= most:  # the end of the list
                if line.strip(b" \t\r"):
                    yield line, length
                return
            while line and not line.endswith(b"\n"):
                line = handle.readline(most + 1)
                length += len(line)
            yield None, length
            continue
        yield line[:-1], length
