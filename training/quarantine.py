"""Why a row cannot be an event: every reason, the SQL that finds it and the way out.

A row is rejected for the first reason that applies. Nothing is silently dropped: a rejected row is
counted, and kept as it came in the quarantine file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from churn.events import KIND_CODES, Kind

EARLIEST_US = 0
"""Events before 1970 are taken for placeholders such as 1900-01-01."""

MONEY_KINDS = (Kind.PURCHASE, Kind.RETURN, Kind.CANCELLATION)

DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason to reject a row.

    Attributes
    ----------
    reason : str
        Stable name, as in the report and the quarantine file.
    column : str
        The event column it is about; the rule is skipped where the query does not give it.
    condition : str
        SQL over the typed columns (see `training.mapping`), true for a row to reject.
    advice : str
        What to do about it.
    """

    reason: str
    column: str
    condition: str
    advice: str


def _codes(kinds: tuple[Kind, ...]) -> str:
    return ", ".join(f"'{kind.value}'" for kind in kinds)


def _number(column: str) -> list[Rule]:
    return [
        Rule(
            f"{column}_unparseable",
            column,
            f"{column}_given AND {column} IS NULL",
            f"{column} is not a number: cast it in the query, "
            f"for instance replace(x, ',', '.')::DOUBLE",
        ),
        Rule(
            f"{column}_not_finite",
            column,
            f"NOT isfinite({column})",
            f"{column} is infinite: look for a division by zero in the query",
        ),
    ]


RULES: tuple[Rule, ...] = (
    Rule(
        "customer_id_missing",
        "customer_id",
        "customer_id IS NULL",
        "events of nobody teach nothing: expected of guest purchases, otherwise check the join",
    ),
    Rule(
        "customer_id_not_whole",
        "customer_id",
        "customer_id_broken",
        "customer_id is a number with a fraction or too large to be exact: give it as text",
    ),
    Rule(
        "occurred_at_missing",
        "occurred_at",
        "NOT occurred_at_given",
        "an event needs its time: map another column to occurred_at",
    ),
    Rule(
        "occurred_at_unparseable",
        "occurred_at",
        "occurred_at IS NULL",
        "occurred_at is not an ISO date: use strptime(x, '%d.%m.%Y %H:%M') in the query",
    ),
    Rule(
        "occurred_before_1970",
        "occurred_at",
        f"occurred_at < {EARLIEST_US}",
        "dates before 1970 are usually placeholders for an unknown date",
    ),
    Rule(
        "occurred_in_the_future",
        "occurred_at",
        "occurred_at >= $now",
        "check the clock and the [events] timezone, or leave out planned events",
    ),
    Rule("kind_missing", "kind", "kind IS NULL", "map every row to a kind, such as 'purchase'"),
    Rule(
        "kind_unknown",
        "kind",
        f"kind NOT IN ({_codes(tuple(Kind))})",
        "use CASE in the query to map it to a known kind, or leave such rows out",
    ),
    Rule(
        "known_at_unparseable",
        "known_at",
        "known_at_given AND known_at IS NULL",
        "known_at is not an ISO date: use strptime(x, '%d.%m.%Y %H:%M') in the query",
    ),
    Rule(
        "known_before_it_occurred",
        "known_at",
        "known_at < occurred_at",
        "known_at is when the business learned of it, never earlier than occurred_at",
    ),
    Rule(
        "known_in_the_future",
        "known_at",
        "known_at >= $now",
        "nobody knows it yet: leave such rows out or correct known_at",
    ),
    *_number("amount"),
    Rule(
        "amount_negative",
        "amount",
        f"amount < 0 AND kind IN ({_codes(MONEY_KINDS[1:])})",
        "the amount of a return or cancellation is positive: use abs(amount)",
    ),
    Rule(
        "amount_not_positive",
        "amount",
        f"amount <= 0 AND kind IN ({_codes(MONEY_KINDS)})",
        "nothing was paid: gifts and corrections are not purchases; give returns the kind 'return'",
    ),
    *_number("value"),
    *_number("quantity"),
    Rule(
        "quantity_not_positive",
        "quantity",
        "quantity <= 0 AND kind = 'purchase'",
        "nothing was bought: corrections are not purchases; give returns the kind 'return'",
    ),
    *_number("discount"),
    Rule(
        "discount_negative",
        "discount",
        "discount < 0",
        "discount is the money taken off, zero or more",
    ),
)

ADVICE: dict[str, str] = {rule.reason: rule.advice for rule in RULES} | {
    DUPLICATE: (
        "the same event twice; if these are separate events, tell them apart by an event_id, "
        "order_id, category or quantity"
    )
}


def verdict(columns: frozenset[str]) -> str:
    """SQL for the first reason to reject a row, NULL for a good one.

    Parameters
    ----------
    columns : frozenset of str
        The event columns that the query gives.
    """
    cases = [
        f"WHEN {rule.condition} THEN '{rule.reason}'" for rule in RULES if rule.column in columns
    ]
    return "CASE " + "\n     ".join(cases) + " END"


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was set aside.

    Attributes
    ----------
    reasons : Counter of str
        Rows by reason.
    unknown_kinds : Counter of str
        Rows by the kind they named, for the most frequent unknown kinds.
    """

    reasons: Counter[str]
    unknown_kinds: Counter[str]


def keep_rejected(
    connection: duckdb.DuckDBPyConnection,
    rejected: Sequence[Path],
    repeats: Sequence[Path],
    path: Path,
) -> Rejected:
    """Write the quarantine file and count what is in it.

    Parameters
    ----------
    connection : DuckDBPyConnection
        With the time zone of the report.
    rejected : sequence of Path
        Parquet files of rows judged to be no events.
    repeats : sequence of Path
        Parquet files of rows that repeat an earlier event.
    path : Path
        Where to write: reason, customer_id, occurred_at, kind, row (JSON).
    """
    parts = [
        "SELECT NULL::VARCHAR AS reason, NULL::VARCHAR AS customer_id,"
        " NULL::TIMESTAMPTZ AS occurred_at, NULL::VARCHAR AS kind, NULL::VARCHAR AS row"
        " WHERE FALSE"
    ]
    if rejected:
        parts.append(
            "SELECT reason, customer_id, make_timestamptz(occurred_at), kind, row"
            f" FROM read_parquet({_list(rejected)}, hive_partitioning = false)"
        )
    if repeats:
        kinds = ", ".join(f"'{kind}'" for kind in KIND_CODES)
        parts.append(
            f"SELECT '{DUPLICATE}', customer_id, occurred_at, kind, to_json(repeat)::VARCHAR FROM ("
            f" SELECT * EXCLUDE kind_code REPLACE (make_timestamptz(occurred_at) AS occurred_at),"
            f" [{kinds}][kind_code + 1] AS kind"
            f" FROM read_parquet({_list(repeats)})) AS repeat"
        )
    connection.execute(
        f"COPY ({' UNION ALL '.join(parts)}) TO {_literal(str(path))}"
        " (FORMAT parquet, COMPRESSION zstd)"
    )
    written = f"read_parquet({_literal(str(path))})"
    reasons = connection.execute(
        f"SELECT reason, count(*) FROM {written} GROUP BY reason ORDER BY 2 DESC, 1"
    ).fetchall()
    kinds_found = connection.execute(
        f"SELECT kind, count(*) FROM {written} WHERE reason = 'kind_unknown'"
        " GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 5"
    ).fetchall()
    return Rejected(Counter(dict(reasons)), Counter(dict(kinds_found)))


def _list(paths: Sequence[Path]) -> str:
    return "[" + ", ".join(_literal(str(path)) for path in paths) + "]"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
