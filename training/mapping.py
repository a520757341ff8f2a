"""The user's SQL, checked and turned into typed events: one query that judges every row.

DuckDB describes what the user's query gives; from the names and types this module builds the query
around it that casts each column, decides whether the row is an event, and keeps a rejected row as
JSON with the reason.
"""

from dataclasses import dataclass

import duckdb

from churn.advice import nearest, nearest_name
from churn.errors import MappingError
from churn.events import KIND_CODES
from training.columns import COLUMNS, NUMBERS, TEXTS, Column, is_readable, way_out
from training.rules import verdict
from training.sql_errors import condense

REQUIRED = {
    "customer_id": "who it was, such as `client AS customer_id`",
    "occurred_at": "when it happened, such as `paid_at AS occurred_at`",
    "kind": "what happened, such as `'purchase' AS kind`",
}
_KIND_CODE = (
    "CAST(CASE kind "
    + " ".join(f"WHEN '{kind}' THEN {code}" for kind, code in KIND_CODES.items())
    + " END AS TINYINT)"
)


@dataclass(frozen=True, slots=True)
class MappedQuery:
    """The user's query and what it gives.

    Attributes
    ----------
    query : str
        One SELECT statement.
    given : tuple of Column
        All its columns.
    mapped : dict of str to Column
        Those that are columns of the event log, by its names.
    """

    query: str
    given: tuple[Column, ...]
    mapped: dict[str, Column]

    def unused(self) -> list[str]:
        """Say which columns the event log has no place for, and what each may have meant."""
        return [
            f"column {column.name!r} is not used{nearest(column.name, COLUMNS)}"
            for column in self.given
            if self.mapped.get(column.name.lower()) is not column
        ]

    def events_sql(self, timezone: str, now_us: int) -> str:
        """Return the query that types every row and judges it.

        The user's query begins on its second line. Beside the event columns (times in
        microseconds) it gives `kind_code`, `reason` (NULL for an event), and `kind` and `row`
        (text and JSON, of a rejected row only).
        """
        kept = [name for name in self.mapped if name != "kind"]
        judged = verdict(frozenset(self.mapped)).replace("$now", str(now_us))
        return (
            f"SELECT {', '.join(kept)}, reason, {_KIND_CODE} AS kind_code,"
            f" CASE WHEN reason IS NOT NULL THEN kind END AS kind,"
            f" CASE WHEN reason IS NOT NULL THEN {as_json(self.given)} END AS row"
            f" FROM (SELECT *, {judged} AS reason"
            f" FROM (SELECT *, {', '.join(self._typed(timezone))}"
            f" FROM ({renamed(self.query, self.given)})))"
        )

    def _typed(self, timezone: str) -> list[str]:
        expressions: list[str] = []
        for name, column in self.mapped.items():
            if name == "customer_id":
                expressions.append(f"CASE WHEN {column.is_given} THEN {column.text} END AS {name}")
            elif name in TEXTS:
                expressions.append(f"{column.text} AS {name}")
            elif name in NUMBERS:
                expressions.append(f"{column.number} AS {name}")
            else:
                expressions.append(f"{column.time(timezone)} AS {name}")
            if name not in TEXTS:
                expressions.append(f"{column.is_given} AS {name}_given")
        customer = self.mapped["customer_id"]
        return [*expressions, f"NOT {customer.is_whole} AS customer_id_broken"]


def describe(connection: duckdb.DuckDBPyConnection, query: str, where: str) -> MappedQuery:
    """Check the user's query for events without running it; `where` is what messages call it.

    Raises
    ------
    MappingError
        It is not one SELECT, does not bind, lacks a required column, or gives one a type that
        cannot be read; the message names the line or the column.
    """
    query, given = columns_of(connection, query, where)
    by_name = {column.name.lower(): column for column in reversed(given)}
    mapped = {name: by_name[name] for name in COLUMNS if name in by_name}
    for name, meaning in REQUIRED.items():
        if name not in mapped:
            raise MappingError(f"{where} {missing(name, meaning, given)}")
    for name, column in mapped.items():
        if not is_readable(name, column):
            raise MappingError(
                f"{where}: column {name!r} is of type {column.type}; {way_out(name, column)}"
            )
    return MappedQuery(query, given, mapped)


def columns_of(
    connection: duckdb.DuckDBPyConnection, query: str, where: str
) -> tuple[str, tuple[Column, ...]]:
    """Return the query in a form that can stand in another, and the columns that it gives.

    Raises
    ------
    MappingError
        It is not one SELECT or does not bind.
    """
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise MappingError(f"{where} must be one SELECT statement")
        query = _embeddable(connection, query)
        rows = connection.execute(f"DESCRIBE {query}").fetchall()
    except duckdb.Error as error:
        raise MappingError(f"{where}, {condense(error)}") from None
    given = tuple(Column(row[0], row[1].strip('"'), place) for place, row in enumerate(rows))
    return query, given


def _embeddable(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the query without the semicolon that a subquery may not end in."""
    try:
        connection.extract_statements(f"SELECT * FROM (\n{query}\n)")
    except duckdb.ParserException:
        return query[: query.rfind(";")]
    return query


def missing(name: str, meaning: str, given: tuple[Column, ...]) -> str:
    """Say that the query gives no such column, and which one may have been meant."""
    names = [column.name for column in given]
    found = nearest_name(name, names)
    hint = f"; did you mean `{found} AS {name}`?" if found else f"; add {meaning}"
    return f"gives no column {name!r} (it gives {', '.join(names)}){hint}"


def renamed(query: str, given: tuple[Column, ...]) -> str:
    """The query with columns named as `Column.sql`; it begins on the second line, SQL."""
    raw = ", ".join(f"{_quoted(column.name)} AS {column.sql}" for column in given)
    return f"SELECT {raw} FROM (\n{query}\n) AS source"


def as_json(given: tuple[Column, ...]) -> str:
    """A whole row as it came, as JSON text, SQL."""
    pairs = ", ".join(f"{_literal(column.name)}: {column.sql}" for column in given)
    return f"to_json({{{pairs}}})::VARCHAR"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
