"""The user's SQL for a ready table, checked and turned into typed, judged rows.

As in `training.own_mapping`, one query around the user's casts each column, judges the row, and
keeps a rejected one as JSON with the reason.
"""

from dataclasses import dataclass

import duckdb

from churn.advice import nearest
from churn.columns import Column
from churn.errors import MappingError
from training.columns import Column as SqlColumn
from training.columns import is_readable, way_out
from training.mapping import as_json, columns_of, missing, renamed
from training.own_columns import Own, check_names, declared, judged
from training.rules import EARLIEST_US
from training.table.config import Table

LABEL = "is_churn"
_REQUIRED = {
    "customer_id": "whose row it is, such as `client AS customer_id`",
    LABEL: "whether the customer left, such as `churned AS is_churn`",
}
_YES, _NO = "('true', 't', 'yes', 'y', '1')", "('false', 'f', 'no', 'n', '0')"


@dataclass(frozen=True, slots=True)
class TableQuery:
    """The user's query and what it gives.

    Attributes
    ----------
    query : str
        One SELECT statement.
    given : tuple of SqlColumn
        All its columns.
    customer_id : SqlColumn
        Whose row it is.
    label, group, as_of : SqlColumn or None
        Whether the customer left, with whom the row stays together, when it was made.
    own : tuple of (Column, SqlColumn)
        The columns to predict from: what they are, and where they come from.
    """

    query: str
    given: tuple[SqlColumn, ...]
    customer_id: SqlColumn
    label: SqlColumn | None
    group: SqlColumn | None
    as_of: SqlColumn | None
    own: Own

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the columns to predict from are."""
        return tuple(column for column, _ in self.own)

    def rows_sql(self, now_us: int) -> str:
        """Return the query that types every row and judges it.

        It gives customer_id, is_churn, group_name, as_of (microseconds), own_0, own_1, ..., reason
        (NULL for a good row) and row (JSON, of a rejected row only). The user's query begins on its
        second line.
        """
        typed = [
            f"CASE WHEN {self.customer_id.is_given} THEN {self.customer_id.text} END"
            " AS customer_id",
            f"NOT {self.customer_id.is_whole} AS customer_id_broken",
            f"{'NULL::VARCHAR' if self.group is None else self.group.text} AS group_name",
        ]
        cases = [
            "WHEN customer_id IS NULL THEN 'customer_id_missing'",
            "WHEN customer_id_broken THEN 'customer_id_not_whole'",
        ]
        if self.label is None:
            typed.append(f"NULL::BOOLEAN AS {LABEL}")
        else:
            typed += [f"{_yes_or_no(self.label)} AS {LABEL}", f"{self.label.is_given} AS labelled"]
            cases += [
                "WHEN NOT labelled THEN 'is_churn_missing'",
                f"WHEN {LABEL} IS NULL THEN 'is_churn_not_yes_or_no'",
            ]
        if self.as_of is None:
            typed.append("NULL::BIGINT AS as_of")
        else:
            typed += [f"{self.as_of.time('UTC')} AS as_of", f"{self.as_of.is_given} AS dated"]
            cases += [
                "WHEN NOT dated THEN 'as_of_missing'",
                "WHEN as_of IS NULL THEN 'as_of_unparseable'",
                f"WHEN as_of < {EARLIEST_US} THEN 'as_of_before_1970'",
                f"WHEN as_of > {now_us} THEN 'as_of_in_the_future'",
            ]
        own_typed, own_cases = judged(self.own)
        kept = ", ".join(f"own_{at}" for at in range(len(self.own)))
        return (
            f"SELECT customer_id, {LABEL}, group_name, as_of, {kept}, reason,"
            f" CASE WHEN reason IS NOT NULL THEN {as_json(self.given)} END AS row"
            f" FROM (SELECT *, CASE {' '.join([*cases, *own_cases])} END AS reason"
            f" FROM (SELECT *, {', '.join([*typed, *own_typed])}"
            f" FROM ({renamed(self.query, self.given)})))"
        )


def describe_table(
    connection: duckdb.DuckDBPyConnection, table: Table, where: str, *, labelled: bool
) -> TableQuery:
    """Check the user's query without running it.

    Parameters
    ----------
    connection : DuckDBPyConnection
        In the configuration's folder.
    table : Table
        The query and what its columns are.
    where : str
        What messages call the query.
    labelled : bool
        Whether the label is asked for; it is left out, if given, where it is not.

    Raises
    ------
    MappingError
        It is not one SELECT, does not bind, lacks a column that is required or declared, or gives
        one whose name or type cannot be used.
    """
    query, given = columns_of(connection, table.query, where)
    check_names([column.name for column in given], where)
    by_name = {column.name.lower(): column for column in given}
    for name, meaning in _REQUIRED.items():
        if name not in by_name and (labelled or name != LABEL):
            raise MappingError(f"{where} {missing(name, meaning, given)}")
    set_apart = {"customer_id", LABEL}
    for key, chosen in (("group", table.group), ("as_of", table.as_of)):
        if chosen is None:
            continue
        if chosen.lower() not in by_name or chosen.lower() in set_apart:
            names = [one.name for one in given if one.name.lower() not in set_apart]
            raise MappingError(
                f"{where} gives no column {chosen!r}, which [table] {key} names "
                f"(it gives {', '.join(names)}){nearest(chosen, names)}"
            )
        set_apart.add(chosen.lower())
    readable_as = [("customer_id", "customer_id"), (LABEL, "kind")]
    readable_as += [(name, "customer_id") for name in [table.group] if name is not None]
    readable_as += [(name, "occurred_at") for name in [table.as_of] if name is not None]
    for name, like in readable_as:
        column = by_name.get(name.lower())
        if column is not None and not is_readable(like, column):
            raise MappingError(
                f"{where}: column {name!r} is of type {column.type}; {way_out(like, column)}"
            )
    return TableQuery(
        query,
        given,
        by_name["customer_id"],
        by_name.get(LABEL) if labelled else None,
        by_name[table.group.lower()] if table.group else None,
        by_name[table.as_of.lower()] if table.as_of else None,
        _own(table, tuple(one for one in given if one.name.lower() not in set_apart), where),
    )


def _own(table: Table, sources: tuple[SqlColumn, ...], where: str) -> Own:
    if not sources:
        raise MappingError(f"{where} gives no column to predict the label from")
    return declared(sources, table.columns, where, "table.columns")


def _yes_or_no(source: SqlColumn) -> str:
    if source.type == "BOOLEAN":
        return source.sql
    if source.is_text:
        word = f"lower(trim({source.text}))"
        return f"CASE WHEN {word} IN {_YES} THEN TRUE WHEN {word} IN {_NO} THEN FALSE END"
    return f"CASE {source.sql} WHEN 1 THEN TRUE WHEN 0 THEN FALSE END"
