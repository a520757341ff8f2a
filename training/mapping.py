"""The user's SQL, checked and turned into typed events: one query that judges every row.

DuckDB describes what the user's query gives; from the names and types this module builds the query
around it that casts each column, decides whether the row is an event, and keeps a rejected row as
JSON with the reason.
"""

from dataclasses import dataclass

import duckdb

from churn.errors import MappingError
from churn.events import KIND_CODES
from training.advice import nearest, nearest_name
from training.buckets import REJECTED, bucket_sql
from training.quarantine import verdict
from training.sql_errors import condense

REQUIRED = {
    "customer_id": "who it was, such as `client AS customer_id`",
    "occurred_at": "when it happened, such as `paid_at AS occurred_at`",
    "kind": "what happened, such as `'purchase' AS kind`",
}
TEXTS = ("customer_id", "kind", "order_id", "category", "case_id", "channel", "event_id")
NUMBERS = ("amount", "value", "quantity", "discount")
TIMES = ("occurred_at", "known_at")
COLUMNS = (*TEXTS, *NUMBERS, *TIMES)

_INTEGERS = {"INTEGER", "UINTEGER"} | {
    f"{sign}{size}INT" for sign in ("", "U") for size in ("TINY", "SMALL", "BIG", "HUGE")
}
_EXACT_UP_TO = {"FLOAT": 2**24, "DOUBLE": 2**53}
_NAIVE_TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
_ZONED_TIMES = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS WITH TIME ZONE"}
_KIND_CODE = (
    "CAST(CASE kind "
    + " ".join(f"WHEN '{kind}' THEN {code}" for kind, code in KIND_CODES.items())
    + " END AS TINYINT)"
)
_NESTED = ("STRUCT", "MAP", "UNION", "BLOB", "BIT", "GEOMETRY", "VARIANT")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the user's query: its name as given, its DuckDB type, its place."""

    name: str
    type: str
    place: int

    @property
    def sql(self) -> str:
        """The column within `MappedQuery.events_sql`, whatever its name."""
        return f"raw_{self.place}"

    @property
    def text(self) -> str:
        """The column as text, an empty one as NULL, SQL."""
        if self.type == "JSON":
            return f"nullif({self.sql}->>'$', '')"
        if self.type in _EXACT_UP_TO:
            return (
                f"CASE WHEN isnan({self.sql}) THEN NULL WHEN {self.is_whole} "
                f"THEN {self.sql}::BIGINT::VARCHAR ELSE {self.sql}::VARCHAR END"
            )
        if self.type.startswith("DECIMAL"):
            return (
                f"CASE WHEN {self.is_whole} THEN {self.sql}::HUGEINT::VARCHAR "
                f"ELSE {self.sql}::VARCHAR END"
            )
        if self.type == "VARCHAR":
            return f"nullif({self.sql}, '')"
        return f"{self.sql}::VARCHAR"

    @property
    def is_whole(self) -> str:
        """Whether a number is a whole one that is held exactly, SQL."""
        if self.type in _EXACT_UP_TO:
            return (
                f"({self.sql} = trunc({self.sql}) AND abs({self.sql}) < {_EXACT_UP_TO[self.type]})"
            )
        return f"({self.sql} = trunc({self.sql}))" if self.type.startswith("DECIMAL") else "TRUE"

    @property
    def is_given(self) -> str:
        """Whether the row gives anything, SQL."""
        if self.is_text:
            return f"coalesce(trim({self.text}), '') <> ''"
        if self.type in _EXACT_UP_TO:
            return f"coalesce(NOT isnan({self.sql}), FALSE)"
        return f"{self.sql} IS NOT NULL"

    @property
    def number(self) -> str:
        """The column as a float, NaN as NULL and one zero only, SQL."""
        cast = f"TRY_CAST({self.text if self.is_text else self.sql} AS DOUBLE)"
        return f"CASE WHEN isnan({cast}) THEN NULL WHEN {cast} = 0 THEN 0.0 ELSE {cast} END"

    def time(self, timezone: str) -> str:
        """Microseconds since 1970-01-01 UTC, NULL where it is no time, SQL.

        A local time that a clock change repeats is the later one, one that it skips is read with
        the offset before the change.
        """
        if self.is_text:
            moment = f"TRY_CAST({self.text} AS TIMESTAMPTZ)"
        elif self.type in _ZONED_TIMES:
            moment = f"{self.sql}::TIMESTAMPTZ"
        elif timezone == "UTC":
            moment = f"{self.sql}::TIMESTAMP"
        else:
            moment = f"timezone('{timezone}', {self.sql}::TIMESTAMP)"
        return f"epoch_us({moment})"

    @property
    def is_text(self) -> bool:
        """Whether it is text to be parsed."""
        return self.type in ("VARCHAR", "JSON") or self.type.startswith("ENUM")


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

    def events_sql(self, timezone: str, now_us: int, n_buckets: int) -> str:
        """Return the query that types every row, judges it and names its bucket.

        The user's query begins on its second line. Beside the event columns (times in
        microseconds) it gives `kind_code`, `reason` (NULL for an event), `kind` and `row` (text
        and JSON, of a rejected row only) and `bucket` (-1 for a rejected row).
        """
        kept = [name for name in self.mapped if name != "kind"]
        raw = ", ".join(f"{_quoted(column.name)} AS {column.sql}" for column in self.given)
        pairs = ", ".join(f"{_literal(column.name)}: {column.sql}" for column in self.given)
        judged = verdict(frozenset(self.mapped)).replace("$now", str(now_us))
        return (
            f"SELECT {', '.join(kept)}, reason, {_KIND_CODE} AS kind_code,"
            f" CASE WHEN reason IS NOT NULL THEN kind END AS kind,"
            f" CASE WHEN reason IS NOT NULL THEN to_json({{{pairs}}})::VARCHAR END AS row,"
            f" CASE WHEN reason IS NULL THEN {bucket_sql('customer_id', n_buckets)}"
            f" ELSE {REJECTED} END AS bucket"
            f" FROM (SELECT *, {' '.join(judged.split())} AS reason"
            f" FROM (SELECT *, {', '.join(self._typed(timezone))}"
            f" FROM (SELECT {raw} FROM (\n{self.query}\n) AS source)))"
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
    """Check the user's query without running it; `where` is what messages call it.

    Raises
    ------
    MappingError
        It is not one SELECT, does not bind, lacks a required column, or gives one a type that
        cannot be read; the message names the line or the column.
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
    by_name = {column.name.lower(): column for column in reversed(given)}
    mapped = {name: by_name[name] for name in COLUMNS if name in by_name}
    for name, meaning in REQUIRED.items():
        if name not in mapped:
            raise MappingError(f"{where} {_missing(name, meaning, given)}")
    for name, column in mapped.items():
        if not _is_readable(name, column):
            raise MappingError(
                f"{where}: column {name!r} is of type {column.type}; {_way_out(name, column)}"
            )
    return MappedQuery(query, given, mapped)


def _embeddable(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the query without the semicolon that a subquery may not end in."""
    try:
        connection.extract_statements(f"SELECT * FROM (\n{query}\n)")
    except duckdb.ParserException:
        return query[: query.rfind(";")]
    return query


def _missing(name: str, meaning: str, given: tuple[Column, ...]) -> str:
    names = [column.name for column in given]
    found = nearest_name(name, names)
    hint = f"; did you mean `{found} AS {name}`?" if found else f"; add {meaning}"
    return f"gives no column {name!r} (it gives {', '.join(names)}){hint}"


def _is_readable(name: str, column: Column) -> bool:
    if column.type == "NULL":
        return True
    if name in TEXTS:
        return not column.type.endswith("]") and not column.type.startswith(_NESTED)
    if name in TIMES:
        return column.is_text or column.type in _NAIVE_TIMES | _ZONED_TIMES
    numeric = column.type in _INTEGERS | _EXACT_UP_TO.keys() or column.type.startswith("DECIMAL")
    return column.is_text or numeric


def _way_out(name: str, column: Column) -> str:
    if name in TEXTS:
        return "give one text or number"
    if name in TIMES:
        return f"make it a time, such as to_timestamp({column.name}) for seconds since 1970"
    return f"cast it, such as {column.name}::DOUBLE"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
