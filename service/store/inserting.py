"""Rows put into a table that are not there yet: hundreds with one statement.

Python's SQLite gives the interpreter away with every row of `executemany`, and beside an event loop
that has always something to do it waits each time to get it back (`service.store.pieces`).
"""

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Any

import orjson
from sqlalchemy import Connection, Table

MOST = 128
"""Rows of one statement in SQLite."""


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
        driver: Any = connection.connection.dbapi_connection
        start = 0
        while start < len(rows):
            # Powers of two: few statements, for SQLite keeps each prepared with its last rows.
            size = min(MOST, 1 << (len(rows) - start).bit_length() - 1)
            values = tuple(chain.from_iterable(rows[start : start + size]))
            inserted += driver.execute(_sqlite(table, size), values).rowcount
            start += size
    else:
        given = (documents(table, rows),)
        inserted = connection.exec_driver_sql(_postgresql(table), given).rowcount
    return inserted


def documents(table: Table, rows: Sequence[Sequence[Any]]) -> str:
    """The rows for PostgreSQL, as one parameter in JSON.

    Arrays of each column are put into the server's words by Python, element by element, which takes
    longer than writing the rows does.
    """
    names = _names(table)
    return orjson.dumps([dict(zip(names, row, strict=True)) for row in rows]).decode()


@cache
def _sqlite(table: Table, size: int) -> str:
    row = f"({', '.join('?' * len(table.columns))})"
    names = ", ".join(_names(table))
    rows = ", ".join([row] * size)
    return f"INSERT INTO {table.name} ({names}) VALUES {rows} ON CONFLICT DO NOTHING"


@cache
def _postgresql(table: Table) -> str:
    names = ", ".join(_names(table))
    rows = f"json_populate_recordset(CAST(NULL AS {table.name}), %s::json)"
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {rows} ON CONFLICT DO NOTHING"


@cache
def _names(table: Table) -> tuple[str, ...]:
    return tuple(map(str, table.columns.keys()))  # plain ones: SQLAlchemy's are not for JSON
