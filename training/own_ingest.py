"""From the `[features]` query to sorted, coded buckets: judged, dealt, one row an instant.

Whole customers are dealt into the same buckets as their events, so a bucket is still all there is
to know of its customers. Of rows known at the same instant the one that compares highest, column by
column, counts, whatever order they came in.
"""

import contextlib
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.columns import MOST_CATEGORIES, Column
from churn.compiled import Floats
from churn.errors import DataError, MappingError
from training.config import Config
from training.dealing import BATCH_ROWS, deal, read_bucket, rejected_path
from training.own_mapping import REJECTED_COLUMNS, OwnQuery, describe_own
from training.own_report import OwnReport
from training.own_rows import OwnRows, own_path
from training.sql_errors import condense


def ingest_own(
    connection: duckdb.DuckDBPyConnection,
    config: Config,
    work_dir: Path,
    *,
    now_us: int,
    n_buckets: int,
    customers_of: Callable[[int], pa.StringArray],
) -> OwnRows:
    """Run the `[features]` query and bring its rows into sorted buckets under `work_dir`.

    Parameters
    ----------
    connection, config, work_dir, now_us, n_buckets
        As `training.ingest.ingest` has them.
    customers_of : callable
        The event log's customers in a bucket.

    Raises
    ------
    MappingError
        The query fails, or its columns cannot be used.
    DataError
        It gives no usable rows, none of a customer of the log, a column without a single value, or
        one of too many categories.
    """
    where = f"{config.path}: [features] query"
    dealt, folder = work_dir / "own_dealt", work_dir / "own"
    for old in (dealt, folder):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    with contextlib.chdir(config.base_dir):
        query = describe_own(connection, config.features, where)
        rows = _deal(connection, query, config, dealt, now_us, n_buckets)
    quarantine, reasons = _rejected(connection, dealt, work_dir / "quarantine_features.parquet")
    accepted = rows - reasons.total()
    if accepted == 0:
        first = f"; most often: {reasons.most_common(1)[0][0]}" if reasons else ""
        raise DataError(f"{where} gives no usable row ({rows:,} rows){first}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seen = list(pool.map(lambda k: _values(dealt, k, query.columns), range(n_buckets)))
    columns = _coded(query.columns, seen, where)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(
            pool.map(
                lambda k: _finish(dealt, folder, k, columns, customers_of(k)), range(n_buckets)
            )
        )
    shutil.rmtree(dealt)
    matched = sum(part.matched for part in parts)
    if matched == 0:
        raise DataError(
            f"{where} gives no row of any customer of the event log: both must write customer_id "
            "alike"
        )
    known = np.sum([part.known for part in seen], axis=0)
    digest = hashlib.sha256(repr([(c.name, c.kind, c.categories) for c in columns]).encode())
    for part in parts:
        digest.update(part.digest)
    report = OwnReport(
        rows=rows,
        accepted=accepted,
        quarantined=dict(reasons.most_common()),
        customers=sum(part.customers for part in parts),
        matched=matched,
        log_customers=sum(part.log_customers for part in parts),
        ambiguous=sum(part.ambiguous for part in parts),
        known={column.name: int(n) for column, n in zip(columns, known, strict=True)},
        categories={c.name: len(c.categories) for c in columns if c.kind == "categorical"},
        quarantine=quarantine,
    )
    return OwnRows(columns, report, digest.digest(), folder)


def _deal(
    connection: duckdb.DuckDBPyConnection,
    query: OwnQuery,
    config: Config,
    dealt: Path,
    now_us: int,
    n_buckets: int,
) -> int:
    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        except (duckdb.Error, OSError) as error:  # what fails while it runs arrives as an OSError
            raise MappingError(
                f"{config.path}: [features] query, {condense(error, lines_before=1)}"
            ) from None

    sql = query.rows_sql(config.events.timezone, now_us)
    return deal(batches(), dealt, n_buckets, REJECTED_COLUMNS)


def _rejected(
    connection: duckdb.DuckDBPyConnection, dealt: Path, target: Path
) -> tuple[Path | None, Counter[str]]:
    source = rejected_path(dealt)
    if not source.exists():
        return None, Counter()
    read = f"read_parquet('{_quoted(source)}', hive_partitioning = false)"
    connection.execute(
        f"COPY (SELECT * REPLACE (make_timestamptz(known_at) AS known_at) FROM {read})"
        f" TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)"
    )
    counted = connection.execute(f"SELECT reason, count(*) FROM {read} GROUP BY 1 ORDER BY 1")
    return target, Counter(dict(counted.fetchall()))


@dataclass(frozen=True, slots=True)
class _Values:
    """What a bucket holds of each column: how many values, and which categories."""

    known: list[int]
    categories: list[set[str]]


def _values(dealt: Path, k: int, columns: tuple[Column, ...]) -> _Values:
    table = read_bucket(dealt, k)
    known, categories = [0] * len(columns), [set[str]() for _ in columns]
    if table is not None:
        for at, column in enumerate(columns):
            values = table.column(f"own_{at}")
            known[at] = len(values) - values.null_count
            if column.kind == "categorical":
                # One more than can be told apart is enough to know that there are too many.
                names = pc.unique(values).drop_null().slice(0, MOST_CATEGORIES + 1)
                categories[at] = set(names.to_pylist())
    return _Values(known, categories)


def _coded(columns: tuple[Column, ...], seen: list[_Values], where: str) -> tuple[Column, ...]:
    """The columns with all their categories, coded from 1 in the order of their names."""
    coded = []
    for at, column in enumerate(columns):
        if not any(part.known[at] for part in seen):
            raise DataError(
                f"{where}: column {column.name!r} has no value in any usable row; correct the "
                "query or leave the column out"
            )
        names = sorted(set[str]().union(*(part.categories[at] for part in seen)))
        if len(names) > MOST_CATEGORIES:
            raise DataError(
                f"{where}: column {column.name!r} has more than {MOST_CATEGORIES:,} categories, "
                "too many to tell apart: group them in the query, or declare "
                'kind = "numeric" if they are numbers'
            )
        codes = tuple(range(1, len(names) + 1))
        coded.append(column.replaced(categories=tuple(names), codes=codes))
    return tuple(coded)


@dataclass(frozen=True, slots=True)
class _Finished:
    customers: int
    matched: int
    log_customers: int
    ambiguous: int
    digest: bytes


def _finish(
    dealt: Path, folder: Path, k: int, columns: tuple[Column, ...], log_customers: pa.StringArray
) -> _Finished:
    """Sort a bucket by customer and time, keep one row an instant, and write it."""
    table = read_bucket(dealt, k)
    if table is None:
        strings = pa.array([], pa.string()).dictionary_encode()
        empty = {f"own_{at}": pa.array([], pa.float64()) for at in range(len(columns))}
        table = pa.table({"customer_id": strings, "known_at": pa.array([], pa.int64()), **empty})
        _write(folder, k, table)
        return _Finished(0, 0, len(log_customers), 0, b"")
    who = table.column("customer_id").combine_chunks().dictionary_encode()
    ascending = pc.array_sort_indices(who.dictionary)
    rank = np.empty(len(ascending), dtype=np.int32)
    rank[ascending.to_numpy()] = np.arange(len(ascending), dtype=np.int32)
    customer = rank[who.indices.to_numpy()]
    known_at = table.column("known_at").to_numpy()
    own = np.column_stack(
        [_numbers(table.column(f"own_{at}"), column) for at, column in enumerate(columns)]
    )
    keys = np.where(np.isnan(own), -np.inf, own)  # a known value counts rather than none
    order = np.lexsort([*keys.T[::-1], known_at, customer])
    customer, known_at, own = customer[order], known_at[order], own[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (customer[1:] != customer[:-1]) | (known_at[1:] != known_at[:-1])
    differs = (keys[order][1:] != keys[order][:-1]).any(axis=1)
    instant = np.cumsum(last)[:-1]
    ambiguous = len(np.unique(instant[~last[:-1] & differs]))
    names = who.dictionary.take(ascending)
    customers = pa.DictionaryArray.from_arrays(customer[last], names)
    kept = {f"own_{at}": own[last, at] for at in range(len(columns))}
    table = pa.table({"customer_id": customers, "known_at": known_at[last], **kept})
    _write(folder, k, table)
    digest = hashlib.sha256("\n".join(names.to_pylist()).encode())
    for array in (customer[last], known_at[last], np.ascontiguousarray(own[last])):
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
    matched = pc.sum(pc.is_in(names, value_set=log_customers)).as_py() or 0
    return _Finished(len(names), matched, len(log_customers), ambiguous, digest.digest())


def _numbers(values: pa.ChunkedArray, column: Column) -> Floats:
    if column.kind == "numeric":
        return np.asarray(values.to_numpy(), dtype=np.float64)
    coded = values.combine_chunks().dictionary_encode()
    codes = np.array([column.encode(name) for name in coded.dictionary.to_pylist()] + [np.nan])
    return np.asarray(codes[coded.indices.fill_null(-1).to_numpy()])


def _write(folder: Path, k: int, table: pa.Table) -> None:
    with (
        pa.OSFile(str(own_path(folder, k)), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
