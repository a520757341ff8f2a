"""Reading a CSV list: UTF-8, a header, a customer per record."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from churn.inputs import Inputs
from service.jobs.job import JobFailed, Limits
from service.jobs.named_columns import CUSTOMER, EVENTS, Known, customer, known_columns
from service.jobs.sent import Chunk, Place, Row
from service.problems import INVALID_FIELD, FieldError, Problem, invalid_field
from service.validation import FIELD_NAMES, line_too_long, parse

_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_OTHER_SEPARATORS = ";\t|"
_OPEN_QUOTE = 16
"""A record of so many times the longest line is a quote that was never closed."""


class Records:
    """The records of a CSV file, and how far they have been read.

    Parameters
    ----------
    handle : binary file
        At the beginning of a record.
    start : Place
        Where that is.
    limits : Limits
        How long a record may be.

    Attributes
    ----------
    byte, line : int
        Bytes and lines of the file that have been read: whole records.
    first_line : int
        Line of the last record, from 1.
    raw : list of bytes
        Its lines.
    """

    def __init__(self, handle: BinaryIO, start: Place, limits: Limits) -> None:
        self.byte, self.line, self.first_line = start.byte, start.line, start.line
        self.raw: list[bytes] = []
        self._handle = handle
        self._most = _OPEN_QUOTE * limits.line_bytes
        self._size = 0
        self._is_over = False
        # Of the whole process, and only ever raised: a history in a cell is longer than usual.
        csv.field_size_limit(max(csv.field_size_limit(), self._most))
        self._reader = csv.reader(self._lines(), strict=True)

    def next(self) -> list[str] | None:
        """The cells of the next record, none of them if it is blank; None after the last.

        Raises
        ------
        csv.Error
            The record is not CSV; the next call goes on with the next line.
        JobFailed
            The file is not UTF-8 or not whole.
        """
        self.first_line = self.line + 1
        self.raw, self._size = [], 0
        try:
            return next(self._reader)
        except StopIteration:
            return None
        except csv.Error:
            if self._is_over:
                raise JobFailed(
                    f"the input ends inside a quoted cell that begins in line {self.first_line}; "
                    "it was cut short, or a quote is missing"
                ) from None
            raise

    @property
    def size(self) -> int:
        """Bytes of the last record."""
        return self._size

    def _lines(self) -> Iterator[str]:
        while True:
            raw = self._handle.readline(self._most + 1)
            if not raw:
                self._is_over = True
                return
            self._size += len(raw)
            if self._size > self._most:
                raise JobFailed(
                    f"the record in line {self.first_line} of the input is longer than "
                    f"{self._most} bytes; a quote is not closed, or lines do not end in LF"
                )
            self.byte += len(raw)
            self.line += 1
            self.raw.append(raw)
            if self.line == 1:
                raw = raw.removeprefix(_BOM)
            try:
                yield raw.decode()
            except UnicodeDecodeError:
                raise JobFailed(
                    f"line {self.line} of the input is not UTF-8; save the file as UTF-8"
                ) from None


def header(records: Records) -> list[str]:
    """The names of the columns, from the first record.

    Raises
    ------
    JobFailed
        There is none, or its columns are not separated by commas.
    """
    try:
        names = records.next()
    except csv.Error:
        names = None
    if not names:
        raise JobFailed("the input has no header: its first line must name the columns")
    if len(names) == 1 and any(sign in names[0] for sign in _OTHER_SEPARATORS):
        raise JobFailed("the columns of the input must be separated by commas")
    return names


class CsvReader:
    """Reads a customer from each record.

    Parameters
    ----------
    path : Path
        The list.
    inputs : Inputs
        The model's input columns.
    limits : Limits
        A longer record is refused by itself.

    Raises
    ------
    JobFailed
        There is no header, or a column that nobody knows.
    """

    def __init__(self, path: Path, inputs: Inputs, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        with path.open("rb") as handle:
            records = Records(handle, Place(), limits)
            self._columns = known_columns(header(records), inputs)
            self._begin = Place(0, records.byte, records.line)

    def chunks(self, start: Place, size: int) -> Iterator[Chunk]:
        """The rest of the list from a place on, `size` rows at a time."""
        place, rows = max(start, self._begin), list[Row]()
        with self._path.open("rb") as handle:
            handle.seek(place.byte)
            records = Records(handle, place, self._limits)
            while True:
                row = self._next(records)
                if row is None:
                    break
                if row is _BLANK:
                    continue
                rows.append(row)
                place = Place(place.rows + 1, records.byte, records.line)
                if len(rows) == size:
                    yield Chunk(rows, place)
                    rows = []
        if rows:
            yield Chunk(rows, place)

    def _next(self, records: Records) -> Row | None:
        try:
            cells = records.next()
        except csv.Error:
            fault = invalid_field(
                "The record is not CSV: a quote or a line break stands where none may.",
                "",
                "malformed_csv",
            )
            return Row(None, fault, records.first_line)
        if not cells:
            return None if cells is None else _BLANK
        line = records.first_line
        if records.size > self._limits.line_bytes:
            return Row(None, line_too_long(self._limits.line_bytes), line)
        columns = self._columns
        if len(cells) != len(columns.names):
            fault = invalid_field(
                f"The record has {len(cells)} cells, the header {len(columns.names)}.",
                "",
                "wrong_number_of_cells",
            )
            return Row(None, fault, line)
        try:
            return Row(from_cells(cells, columns), None, line)
        except Problem as problem:
            return Row({CUSTOMER: cells[columns.customer]}, problem, line)


_BLANK = Row(None)


def from_cells(cells: list[str], columns: Known) -> dict[str, Any]:
    """A customer as in a batch.

    Raises
    ------
    Problem
        A number or the events cannot be read.
    """
    as_of = None if columns.as_of is None else cells[columns.as_of] or None
    events = None if columns.events is None else _events(cells[columns.events])
    features: dict[str, float | str | None] = {}
    for at, name, found in columns.features:
        cell = cells[at]
        if not cell:
            features[name] = None
        elif found.is_text:
            features[name] = cell
        elif _NUMBER.fullmatch(cell):
            features[name] = float(cell)
        else:
            raise invalid_field(
                f"Column `{name}` must hold numbers with a decimal point; leave the cell empty "
                "where unknown.",
                f"/features/{name}",
                "not_a_number",
            )
    channels = None if columns.channels is None else _channels(cells[columns.channels])
    return customer(columns, cells[columns.customer], as_of, events, channels, features)


def _events(cell: str) -> Any:
    if not cell:
        return None
    try:
        return parse(cell.encode(), FIELD_NAMES)
    except Problem as problem:
        raise Problem(
            INVALID_FIELD,
            f"Column `{EVENTS}` must hold a JSON array: {problem.detail}",
            (FieldError("/events", problem.errors[0].code),),
        ) from None


def _channels(cell: str) -> list[str] | None:
    """Names with bars between them; an empty cell says that nobody was asked."""
    return [name.strip() for name in cell.split("|")] if cell else None
