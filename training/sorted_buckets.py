"""A bucket of events brought into canonical order, without repeats, as flat columns in a file.

The order and the meaning of a repeat are those of `churn.events.canonical`; a test holds the two
to each other. Doing it once, and keeping numbers instead of strings, makes every later pass over
the events a plain read.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.events import EventLog, Feed
from training.canonical_order import CONTENT, IDENTIFIERS, canonical_order
from training.tally import Tally, tally

_KEPT = {
    "occurred_at": np.int64, "known_at": np.int64, "kind_code": np.int8, "order_id": np.int64,
    "category": np.int64, "case_id": np.int64, "amount": np.float64, "value": np.float64,
    "quantity": np.float64, "discount": np.float64,
}  # fmt: skip
_CATEGORIES = b"categories"
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


def finish(dealt: pa.Table | None, path: Path, duplicates_path: Path, until_us: int) -> Finished:
    """Sort a bucket, drop its repeats and write it.

    Parameters
    ----------
    dealt : Table or None
        The bucket's rows in any order, as `training.dealing` keeps them; None if it has none.
    path, duplicates_path : Path
        Where the events go, as Arrow IPC, and the repeats, as Parquet, if there are any.
    until_us : int
        The log is complete until then at the latest; see `training.tally.tally`.
    """
    rows = _known((_EMPTY if dealt is None else dealt).combine_chunks())
    encoded = _Encoded(rows)
    repeats = encoded.repeats()
    n_repeats = int(np.count_nonzero(repeats))
    if n_repeats:
        pq.write_table(rows.take(pa.array(encoded.order[repeats])), duplicates_path)
    del rows
    encoded.settle(~repeats)
    encoded.write(path)
    log = read(path)
    total = tally(log, until_us)
    return Finished(total, n_repeats, total.feeds, encoded.digest())


def in_order(dealt: pa.Table) -> tuple[pa.Table, int]:
    """Sort a bucket and drop its repeats, as `finish` does, but keep every column as it came.

    Parameters
    ----------
    dealt : Table
        The bucket's rows in any order.

    Returns
    -------
    events : Table
        The events in canonical order.
    repeats : int
        How many rows repeat another.
    """
    rows = dealt.combine_chunks()
    encoded = _Encoded(_known(rows))
    repeats = encoded.repeats()
    events = rows.take(pa.array(encoded.order[~repeats])).combine_chunks()
    return events, int(np.count_nonzero(repeats))


def _known(rows: pa.Table) -> pa.Table:
    """Rows that are known from when they happened, where nothing else is said."""
    if "known_at" not in rows.column_names:
        return rows
    at = rows.column_names.index("known_at")
    known_at = pc.coalesce(rows.column("known_at"), rows.column("occurred_at"))
    return rows.set_column(at, "known_at", known_at)


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


def customers(path: Path) -> pa.StringArray:
    """Read only who is in a finished bucket, ascending."""
    with pa.memory_map(str(path)) as source:
        who = pa.ipc.open_file(source).read_all().column("customer_id").combine_chunks()
        return pa.array(who.dictionary.to_pylist(), pa.string())


def category_names(path: Path) -> list[str]:
    """What the category codes of a finished bucket stand for; empty where it has none."""
    with pa.memory_map(str(path)) as source:
        metadata = pa.ipc.open_file(source).schema.metadata or {}
    names: list[str] = json.loads(metadata.get(_CATEGORIES, b"[]"))
    return names


class _Encoded:
    """A bucket's columns as arrays in canonical order, identifiers as codes.

    `order` tells which row of the table each position holds; `names` are what the codes stand
    for: the customers ascending, the others in any order until `settle` has been called.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.names: dict[str, pa.StringArray] = {}
        coded = rows.column("customer_id").combine_chunks().dictionary_encode()
        ascending = pc.array_sort_indices(coded.dictionary)
        self.names["customer_id"] = coded.dictionary.take(ascending)
        rank = np.empty(len(ascending), dtype=np.int32)
        rank[ascending.to_numpy()] = np.arange(len(ascending), dtype=np.int32)
        customer = rank[coded.indices.to_numpy()]
        self.order = canonical_order(rows, customer)
        self.arrays: dict[str, NDArray[Any]] = {"customer_id": customer[self.order]}
        for name in rows.column_names:
            if name == "customer_id":
                continue
            column = rows.column(name).combine_chunks()
            if name in IDENTIFIERS:
                coded = column.dictionary_encode()
                self.names[name] = coded.dictionary
                column = coded.indices.fill_null(-1)
            self.arrays[name] = column.to_numpy(zero_copy_only=False)[self.order]

    def repeats(self) -> NDArray[np.bool_]:
        """Which rows repeat one known before: by event_id or, where there is none, by content."""
        customer = self.arrays["customer_id"]
        same = np.zeros(len(customer), dtype=bool)
        same[1:] = customer[1:] == customer[:-1]
        for name in CONTENT:
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
        known_at = self.arrays["known_at" if "known_at" in self.arrays else "occurred_at"][named]
        by_known_at = np.argsort(known_at, kind="stable")
        first = np.zeros(len(key), dtype=bool)
        first[by_known_at[np.unique(key[by_known_at], return_index=True)[1]]] = True
        same[named] = ~first
        return same

    def settle(self, kept: NDArray[np.bool_]) -> None:
        """Keep the chosen rows, and the columns to write; count codes as they appear."""
        columns = [name for name in self.arrays if name == "customer_id" or name in _KEPT]
        everything = bool(kept.all())
        self.arrays = {
            name: self.arrays[name] if everything else self.arrays[name][kept] for name in columns
        }
        for name in IDENTIFIERS & self.arrays.keys():
            codes, appeared = _in_order_of_appearance(self.arrays[name], len(self.names[name]))
            self.arrays[name] = codes
            self.names[name] = self.names[name].take(pa.array(appeared))

    def write(self, path: Path) -> None:
        """Write the columns that a model can see, as Arrow IPC."""
        customers = pa.DictionaryArray.from_arrays(
            self.arrays["customer_id"], self.names["customer_id"]
        )
        table = pa.table(
            {"customer_id": customers}
            | {name: array for name, array in self.arrays.items() if name in _KEPT}
        )
        if "category" in self.names:
            names = json.dumps(self.names["category"].to_pylist())
            table = table.replace_schema_metadata({_CATEGORIES: names})
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
                lengths, text = lengths_and_text(self.names[name])
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


def _in_order_of_appearance(
    codes: NDArray[np.int32], n_names: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Count codes anew as they appear (-1 stays); return them, and the old code of each."""
    first = np.full(n_names + 1, len(codes))  # the last entry is that of -1
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of many writes the last one, the first row
    first[-1] = -1
    appeared = codes[np.sort(first[(first >= 0) & (first < len(codes))])]
    new = np.full(n_names + 1, -1, dtype=np.int32)
    new[appeared] = np.arange(len(appeared), dtype=np.int32)
    return new[codes], appeared


def lengths_and_text(identifiers: pa.StringArray) -> tuple[NDArray[np.int32], memoryview]:
    """Return the lengths of strings in bytes and all their bytes on end, without copying these."""
    _, offsets, text = identifiers.buffers()
    start = identifiers.offset
    ends = np.frombuffer(offsets, dtype=np.int32)[start : start + len(identifiers) + 1]
    return np.diff(ends), memoryview(text)[ends[0] : ends[-1]]
