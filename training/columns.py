"""How a column of any type that DuckDB knows becomes text, a number or a time of an event."""

from dataclasses import dataclass

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
    def is_numeric(self) -> bool:
        """Whether it is a number by its type."""
        return self.type in _INTEGERS | _EXACT_UP_TO.keys() or self.type.startswith("DECIMAL")

    @property
    def is_name(self) -> bool:
        """Whether it is the name of something by its type: text, an enumeration, yes or no."""
        return self.is_text or self.type in ("BOOLEAN", "UUID")

    def is_readable_as(self, kind: str) -> bool:
        """Whether it can be read as a ``numeric`` or a ``categorical`` column."""
        if kind == "categorical":
            return is_readable("category", self)
        return is_readable("amount", self) or self.type == "BOOLEAN"

    @property
    def is_text(self) -> bool:
        """Whether it is text to be parsed."""
        return self.type in ("VARCHAR", "JSON") or self.type.startswith("ENUM")


def is_readable(name: str, column: Column) -> bool:
    """Whether a column of this type can be the event column `name`."""
    if column.type == "NULL":
        return True
    if name in TEXTS:
        return not column.type.endswith("]") and not column.type.startswith(_NESTED)
    if name in TIMES:
        return column.is_text or column.type in _NAIVE_TIMES | _ZONED_TIMES
    return column.is_text or column.is_numeric


def way_out(name: str, column: Column) -> str:
    """Say what to do about a column that cannot be the event column `name`."""
    if name in TEXTS:
        return "give one text or number"
    if name in TIMES:
        return f"make it a time, such as to_timestamp({column.name}) for seconds since 1970"
    return f"cast it, such as {column.name}::DOUBLE"
