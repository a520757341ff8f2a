"""Taking one customer out of a job: of its finished results, or of its input while it waits.

Nobody may be working on the job meanwhile. A kill leaves the file as it was or as it is to be, and
taking out again what is gone already is harmless.
"""

import csv
import mmap
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from churn.sheets import harmless
from service.jobs.counting import counted
from service.jobs.csv_in import Records, header
from service.jobs.files import BLOCK, NEW, replacing, room_in
from service.jobs.job import Job, JobFailed, Limits, Removed, input_path, results_path
from service.jobs.named_columns import CUSTOMER
from service.jobs.pinned import unpin
from service.jobs.prepared import identifier
from service.jobs.rows_in import arrow, lines
from service.jobs.run import PARTS
from service.jobs.sent import Place
from service.problems import Problem
from service.validation import FIELD_NAMES, parse

_LONGEST_ANSWER = 1 << 30
"""Longer than any: our own lines are taken as they are."""

Span = tuple[int, int]
"""Where a row begins and ends in a file, bytes."""


def without(folder: Path, job: Job, customer_id: str) -> Removed:
    """Take a customer's rows out of finished results.

    Parameters
    ----------
    folder, job
        The job's.
    customer_id : str
        Whose rows.

    Returns
    -------
    Removed
        How many rows went, and what the results are now.

    Raises
    ------
    JobFailed
        There is no room for the new file beside the old one.
    """
    results = results_path(folder, job)
    _forget_work(folder)
    input_path(folder).unlink(missing_ok=True)
    unpin(folder)
    with room_in(folder.parent):
        if job.results_format == "parquet":
            # Left as they are where nobody is to go, to the last byte.
            there = _parquet().holds(results, customer_id)
            removed: int = _parquet().rewrite(results, customer_id) if there else 0
        elif job.results_format == "csv":
            removed = _leave_out(results, list(_records(results, harmless(customer_id), Limits())))
        else:
            found = _lines(results, b"", _answered(customer_id), _LONGEST_ANSWER)
            removed = _leave_out(results, list(found))
    return Removed(removed, counted(results, job.results_format))


def input_without(
    folder: Path,
    job: Job,
    customer_id: str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> int:
    """Take a customer out of the input of a job that is not finished, which then starts anew.

    What cannot be read but holds the identifier's text goes too.

    Parameters
    ----------
    folder, job
        The job's.
    customer_id : str
        Whose rows.
    limits : Limits, optional
        Of the run: a longer line cannot be read.

    Returns
    -------
    int
        How many rows went; where none did, the work that is done is kept.

    Raises
    ------
    JobFailed
        There is no room for the new file beside the old one.
    """
    path = input_path(folder)
    with room_in(folder.parent):
        if not _holds_rows(path, job, customer_id, limits):
            return 0
        # First of all, for parts must not be taken for those of the new input.
        _forget_work(folder)
        if job.input_format == "parquet":
            removed: int = _parquet().rewrite(path, customer_id)
            return removed
        return _leave_out(path, list(_spans(path, job, customer_id, limits)))


def is_in_input(
    folder: Path,
    job: Job,
    customer_id: str,
    limits: Limits = Limits(),  # noqa: B008 - immutable
) -> bool:
    """Whether a customer is in the input of a job; somebody may be working on it meanwhile.

    Raises
    ------
    FileNotFoundError
        The input is gone: the job has come to its end.
    """
    return _holds_rows(input_path(folder), job, customer_id, limits)


def _holds_rows(path: Path, job: Job, customer_id: str, limits: Limits) -> bool:
    if job.input_format == "parquet":
        with path.open("rb"):  # a file that is gone is not one that cannot be read
            there: bool = _parquet().holds(path, customer_id)
        return there
    return any(True for _ in _spans(path, job, customer_id, limits))


def _spans(path: Path, job: Job, customer_id: str, limits: Limits) -> Iterator[Span]:
    """The customer's rows in an input of text."""
    if job.input_format == "csv":
        return _records(path, customer_id, limits)
    return _lines(path, customer_id.encode(), _sent(customer_id), limits.line_bytes)


def _parquet() -> Any:
    return arrow("service.jobs.parquet_erasure")


def _forget_work(folder: Path) -> None:
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    for unfinished in folder.glob(f"*{NEW}"):
        unfinished.unlink()


def _leave_out(path: Path, doomed: list[Span]) -> int:
    """Leave spans out of a file; return how many there were."""
    if doomed:
        with path.open("rb") as old, replacing(path) as new:
            at = 0
            for begin, end in [*doomed, (path.stat().st_size, 0)]:
                old.seek(at)
                _copy(old, new, begin - at)
                at = end
    return len(doomed)


def _copy(old: BinaryIO, new: BinaryIO, size: int) -> None:
    while size > 0:
        block = old.read(min(size, BLOCK))
        new.write(block)
        size -= len(block)


def _holds(path: Path, span: Span, text: bytes) -> bool:
    """Whether a part of a file, however long, has a text in it."""
    begin, end = span
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return whole.find(text, begin, end) >= 0


def _lines(
    path: Path, text: bytes, is_theirs: Callable[[bytes], bool], most: int
) -> Iterator[Span]:
    """The lines of an NDJSON file that are a customer's, and longer ones that hold `text`."""
    at = 0
    with path.open("rb") as handle:
        for line, length in lines(handle, most):
            span = at, at + length
            if _holds(path, span, text) if line is None else is_theirs(line):
                yield span
            at += length


def _answered(customer_id: str) -> Callable[[bytes], bool]:
    text = orjson.dumps(customer_id)
    # As we write them ourselves, each customer in one way only.
    return lambda line: text in line and orjson.loads(line)[CUSTOMER] == customer_id


def _sent(customer_id: str) -> Callable[[bytes], bool]:
    text = customer_id.encode()

    def is_theirs(line: bytes) -> bool:
        there = text in line
        if not there and b"\\" not in line:
            return False
        try:
            value = parse(line, FIELD_NAMES)
        except Problem:
            return there or _loosely(line) == customer_id
        named = identifier(value)
        return there if named is None else named == customer_id

    return is_theirs


def _loosely(line: bytes) -> Any:
    """The customer of a line that is refused, such as for a key that it has twice."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value.get(CUSTOMER) if isinstance(value, dict) else None


def _records(path: Path, customer_id: str, limits: Limits) -> Iterator[Span]:
    """The records of a CSV file that are a customer's; what cannot be read, if they are in it."""
    text = customer_id.encode()
    at = 0
    with path.open("rb") as handle:
        records = Records(handle, Place(), limits)
        try:
            names = header(records)
            place = names.index(CUSTOMER)
            at = records.byte
            while (cells := _next(records)) is not None:
                if len(cells) == len(names):
                    theirs = cells[place] == customer_id
                else:
                    theirs = any(text in raw for raw in records.raw)
                if theirs:
                    yield at, records.byte
                at = records.byte
        except (JobFailed, ValueError):
            rest = at, path.stat().st_size
            if _holds(path, rest, text):
                yield rest


def _next(records: Records) -> list[str] | None:
    try:
        return records.next()
    except csv.Error:
        return []
