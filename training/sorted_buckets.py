"""A bucket of events brought into canonical order, without repeats, as flat columns in a file.

The order and the meaning of a repeat are those of `churn.events.canonical`; a test holds the two
to each other. Doing it once, and keeping numbers instead of strings, makes every later pass over
the events a plain read.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.events import FEED_COLUMNS, FEED_KINDS, KIND_CODES, EventLog, Feed, Kind
from training.tally import Tally, tally

_ORDER = (
    "occurred_at", "kind_code", "order_id", "amount", "value", "quantity", "discount", "category",
    "case_id", "channel", "event_id", "known_at",
)  # fmt: skip
_CONTENT = _ORDER[:10]
_IDENTIFIERS = frozenset({"customer_id", "order_id", "category", "case_id", "channel", "event_id"})
_KEPT = {
    "occurred_at": np.int64, "known_at": np.int64, "kind_code": np.int8, "order_id": np.int64,
    "category": np.int64, "case_id": np.int64, "amount": np.float64, "value": np.float64,
    "quantity": np.float64, "discount": np.float64,
}  # fmt: skip
_EMPTY = pa.table(
    {
        "customer_id": pa.array([], pa.string()),
        "occurred_at": pa.array([], pa.int64()),
        "kind_code": pa.array([], pa.int8()),
    }
)


@dataclass(frozen=True, slots=True)
class Finished:
    """What is known of a bucket once it is sorted.

    Attributes
    ----------
    tally : Tally
        Its share of the usability report.
    duplicates : int
        Repeats that were dropped.
    feeds : frozenset of Feed
        The feeds that it has any event, or value, of.
    digest : bytes
        SHA-256 of its events: the same for the same events, in whatever order they came.
    """

    tally: Tally
    duplicates: int
    feeds: frozenset[Feed]
    digest: bytes


def finish(
    connection: duckdb.DuckDBPyConnection,
    dealt: Path,
    columns: frozenset[str],
    path: Path,
    duplicates_path: Path,
) -> Finished:
    """Sort a bucket, drop its repeats and write it.

    Parameters
    ----------
    connection : DuckDBPyConnection
        A cursor that no other thread uses.
    dealt : Path
        Folder of the Parquet files that the bucket's rows were dealt into; missing if none were.
    columns : frozenset of str
        The event columns that the query gave.
    path, duplicates_path : Path
        Where the events go, as Arrow IPC, and the repeats, as Parquet, if there are any.
    """
    rows = _sorted(connection, dealt, columns) if dealt.is_dir() else _EMPTY
    encoded = _Encoded(rows)
    repeats = encoded.repeats()
    n_repeats = int(np.count_nonzero(repeats))
    if n_repeats:
        pq.write_table(rows.filter(pa.array(repeats)), duplicates_path)
        encoded = _Encoded(rows.filter(pa.array(~repeats)))
    del rows
    encoded.write(path)
    log = read(path)
    return Finished(tally(log), n_repeats, _feeds(log), encoded.digest())


def _sorted(
    connection: duckdb.DuckDBPyConnection, dealt: Path, columns: frozenset[str]
) -> pa.Table:
    names = ["customer_id", *(name for name in _ORDER if name in columns or name == "kind_code")]
    known = "REPLACE (coalesce(known_at, occurred_at) AS known_at)" if "known_at" in columns else ""
    # Never `execute(...).to_arrow_table()`: with several threads that may lose the order.
    return connection.sql(
        f"SELECT {', '.join(names)} FROM (SELECT * {known} FROM"
        f" read_parquet($files, hive_partitioning = false))"
        f" ORDER BY {', '.join(f'{name} NULLS FIRST' for name in names)}",
        params={"files": [str(file) for file in sorted(dealt.glob("*.parquet"))]},
    ).to_arrow_table()


def read(path: Path) -> EventLog:
    """Read a finished bucket; codes of orders, cases and categories count from 0 within it."""
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        given = frozenset(table.column_names)
        who = table.column("customer_id").combine_chunks()
        customer_ids = np.array(who.dictionary.to_pylist(), dtype=object)
        starts = np.flatnonzero(np.diff(who.indices.to_numpy(), prepend=-1))
        columns = {
            name: table.column(name).to_numpy().astype(dtype)
            if name in given
            else np.full(len(who), np.nan if dtype is np.float64 else -1, dtype=dtype)
            for name, dtype in _KEPT.items()
        }
    return EventLog(
        customer_ids=customer_ids,
        offsets=np.r_[starts, len(who)].astype(np.int64),
        time=columns["occurred_at"],
        known_at=columns["known_at" if "known_at" in given else "occurred_at"],
        kind=columns["kind_code"],
        amount=columns["amount"],
        value=columns["value"],
        quantity=columns["quantity"],
        discount=columns["discount"],
        order=columns["order_id"],
        case=columns["case_id"],
        category=columns["category"],
    )


class _Encoded:
    """A sorted table's columns as arrays, identifiers as codes in order of appearance."""

    def __init__(self, rows: pa.Table) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.names: dict[str, pa.Array] = {}
        for name in rows.column_names:
            column = rows.column(name).combine_chunks()
            if name == "customer_id":
                runs = pc.run_end_encode(column)
                self.names[name] = runs.values
                sizes = np.diff(runs.run_ends.to_numpy(), prepend=0)
                self.arrays[name] = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
                continue
            if name in _IDENTIFIERS:
                coded = column.dictionary_encode()
                self.names[name] = coded.dictionary
                column = coded.indices.fill_null(-1)
            self.arrays[name] = column.to_numpy(zero_copy_only=False)

    def repeats(self) -> NDArray[np.bool_]:
        """Which rows repeat an earlier one: by event_id or, where there is none, by content."""
        customer = self.arrays["customer_id"]
        same = np.zeros(len(customer), dtype=bool)
        same[1:] = customer[1:] == customer[:-1]
        for name in _CONTENT:
            if name in self.arrays:
                # Bits, so that a missing number equals a missing number.
                bits = self.arrays[name]
                bits = bits.view(np.int64) if bits.dtype == np.float64 else bits
                same[1:] &= bits[1:] == bits[:-1]
        if "event_id" not in self.arrays:
            return same
        event = self.arrays["event_id"].astype(np.int64)
        named = event >= 0
        same[1:] &= ~(named[1:] | named[:-1])
        key = customer[named] * np.int64(len(self.names["event_id"])) + event[named]
        first = np.zeros(len(key), dtype=bool)
        first[np.unique(key, return_index=True)[1]] = True
        same[named] = ~first
        return same

    def write(self, path: Path) -> None:
        """Write the columns that a model can see, as Arrow IPC."""
        customers = pa.DictionaryArray.from_arrays(
            self.arrays["customer_id"], self.names["customer_id"]
        )
        table = pa.table(
            {"customer_id": customers}
            | {name: array for name, array in self.arrays.items() if name in _KEPT}
        )
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    def digest(self) -> bytes:
        """SHA-256 of what `write` writes, of columns that hold anything, on any machine."""
        digest = hashlib.sha256()
        for name in ("customer_id", *_KEPT):
            array = self.arrays.get(name)
            if array is None or not self._tells_anything(name):
                continue
            digest.update(f"{name}:{len(array)}".encode())
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
            if name in self.names:
                lengths, text = _lengths_and_text(self.names[name])
                digest.update(lengths.astype("<i4", copy=False).data)
                digest.update(text)
        return digest.digest()

    def _tells_anything(self, name: str) -> bool:
        array = self.arrays[name]
        if name == "known_at":
            return not np.array_equal(array, self.arrays["occurred_at"])
        if name in self.names:
            return len(self.names[name]) > 0
        return array.dtype != np.float64 or not np.isnan(array).all()


def _lengths_and_text(identifiers: pa.StringArray) -> tuple[NDArray[np.int32], memoryview]:
    """Return the lengths of strings in bytes and all their bytes on end, without copying these."""
    _, offsets, text = identifiers.buffers()
    start = identifiers.offset
    ends = np.frombuffer(offsets, dtype=np.int32)[start : start + len(identifiers) + 1]
    return np.diff(ends), memoryview(text)[ends[0] : ends[-1]]


def _feeds(log: EventLog) -> frozenset[Feed]:
    present = np.bincount(log.kind, minlength=len(KIND_CODES)) > 0
    bought = log.kind == KIND_CODES[Kind.PURCHASE]
    values = {
        "amount": ~np.isnan(log.amount),
        "discount": ~np.isnan(log.discount),
        "category": log.category >= 0,
    }
    of_kinds = [
        feed
        for feed, kinds in FEED_KINDS.items()
        if any(present[KIND_CODES[kind]] for kind in kinds)
    ]
    of_columns = [feed for feed, name in FEED_COLUMNS.items() if (bought & values[name]).any()]
    return frozenset([*of_kinds, *of_columns])
