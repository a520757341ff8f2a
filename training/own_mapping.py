"""The user's SQL for columns of their own, checked and turned into typed rows.

As in `training.mapping`, one query around the user's casts each column, judges the row, and keeps a
rejected one as JSON with the reason. Names and types are judged here, before anything is read.
"""

from dataclasses import dataclass

import duckdb

from churn.columns import Column
from churn.errors import MappingError
from churn.population import MODEL_COLUMNS
from churn.schema import Schema
from training.columns import Column as SqlColumn
from training.columns import is_readable, way_out
from training.mapping import as_json, columns_of, missing, renamed
from training.own_columns import check_names, declared, judged
from training.own_config import Features
from training.rules import EARLIEST_US

REQUIRED = {
    "customer_id": "whose row it is, such as `client AS customer_id`",
    "known_at": "when the row was known, such as `changed_at AS known_at`",
}
REJECTED_COLUMNS = ("reason", "customer_id", "known_at", "row")


@dataclass(frozen=True, slots=True)
class OwnQuery:
    """The user's query and what it gives.

    Attributes
    ----------
    query : str
        One SELECT statement.
    given : tuple of SqlColumn
        All its columns.
    customer_id, known_at : SqlColumn
        Whose row, known since when.
    own : tuple of (Column, SqlColumn)
        The columns of the user's own: what they are, and where they come from.
    """

    query: str
    given: tuple[SqlColumn, ...]
    customer_id: SqlColumn
    known_at: SqlColumn
    own: tuple[tuple[Column, SqlColumn], ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the user's own columns are."""
        return tuple(column for column, _ in self.own)

    def rows_sql(self, timezone: str, now_us: int) -> str:
        """Return the query that types every row and judges it.

        It gives customer_id, known_at (microseconds), own_0, own_1, ..., reason (NULL for a good
        row) and row (JSON, of a rejected row only). The user's query begins on its second line.
        """
        typed = [
            f"CASE WHEN {self.customer_id.is_given} THEN {self.customer_id.text} END"
            " AS customer_id",
            f"NOT {self.customer_id.is_whole} AS customer_id_broken",
            f"{self.known_at.time(timezone)} AS known_at",
            f"{self.known_at.is_given} AS known_at_given",
        ]
        cases = [
            "WHEN customer_id IS NULL THEN 'customer_id_missing'",
            "WHEN customer_id_broken THEN 'customer_id_not_whole'",
            "WHEN NOT known_at_given THEN 'known_at_missing'",
            "WHEN known_at IS NULL THEN 'known_at_unparseable'",
            f"WHEN known_at < {EARLIEST_US} THEN 'known_before_1970'",
            f"WHEN known_at >= {now_us} THEN 'known_in_the_future'",
        ]
        own_typed, own_cases = judged(self.own)
        kept = ", ".join(f"own_{at}" for at in range(len(self.own)))
        return (
            f"SELECT customer_id, known_at, {kept}, reason,"
            f" CASE WHEN reason IS NOT NULL THEN {as_json(self.given)} END AS row"
            f" FROM (SELECT *, CASE {' '.join([*cases, *own_cases])} END AS reason"
            f" FROM (SELECT *, {', '.join([*typed, *own_typed])}"
            f" FROM ({renamed(self.query, self.given)})))"
        )


def describe_own(connection: duckdb.DuckDBPyConnection, features: Features, where: str) -> OwnQuery:
    """Check the user's query without running it; `where` is what messages call it.

    Raises
    ------
    MappingError
        It is not one SELECT, does not bind, lacks a required column, gives none of the user's own,
        or one whose name or type cannot be used; or a declared column is not given.
    """
    query, given = columns_of(connection, features.query or "", where)
    by_name = {column.name.lower(): column for column in reversed(given)}
    for name, meaning in REQUIRED.items():
        if name not in by_name:
            raise MappingError(f"{where} {missing(name, meaning, given)}")
        if not is_readable(name, by_name[name]):
            column = by_name[name]
            raise MappingError(
                f"{where}: column {name!r} is of type {column.type}; {way_out(name, column)}"
            )
    sources = tuple(column for column in given if column.name.lower() not in REQUIRED)
    if not sources:
        raise MappingError(f"{where} gives customer_id and known_at only; add columns of your own")
    check_names([column.name for column in given], where)
    _check_unlike_features(sources, where)
    own = declared(sources, features.columns, where, "features.columns")
    try:
        Schema(tuple(column for column, _ in own))
    except ValueError as error:
        raise MappingError(f"{where}: {error}; rename one of the columns") from None
    return OwnQuery(query, given, by_name["customer_id"], by_name["known_at"], own)


def _check_unlike_features(sources: tuple[SqlColumn, ...], where: str) -> None:
    for name in (source.name for source in sources):
        if name.lower() in MODEL_COLUMNS:
            raise MappingError(
                f"{where}: column {name!r} has the name of a feature that is computed from the "
                f"events; write `{name} AS own_{name}`"
            )
