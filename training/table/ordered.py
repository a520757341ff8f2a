"""A ready table of any size, to be scored: a chunk of whole customers at a time, in order.

`training.table.rows` holds a table in memory, as learning from it needs. Here DuckDB sorts it,
outside memory where it is large, and what comes out of it is scored and forgotten.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn.columns import Column
from churn.compiled import Booleans, Floats
from churn.errors import DataError, MappingError
from training.sql_errors import condense
from training.table.config import TableConfig
from training.table.query import TableQuery, describe_table

MEMORY_LIMIT = "300MB"
"""Of the database; a larger table is sorted on disk."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """A table that has been sorted.

    Attributes
    ----------
    columns : tuple of Column
        What it gives to predict from.
    rows : int
        How many rows can be used.
    quarantined : mapping of str to int
        Rejected rows by reason, most frequent first.
    """

    columns: tuple[Column, ...]
    rows: int
    quarantined: Mapping[str, int]
    _connection: duckdb.DuckDBPyConnection

    def chunks(self, rows: int, as_of: int | None) -> Iterator[pa.Table]:
        """Usable rows by customer and date: customer_id, as_of and columns own_0, own_1, ....

        A chunk holds all rows of its customers.

        Parameters
        ----------
        rows : int
            About how many at a time.
        as_of : int, optional
            Later rows do not count; microseconds since 1970-01-01 UTC.
        """
        known = "" if as_of is None else f" AND as_of <= {as_of}"
        sql = f"SELECT * EXCLUDE (reason) FROM rows WHERE reason IS NULL{known}"
        waiting = None
        for batch in self._connection.sql(sql).to_arrow_reader(rows):
            table = pa.Table.from_batches([batch])
            table = table if waiting is None else pa.concat_tables([waiting, table])
            customer = table.column("customer_id").combine_chunks()
            same = pc.equal(customer, customer[len(customer) - 1])
            whole = len(customer) - pc.sum(same).as_py()
            waiting = table.slice(whole)
            if whole:
                yield table.slice(0, whole).combine_chunks()
        if waiting is not None:
            yield waiting.combine_chunks()


@contextlib.contextmanager
def in_order(config: TableConfig, work_dir: Path, *, now_us: int) -> Iterator[Ordered]:
    """Run the user's query and sort what it gives; the label is not looked at.

    Parameters
    ----------
    config : TableConfig
        The query and what its columns are.
    work_dir : Path
        A folder with room for the table, which is left empty.
    now_us : int
        Rows of later dates are rejected; microseconds since 1970-01-01 UTC.

    Raises
    ------
    MappingError
        The query fails, or its columns cannot be used.
    DataError
        It gives no usable row.
    """
    where = f"{config.path}: [table] query"
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(work_dir.absolute()),
        # A table is a file's, never a variable's of ours.
        "python_enable_replacements": False,
        "threads": os.cpu_count() or 1,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        with contextlib.chdir(config.base_dir):
            query = describe_table(connection, config.table, where, labelled=False)
            try:
                connection.execute(_sorted_sql(query, now_us))
            except duckdb.Error as error:
                raise MappingError(f"{where}, {condense(error, lines_before=1)}") from None
        counted = connection.sql(
            "SELECT reason, count(*) FROM rows GROUP BY ALL ORDER BY count(*) DESC, reason"
        ).fetchall()
        quarantined = {reason: n for reason, n in counted if reason is not None}
        usable = sum(n for reason, n in counted if reason is None)
        if usable == 0:
            first = f"; most often: {next(iter(quarantined))}" if quarantined else ""
            given = sum(quarantined.values())
            raise DataError(f"{where} gives no usable row ({given:,} rows){first}")
        yield Ordered(query.columns, usable, quarantined, connection)


def _sorted_sql(query: TableQuery, now_us: int) -> str:
    own = ", ".join(f"own_{at}" for at in range(len(query.own)))
    return (
        f"CREATE TEMP TABLE rows AS SELECT customer_id, as_of, {own}, reason"
        f" FROM ({query.rows_sql(now_us)}) ORDER BY customer_id, as_of"
    )


def that_count(table: pa.Table) -> pa.Table:
    """Of whole customers, the rows that count.

    Where rows have dates each customer's latest, else all that differ.

    Parameters
    ----------
    table : Table
        One of `Ordered.chunks`.
    """
    customer = table.column("customer_id")
    is_dated = table.column("as_of").null_count == 0
    same = np.zeros(len(table), dtype=np.bool_)  # as the row before
    same[1:] = pc.equal(customer[1:], customer[:-1]).to_numpy()
    if not same.any():
        return table
    who = np.cumsum(~same)
    several = np.flatnonzero(np.bincount(who)[who] > 1)
    order = np.arange(len(table))
    repeated = table.take(pa.array(several))
    keys = np.column_stack([_rank(repeated.column(at)) for at in range(1, table.num_columns)])
    # By values too, so that of two latest rows the same counts whatever order they came in.
    within = np.lexsort([*keys.T[::-1], who[several]])
    order[several] = several[within]
    compared = np.column_stack([who[several], keys])[within]
    is_last = _differs_from_next(who) if is_dated else np.ones(len(table), dtype=np.bool_)
    is_last[several] &= _differs_from_next(compared)
    return table.take(pa.array(order[is_last]))


def _differs_from_next(keys: NDArray[Any]) -> Booleans:
    differs = np.ones(len(keys), dtype=np.bool_)
    changed = keys[1:] != keys[:-1]
    differs[:-1] = changed.any(axis=1) if changed.ndim == 2 else changed
    return differs


def _rank(column: pa.ChunkedArray) -> Floats:
    """Numbers in the order of the values, -1 for what is missing."""
    values = column.combine_chunks()
    known = pc.is_valid(values).to_numpy(zero_copy_only=False)
    ranks = np.full(len(values), -1.0)
    found = values.drop_null().to_numpy(zero_copy_only=False)
    ranks[known] = np.unique(found, return_inverse=True)[1]
    return ranks
