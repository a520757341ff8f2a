"""The user's SQL for columns of their own, checked and turned into typed rows.

As in `training.mapping`, one query around the user's casts each column, judges the row, and keeps a
rejected one as JSON with the reason. Names and types are judged here, before anything is read.
"""

import re
from collections import Counter
from dataclasses import dataclass

import duckdb

from churn.columns import Column, Kind
from churn.errors import MappingError
from churn.events import LARGEST_NUMBER
from churn.population import MODEL_COLUMNS
from churn.schema import Schema
from training.advice import nearest
from training.columns import Column as SqlColumn
from training.columns import is_readable, way_out
from training.mapping import as_json, columns_of, missing, renamed
from training.own_config import Features, OwnColumn
from training.rules import EARLIEST_US

REQUIRED = {
    "customer_id": "whose row it is, such as `client AS customer_id`",
    "known_at": "when the row was known, such as `changed_at AS known_at`",
}
REJECTED_COLUMNS = ("reason", "customer_id", "known_at", "row")
LONGEST_CATEGORY = 128
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


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
        for at, (column, source) in enumerate(self.own):
            if column.kind == "numeric":
                typed += [f"{source.number} AS own_{at}", f"{source.is_given} AS given_{at}"]
                cases += [
                    f"WHEN given_{at} AND own_{at} IS NULL THEN '{column.name}_unparseable'",
                    f"WHEN NOT isfinite(own_{at}) THEN '{column.name}_not_finite'",
                    f"WHEN abs(own_{at}) > {LARGEST_NUMBER:.0f} THEN '{column.name}_too_large'",
                ]
            else:
                typed.append(f"CASE WHEN {source.is_given} THEN {source.text} END AS own_{at}")
                cases.append(
                    f"WHEN length(own_{at}) > {LONGEST_CATEGORY} THEN '{column.name}_too_long'"
                )
        kept = ", ".join(f"own_{at}" for at in range(len(self.own)))
        return (
            f"SELECT customer_id, known_at, {kept}, reason,"
            f" CASE WHEN reason IS NOT NULL THEN {as_json(self.given)} END AS row"
            f" FROM (SELECT *, CASE {' '.join(cases)} END AS reason"
            f" FROM (SELECT *, {', '.join(typed)} FROM ({renamed(self.query, self.given)})))"
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
    _check_names([column.name for column in given], where)
    declared = {name.lower(): (name, one) for name, one in features.columns.items()}
    for folded, (name, _) in declared.items():
        if folded not in {source.name.lower() for source in sources}:
            names = [source.name for source in sources]
            raise MappingError(
                f"{where} gives no column {name!r}, which [features.columns.{name}] declares "
                f"(it gives {', '.join(names)}){nearest(name, names)}"
            )
    unnamed = ("", OwnColumn())
    own = tuple(
        (_declared(source, declared.get(source.name.lower(), unnamed)[1], where), source)
        for source in sources
    )
    try:
        Schema(tuple(column for column, _ in own))
    except ValueError as error:
        raise MappingError(f"{where}: {error}; rename one of the columns") from None
    return OwnQuery(query, given, by_name["customer_id"], by_name["known_at"], own)


def _check_names(names: list[str], where: str) -> None:
    for name, count in Counter(name.lower() for name in names).items():
        if count > 1:
            raise MappingError(f"{where} gives column {name!r} twice; name each once")
    for name in names:
        if not _NAME.fullmatch(name):
            raise MappingError(
                f"{where}: column {name!r} needs a name of at most 64 Latin letters, digits and "
                "underscores; write `... AS such_a_name`"
            )
        if name.lower() in MODEL_COLUMNS:
            raise MappingError(
                f"{where}: column {name!r} has the name of a feature that is computed from the "
                f"events; write `{name} AS own_{name}`"
            )


def _declared(source: SqlColumn, declared: OwnColumn, where: str) -> Column:
    kind = declared.kind or _kind(source)
    readable = source.is_readable_as(kind) if kind is not None else False
    if kind is None or not readable:
        raise MappingError(
            f"{where}: column {source.name!r} is of type {source.type}, neither a number nor a "
            f"category; make it one, such as {_advice(source)}"
        )
    try:
        return declared.column(source.name, kind)
    except ValueError as error:
        raise MappingError(f"{where}: [features.columns.{source.name}]: {error}") from None


def _kind(source: SqlColumn) -> Kind | None:
    if source.is_numeric or source.type == "NULL":
        return "numeric"
    return "categorical" if source.is_name else None


def _advice(source: SqlColumn) -> str:
    if source.type.startswith(("DATE", "TIME")):
        return f"date_diff('day', {source.name}, known_at)"
    return f"{source.name}::DOUBLE or {source.name}::VARCHAR"
