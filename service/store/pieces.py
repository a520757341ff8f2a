"""Many customers' stored pieces, read or written with one statement each.

The statements are the dialects' own: a list of ids is one parameter, and all rows of a write are
one array per column in PostgreSQL. A thousand events of as many customers are added in half the
time that it takes with a parameter for each id and a row at a time.
"""

from collections.abc import Iterator, Sequence

import orjson
from sqlalchemy import Connection

Piece = tuple[str, bytes, int, int, int]
"""A row of `histories`: customer_id, events, first_at, last_at, n_events."""

_COLUMNS = "customer_id, events, first_at, last_at, n_events"
_REPLACED = (
    "ON CONFLICT (customer_id) DO UPDATE SET events = excluded.events,"
    " first_at = excluded.first_at, last_at = excluded.last_at, n_events = excluded.n_events"
)
_READ = "SELECT customer_id, events FROM histories WHERE customer_id "
_READ_SQLITE = _READ + "IN (SELECT value FROM json_each(?))"
_READ_POSTGRESQL = _READ + "= ANY(%s::text[])"
_WRITE_SQLITE = f"INSERT INTO histories ({_COLUMNS}) VALUES (?, ?, ?, ?, ?) {_REPLACED}"
_WRITE_POSTGRESQL = (
    f"INSERT INTO histories ({_COLUMNS}) SELECT * FROM"
    f" unnest(%b::text[], %b::bytea[], %b::bigint[], %b::bigint[], %b::integer[]) {_REPLACED}"
)


def read(connection: Connection, customer_ids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The pieces of those customers who have one."""
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql(_READ_SQLITE, (orjson.dumps(customer_ids).decode(),))
    else:
        found = connection.exec_driver_sql(_READ_POSTGRESQL, (list(customer_ids),))
    for row in found:
        yield row.customer_id, row.events


def write(connection: Connection, pieces: Sequence[Piece]) -> None:
    """Put pieces in, over those that are there; fastest in the order of the ids."""
    if not pieces:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_WRITE_SQLITE, list(pieces))
    else:
        columns = tuple(list(column) for column in zip(*pieces, strict=True))
        connection.exec_driver_sql(_WRITE_POSTGRESQL, columns)


def page(connection: Connection, after: str, most: int) -> list[tuple[str, bytes]]:
    """The next pieces in the order of the ids, after one of them; none at the end."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    found = connection.exec_driver_sql(
        f"{_READ} > {mark} ORDER BY customer_id LIMIT {mark}", (after, most)
    )
    return [(row.customer_id, row.events) for row in found]
