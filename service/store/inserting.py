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

from service.store.held import Statement

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
    return sum(
        connection.exec_driver_sql(statement, tuple(given)).rowcount
        for statement, given in insertions(connection.dialect.name, table, rows)
    )


def insertions(
    dialect: str,
    table: Table,
    rows: Sequence[Sequence[Any]],
    condition: str = "true",
    given: Sequence[Any] = (),
) -> list[Statement]:
    """The same as statements in the driver's words, of what is so under a condition.

    PostgreSQL is given the rows as one parameter, in JSON: arrays of each column are put into the
    server's words by Python, element by element, which takes longer than writing the rows does.

    Parameters
    ----------
    dialect : {"sqlite", "postgresql"}
        Whose words.
    table, rows
        As of `insert_new`.
    condition, given : str, sequence
        What must be so for any of them to be inserted, and its parameters.
    """
    if not rows:
        return []
    if dialect == "postgresql":
        names = _names(table)
        document = orjson.dumps([dict(zip(names, row, strict=True)) for row in rows])
        return [(_postgresql(table, condition), (document.decode(), *given))]
    statements: list[Statement] = []
    start = 0
    while start < len(rows):
        # Powers of two: few statements, for SQLite keeps each prepared with its last rows.
        size = min(MOST, 1 << (len(rows) - start).bit_length() - 1)
        values = chain.from_iterable(rows[start : start + size])
        statements.append((_sqlite(table, size, condition), (*values, *given)))
        start += size
    return statements


@cache
def _sqlite(table: Table, size: int, condition: str) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    rows = f"SELECT * FROM (VALUES {', '.join([row] * size)})"
    return f"{_head(table)} {rows} WHERE {condition} ON CONFLICT DO NOTHING"


@cache
def _postgresql(table: Table, condition: str) -> str:
    columns = ", ".join(f"{column.name} {_type(column.type)}" for column in table.columns)
    rows = f"SELECT * FROM json_to_recordset(%s::json) AS row ({columns})"
    return f"{_head(table)} {rows} WHERE {condition} ON CONFLICT DO NOTHING"


@cache
def _names(table: Table) -> tuple[str, ...]:
    return tuple(map(str, table.columns.keys()))  # plain ones: SQLAlchemy's are not for JSON


def _head(table: Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(_names(table))})"


def _type(kind: TypeEngine[Any]) -> str:
    return next(name for known, name in _TYPES if isinstance(kind, known))
