"""The rows of a ready table: read once, judged, coded, and told which of them belong together."""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from churn.columns import MOST_CATEGORIES, Column
from churn.compiled import Booleans, Floats, Integers
from churn.errors import DataError, MappingError
from training.sql_errors import condense
from training.table.config import TableConfig
from training.table.query import LABEL, TableQuery, describe_table

MEMORY_LIMIT = "1GB"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a ready table, in the order of their customers and dates.

    Attributes
    ----------
    customer_id : ndarray of object, shape (n,)
        Identifiers.
    X : ndarray of float64, shape (n, n_columns)
        Numbers, and the codes of categories; NaN is missing.
    columns : tuple of Column
        What they are, with every category of the rows and its code.
    is_churn : ndarray of bool, shape (n,)
        The label.
    as_of : ndarray of int64, shape (n,), or None
        When each row was made, microseconds since 1970-01-01 UTC.
    group : ndarray of int64, shape (n,)
        Rows of one number stay together.
    """

    customer_id: NDArray[np.object_]
    X: Floats
    columns: tuple[Column, ...]
    is_churn: Booleans
    as_of: Integers | None
    group: Integers

    def __len__(self) -> int:
        return len(self.X)

    def where(self, chosen: Booleans) -> "Rows":
        """The chosen rows."""
        return replace(
            self,
            customer_id=self.customer_id[chosen],
            X=self.X[chosen],
            is_churn=self.is_churn[chosen],
            as_of=None if self.as_of is None else self.as_of[chosen],
            group=self.group[chosen],
        )


@dataclass(frozen=True, slots=True)
class Read:
    """What the query gave.

    Attributes
    ----------
    rows : Rows
        Those that can be used.
    given : int
        How many rows it gave.
    quarantined : mapping of str to int
        Rejected rows by reason, most frequent first.
    repeats : int
        Rows that are the same as another one of the same customer, and were left out.
    identifiers : mapping of str to int
        Columns of too many categories to be told apart, which were left out, and how many.
    fingerprint : str
        SHA-256 (hex) of the usable rows, the same whatever order they came in.
    rejected : Table
        The rejected rows: reason, customer_id, row (JSON).
    """

    rows: Rows
    given: int
    quarantined: Mapping[str, int]
    repeats: int
    identifiers: Mapping[str, int]
    fingerprint: str
    rejected: pa.Table

    def keep_quarantine(self, target: Path) -> Path | None:
        """Write the rejected rows to `target`, whole or not at all; None if there are none.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        if len(self.rejected) == 0:
            return None
        partial = target.with_name(f"{target.name}.tmp")
        try:
            pq.write_table(self.rejected, partial, compression="zstd")
            return partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise DataError(
                f"the {len(self.rejected):,} rejected rows cannot be kept in {target}: "
                f"{error.strerror}"
            ) from None


