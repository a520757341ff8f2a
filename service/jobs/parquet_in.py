"""Reading a Parquet list. Loaded only where pyarrow is installed.

Features alone go by columns, which is the way for millions of rows. A chunk in which a value is
wrong, and everything with events or with ids alone, goes by rows, where each is judged by itself.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from churn.scoring import Scorer
from service import instants
from service.arrow_columns import (
    channels_of,
    codes_of,
    identifiers,
    instants_of,
    is_text,
    is_texts,
    numbers_of,
)
from service.columns import Told
from service.faults import nearest
from service.jobs.job import Job, JobFailed
from service.jobs.named_columns import (
    AS_OF,
    CHANNELS,
    CUSTOMER,
    EVENTS,
    customer,
    known_columns,
)
from service.jobs.sent import Chunk, Place, Row, Table
from service.problems import Problem
from service.schemas import EventInput

_READ_BYTES = 1 << 20
_EXACT = 2.0**53
_TIMES = ("occurred_at", "known_at")
_NUMBERS = ("amount", "value", "quantity", "discount")


class ParquetReader:
    """Reads a customer from each row.

    Parameters
    ----------
    path : Path
        The list.
    job : Job
        Says what rows do not say.
    scorer : Scorer
        The model's.

    Raises
    ------
    JobFailed
        It is no Parquet file, or has a column that nobody knows or of a type that it cannot have.
    """

    def __init__(self, path: Path, job: Job, scorer: Scorer) -> None:
        self._file = opened(path)
        self._job = job
        self._rows = scorer.rows
        schema = self._file.schema_arrow
        self._columns = known_columns(schema.names, scorer.rows.inputs)
        _check_types(schema, {name for _, name, found in self._columns.features if found.is_text})
        self._by_column = self._columns.events is None and bool(self._columns.features)

    def chunks(self, start: Place, size: int) -> Iterator[Chunk]:
        """The rest of the list from a place on, `size` rows at a time."""
        rows = start.rows
        batches = self._batches(start.rows, size)
        while True:
            with readable(f"the Parquet file is damaged somewhere after row {rows}; write it anew"):
                batch = next(batches, None)
            if batch is None:
                return
            rows += batch.num_rows
            yield Chunk(self._chunk(batch), Place(rows))

    def _batches(self, skip: int, size: int) -> Iterator[Any]:
        """Batches of `size` rows after the first `skip`, wherever row groups end."""
        groups = list(range(self._file.num_row_groups))
        while groups and self._file.metadata.row_group(groups[0]).num_rows <= skip:
            skip -= self._file.metadata.row_group(groups.pop(0)).num_rows
        waiting: list[Any] = []
        ready = 0
        for batch in self._file.iter_batches(size, row_groups=groups, use_threads=False):
            surplus = min(skip, batch.num_rows)
            skip -= surplus
            waiting.append(batch.slice(surplus))
            ready += batch.num_rows - surplus
            if ready >= size:
                whole = _one(waiting)
                yield whole.slice(0, size)
                waiting, ready = [whole.slice(size)], ready - size
        if ready:
            yield _one(waiting)

    def _chunk(self, batch: Any) -> list[Row] | Table:
        plain = {
            name: _plain(column)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        if self._by_column:
            try:
                return self._table(plain, batch.num_rows)
            except Problem:
                pass  # a value is wrong: the rows tell whose
        return list(self._each(plain, batch.num_rows))

    def _table(self, plain: dict[str, Any], n: int) -> Table:
        numbers = np.full((n, len(self._rows.inputs.schema)), np.nan)
        for _, name, found in self._columns.features:
            if found.own is not None and found.is_text:
                numbers[:, found.at] = codes_of(name, found.own, plain[name])
            else:
                numbers[:, found.at] = numbers_of(name, plain[name], found.may_be_negative)
        job = self._job
        as_of = np.full(n, job.as_of, dtype=np.int64)
        if AS_OF in plain:
            as_of = instants_of(AS_OF, plain[AS_OF], job.as_of)
        return Table(
            identifiers(CUSTOMER, _named(plain[CUSTOMER])),
            as_of,
            self._rows.settled(numbers),
            Told(job.max_reasons, job.direction, job.language, None),
            self._rows.warnings(numbers, [name for _, name, _ in self._columns.features]),
            self._rows.inputs.missing_counts(numbers, None),
            channels_of(CHANNELS, plain[CHANNELS]) if CHANNELS in plain else None,
        )

    def _each(self, plain: dict[str, Any], n: int) -> Iterator[Row]:
        nothing = [None] * n
        as_of = _texts_of(plain[AS_OF]) if AS_OF in plain else nothing
        events = _histories(plain[EVENTS]) if EVENTS in plain else nothing
        channels = plain[CHANNELS].to_pylist() if CHANNELS in plain else nothing
        names = [name for _, name, _ in self._columns.features]
        cells = [plain[name].to_pylist() for name in names]
        ids = _named(plain[CUSTOMER]).to_pylist()
        raw = plain[CUSTOMER].to_pylist()
        for at in range(n):
            named = {name: column[at] for name, column in zip(names, cells, strict=True)}
            customer_id = raw[at] if ids[at] is None else ids[at]
            value = customer(self._columns, customer_id, as_of[at], events[at], channels[at], named)
            yield Row(value)


def opened(path: Path) -> Any:
    """Open a Parquet file to be read in a little memory.

    Raises
    ------
    JobFailed
        It is none.
    """
    with readable("the input is not a whole Parquet file; it was cut short or has another format"):
        # Buffering ahead would keep all that was read of the file in memory.
        return pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES)


@contextlib.contextmanager
def readable(otherwise: str = "the Parquet file is damaged") -> Iterator[None]:
    """Say what the library's errors come to; those of the system pass.

    Raises
    ------
    JobFailed
        With the sentence `otherwise`.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise JobFailed(otherwise) from None


