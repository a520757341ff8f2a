"""Events as a file that training, an analyst or the service itself reads back.

Parquet keeps the types. NDJSON has a line per event as `POST /v1/events` takes it. CSV is for the
eye: whoever reads it has to guess the types.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from churn.events import Event, Kind
from training.whole_file import appearing

FORMATS = (".parquet", ".csv", ".ndjson")
GROUP_EVENTS = 200_000

_TIME = pa.timestamp("us", tz="UTC")
_RFC_3339 = "%Y-%m-%dT%H:%M:%SZ"
_NUMBERS = frozenset({"amount", "value", "quantity", "discount"})
_TIMES = frozenset({"occurred_at", "known_at"})
_KINDS = pa.array([kind.value for kind in Kind])


def _type(name: str) -> pa.DataType:
    return _TIME if name in _TIMES else pa.float64() if name in _NUMBERS else pa.string()


SCHEMA = pa.schema([("customer_id", pa.string()), *((name, _type(name)) for name in Event._fields)])

Customers = Iterable[tuple[str, Sequence[Sequence[Any]]]]
"""Customers' events, as columns in the order of `Event`'s fields, a kind as its code."""


def write(pages: Iterable[Customers], out: Path) -> int:
    """Write events under a temporary name, then rename; return how many.

    Parameters
    ----------
    pages : iterable of customers' events
        In the order of the file; a page is held in memory.
    out : Path
        A .parquet, .csv or .ndjson file.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    rows = 0
    with appearing(out) as sink:
        put, close = _writer(sink, out.suffix)
        for table in _groups(pages):
            put(table)
            rows += table.num_rows
        close()
    return rows


def _writer(sink: Any, suffix: str) -> tuple[Callable[[pa.Table], object], Callable[[], object]]:
    if suffix == ".parquet":
        parquet = pq.ParquetWriter(sink, SCHEMA, compression="zstd")
        return parquet.write_table, parquet.close
    if suffix == ".ndjson":
        return lambda table: sink.write(_lines(table)), lambda: None
    csv = pv.CSVWriter(sink, _readable(SCHEMA.empty_table()).schema)
    return lambda table: csv.write_table(_readable(table)), csv.close


def _groups(pages: Iterable[Customers]) -> Iterator[pa.Table]:
    """Tables of enough events to be worth a row group."""
    waiting: list[pa.Table] = []
    for page in pages:
        waiting.append(_table(page))
        if sum(table.num_rows for table in waiting) >= GROUP_EVENTS:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _table(customers: Customers) -> pa.Table:
    who: list[str] = []
    columns: list[list[Any]] = [[] for _ in Event._fields]
    for customer_id, given in customers:
        who += [customer_id] * len(given[0])
        for column, values in zip(columns, given, strict=True):
            column += values
    codes = pa.array(columns[1], pa.int8())
    arrays = [pa.array(who, pa.string())]
    for name, values in zip(Event._fields, columns, strict=True):
        arrays.append(_KINDS.take(codes) if name == "kind" else pa.array(values, _type(name)))
    return pa.table(arrays, schema=SCHEMA)


def _readable(table: pa.Table) -> pa.Table:
    """Times as RFC 3339 texts."""
    for at, name in enumerate(SCHEMA.names):
        if name in _TIMES:
            table = table.set_column(at, name, pc.strftime(table.column(name), _RFC_3339))
    return table


def _lines(table: pa.Table) -> bytes:
    """A line of JSON per event; what is not given is left out."""
    rows = _readable(table).to_pylist()
    return b"".join(
        orjson.dumps({name: value for name, value in row.items() if value is not None}) + b"\n"
        for row in rows
    )