def read(config: TableConfig, *, now_us: int) -> Read:
    """Run the user's query; the rows are held in memory.

    Parameters
    ----------
    config : TableConfig
        The query and what its columns are.
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
        # A table is a file's, never a variable's of ours.
        "python_enable_replacements": False,
        "threads": os.cpu_count() or 1,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        with contextlib.chdir(config.base_dir):
            query = describe_table(connection, config.table, where, labelled=True)
            try:
                typed = connection.sql(query.rows_sql(now_us)).to_arrow_table()
            except duckdb.Error as error:
                raise MappingError(f"{where}, {condense(error, lines_before=1)}") from None
    usable = typed.filter(pc.is_null(typed.column("reason")))
    rejected = typed.filter(pc.is_valid(typed.column("reason")))
    reasons = pc.value_counts(rejected.column("reason")).to_pylist()
    counted = {one["values"]: one["counts"] for one in reasons}
    quarantined = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    if len(usable) == 0:
        first = f"; most often: {next(iter(quarantined))}" if quarantined else ""
        raise DataError(f"{where} gives no usable row ({len(typed):,} rows){first}")
    rows, identifiers = _coded(usable, query, where)
    rows, repeats = _in_order(rows)
    return Read(
        rows,
        len(typed),
        quarantined,
        repeats,
        identifiers,
        _fingerprint(rows),
        rejected.select(["reason", "customer_id", "row"]),
    )


def _coded(table: pa.Table, query: TableQuery, where: str) -> tuple[Rows, dict[str, int]]:
    """Arrays out of the typed rows; a column of too many categories is left out and counted."""
    numbers: list[Floats] = []
    columns: list[Column] = []
    identifiers: dict[str, int] = {}
    for at, column in enumerate(query.columns):
        values = table.column(f"own_{at}")
        if column.kind == "numeric":
            columns.append(column)
            numbers.append(np.asarray(values.to_numpy(), dtype=np.float64))
            continue
        names = sorted(pc.unique(values).drop_null().to_pylist())
        if len(names) > MOST_CATEGORIES:
            identifiers[column.name] = len(names)
            continue
        codes = tuple(range(1, len(names) + 1))
        columns.append(column.replaced(categories=tuple(names), codes=codes))
        found = pc.index_in(values, pa.array(names, pa.string())).to_numpy()
        numbers.append(np.asarray(found, dtype=np.float64) + 1.0)
    groups = table.column("group_name").to_pylist()
    if not numbers:
        raise DataError(
            f"{where} gives no column to predict the label from but "
            f"{', '.join(identifiers)}, which have too many categories: group them"
        )
    as_of = None if query.as_of is None else table.column("as_of").to_numpy()
    X = np.column_stack(numbers)
    customer_id = np.array(table.column("customer_id").to_pylist(), dtype=object)
    label = pc.fill_null(table.column(LABEL), False).to_numpy().astype(np.bool_)
    rows = Rows(customer_id, X, tuple(columns), label, as_of, _together(customer_id, groups))
    return rows, identifiers


def _together(customer_id: NDArray[np.object_], names: list[str | None]) -> Integers:
    """One number for rows of one customer or of one group, and whatever these connect."""
    n = len(names)
    customer = np.unique(customer_id.astype(str), return_inverse=True)[1]
    place: dict[str, int] = {}
    group = np.array([-1 if name is None else place.setdefault(name, len(place)) for name in names])
    grouped = np.flatnonzero(group >= 0)
    first_group = n + int(customer.max(initial=0)) + 1
    starts = np.concatenate([np.arange(n), grouped])
    ends = np.concatenate([n + customer, first_group + group[grouped]])
    nodes = first_group + len(place)
    graph = coo_array((np.ones(len(starts), dtype=np.int8), (starts, ends)), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1][:n], dtype=np.int64)


def row_numbers(X: Floats) -> Integers:
    """A number for each row, the same for rows of the same values, shape (n,)."""
    known = np.ascontiguousarray(np.where(np.isnan(X), np.nan, X + 0.0))  # one NaN, and one zero
    rows = known.view(f"V{X.shape[1] * 8}").ravel()
    return np.asarray(np.unique(rows, return_inverse=True)[1], dtype=np.int64)


def _in_order(rows: Rows) -> tuple[Rows, int]:
    """Rows by customer, date and values, without those that are the same as the one before."""
    keys = np.where(np.isnan(rows.X), -np.inf, rows.X)
    dates = np.zeros(len(rows), dtype=np.int64) if rows.as_of is None else rows.as_of
    who = np.unique(rows.customer_id.astype(str), return_inverse=True)[1]
    order = np.lexsort([rows.is_churn, *keys.T[::-1], dates, who])
    compared = np.column_stack([who, dates, rows.is_churn, keys])[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (compared[1:] != compared[:-1]).any(axis=1)
    chosen = order[first]
    kept = replace(
        rows,
        customer_id=rows.customer_id[chosen],
        X=rows.X[chosen],
        is_churn=rows.is_churn[chosen],
        as_of=None if rows.as_of is None else rows.as_of[chosen],
        group=_by_first_row(rows.group[chosen]),
    )
    return kept, int(np.count_nonzero(~first))


def _by_first_row(group: Integers) -> Integers:
    """The same groups, numbered in the order of their first rows."""
    _, first, number = np.unique(group, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[number], dtype=np.int64)


def _fingerprint(rows: Rows) -> str:
    digest = hashlib.sha256(repr([(c.name, c.kind, c.categories) for c in rows.columns]).encode())
    digest.update("\n".join(rows.customer_id.tolist()).encode())
    arrays = [rows.X, rows.is_churn, *([] if rows.as_of is None else [rows.as_of])]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