def identifiers_as_text(column: Any) -> Any:
    """Customers' identifiers as strings; a number that is no whole one is null."""
    return _named(_plain(column))


def _one(batches: list[Any]) -> Any:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def _check_types(schema: Any, texts: set[str]) -> None:
    for name, kind in zip(schema.names, schema.types, strict=True):
        fault = None
        if name == CUSTOMER:
            if not (is_text(kind) or _is_number(kind) or pa.types.is_string_view(kind)):
                fault = "strings or whole numbers"
        elif name == AS_OF:
            if not _is_time(kind):
                fault = "timestamps"
        elif name == CHANNELS:
            if not is_texts(kind):
                fault = "lists of strings"
        elif name == EVENTS:
            _check_events(kind)
        elif name in texts:
            if not (is_text(kind) or pa.types.is_string_view(kind)):
                fault = "strings"
        elif not _is_number(kind):
            fault = "numbers"
        if fault is not None:
            raise JobFailed(f"column `{name}` of the input must hold {fault}; null where unknown")


def _check_events(kind: Any) -> None:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list or not pa.types.is_struct(kind.value_type):
        raise JobFailed(f"column `{EVENTS}` of the input must hold lists of structs")
    for field in kind.value_type:
        if field.name not in EventInput.model_fields:
            near = nearest(field.name, EventInput.model_fields)
            hint = f"did you mean `{near}`?" if near else "GET /openapi.json lists them"
            raise JobFailed(f"an event of column `{EVENTS}` has a field that is not known; {hint}")
        if field.name in _NUMBERS:
            fits = _is_number(field.type)
        elif field.name in _TIMES:
            fits = _is_time(field.type) or is_text(field.type)
        else:
            fits = is_text(field.type) or pa.types.is_integer(field.type)
        if not (fits or pa.types.is_null(field.type) or pa.types.is_string_view(field.type)):
            raise JobFailed(f"field `{field.name}` of column `{EVENTS}` has a type that cannot be")


def _is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _plain(column: Any) -> Any:
    """A column in one of a few types: numbers, strings, timestamps in UTC."""
    kind = column.type
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("ms", tz="UTC"))
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return column.cast(pa.timestamp(kind.unit, tz="UTC"))
    return column


def _named(column: Any) -> Any:
    """Identifiers as strings; a number that is no whole one is null."""
    kind = column.type
    if pa.types.is_integer(kind):
        return column.cast(pa.string())
    if not pa.types.is_floating(kind):
        return column
    whole = pc.and_(
        pc.equal(column, pc.round(column)), pc.less(pc.abs(column), pa.scalar(_EXACT, kind))
    )
    known = pc.if_else(pc.fill_null(whole, False), column, pa.scalar(None, kind))
    return known.cast(pa.int64()).cast(pa.string())


def _texts_of(column: Any) -> list[str | None]:
    """Timestamps as RFC 3339; those beyond any year that is taken stay beyond."""
    if not pa.types.is_timestamp(column.type):
        texts: list[str | None] = column.to_pylist()
        return texts
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
    known = np.asarray(column.is_valid())
    whole = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    seconds = np.clip(
        whole // per_second,
        instants.EARLIEST // 1_000_000 - 1,
        instants.LATEST // 1_000_000,
    )
    within = (whole % per_second) * 1_000_000 // per_second
    micros = (seconds * 1_000_000 + within).tolist()
    return [
        instants.text(at) if is_known else None
        for at, is_known in zip(micros, known.tolist(), strict=True)
    ]


def _histories(column: Any) -> list[list[dict[str, Any]] | None]:
    """Lists of events as in a batch."""
    counts = pc.fill_null(pc.list_value_length(column), 0).to_pylist()
    known = column.is_valid().to_pylist()
    structs = column.flatten()
    names = [field.name for field in structs.type]
    fields = [
        _field(name, _plain(part)) for name, part in zip(names, structs.flatten(), strict=True)
    ]
    events = [dict(zip(names, values, strict=True)) for values in zip(*fields, strict=True)]
    out: list[list[dict[str, Any]] | None] = []
    at = 0
    for count, is_known in zip(counts, known, strict=True):
        out.append(events[at : at + count] if is_known else None)
        at += count
    return out


def _field(name: str, column: Any) -> list[Any]:
    if name in _TIMES:
        return _texts_of(column)
    if name in _NUMBERS:
        numbers: list[Any] = column.to_pylist()
        return numbers
    texts: list[Any] = _named(column).to_pylist()
    return texts
