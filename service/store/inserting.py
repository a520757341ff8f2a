"""Rows put into a table that are not there yet: hundreds with one statement.

Python's SQLite gives the interpreter away with every row of `executemany`, and beside an event loop
that has always something to do it waits each time to get it back (`service.store.pieces`).
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import orjson
from sqlalchemy import BigInteger, Boolean, Connection, Float, Integer, Table, Text
from sqlalchemy.types import TypeEngine

MOST = 128
"""Rows of one statement in SQLite."""

_TYPES: tuple[tuple[type[TypeEngine[Any]], str], ...] = (
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
        statement, document = insertion(table, rows, "true")
        inserted = connection.exec_driver_sql(statement, (document,)).rowcount
    return inserted


def insertion(table: Table, rows: Sequence[Sequence[Any]], condition: str) -> tuple[str, str]:
    """The same as a statement of PostgreSQL's, under a condition, and its first parameter.

    The rows are one parameter, in JSON: arrays of each column are put into the server's words by
    Python, element by element, which takes longer than writing the rows does. The condition's own
    parameters come after it.
    """
    names = _names(table)
    document = orjson.dumps([dict(zip(names, row, strict=True)) for row in rows])
    return _postgresql(table, condition), document.decode()


@cache
def _sqlite(table: Table, size: int) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    return f"{_head(table)} VALUES {', '.join([row] * size)} ON CONFLICT DO NOTHING"


@cache
def _postgresql(table: Table, condition: str) -> str:
    columns = ", ".join(f"{column.name} {_type(column.type)}" for column in table.columns)
    rows = f"SELECT * FROM json_to_recordset(%s::json) AS row ({columns}) WHERE {condition}"
    return f"{_head(table)} {rows} ON CONFLICT DO NOTHING"


@cache
def _names(table: Table) -> tuple[str, ...]:
    return tuple(map(str, table.columns.keys()))  # plain ones: SQLAlchemy's are not for JSON


def _head(table: Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_names(table))})"


def _type(kind: TypeEngine[Any]) -> str:
    return next(name for known, name in _TYPES if isinstance(kind, known))
