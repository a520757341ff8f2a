"""Rows put into a table that are not there yet: hundreds with one statement.

Python's SQLite gives the interpreter away with every row of `executemany`, and beside an event loop
that has always something to do it waits each time to get it back (`service.store.pieces`).
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Float, Integer, Table, Text
from sqlalchemy.types import TypeEngine

MOST = 128
"""Rows of one statement in SQLite."""

_ARRAYS: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
    (Boolean, "boolean"),
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (Float, "double precision"),
    (Text, "text"),
)


def insert_new(connection: Connection, table: Table, rows: Sequence[Sequence[Any]]) -> int:
    """Insert rows; where one of the same key is there, leave it as it is.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    table : Table
        Where to.
    rows : sequence of sequences
        Values in the order of the table's columns; fastest in the order of the keys.

    Returns
    -------
    int
        How many were inserted.
    """
    inserted = 0
    if not rows:
        return inserted
    if connection.dialect.name == "sqlite":
        start = 0
        while start < len(rows):
            # Powers of two: few statements, for SQLite keeps each prepared with its last rows.
            size = min(MOST, 1 << (len(rows) - start).bit_length() - 1)
            values = tuple(chain.from_iterable(rows[start : start + size]))
            inserted += connection.exec_driver_sql(_sqlite(table, size), values).rowcount
            start += size
    else:
        inserted = connection.exec_driver_sql(*insertion(table, rows, "true")).rowcount
    return inserted


def insertion(
    table: Table, rows: Sequence[Sequence[Any]], condition: str
) -> tuple[str, tuple[list[Any], ...]]:
    """The same as a statement of PostgreSQL's, with its parameters, under a condition.

    The condition's own parameters come after these.
    """
    columns = tuple(list(column) for column in zip(*rows, strict=True))
    return _postgresql(table, condition), columns


@cache
def _sqlite(table: Table, size: int) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    return f"{_head(table)} VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"


@cache
def _postgresql(table: Table, condition: str) -> str:
    arrays = ", ".join(f"%s::{_array(column.type)}[]" for column in table.columns)
    rows = f"SELECT * FROM unnest({arrays}) WHERE {condition}"
    return f"{_head(table)} {rows} ON CONFLICT DO NOTHING"


def _head(table: Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())})"


def _array(kind: TypeEngine[Any]) -> str:
    return next(name for known, name in _ARRAYS if isinstance(kind, known))
