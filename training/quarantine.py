"""The quarantine file: every row that is no event, as it came, with the reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from churn.events import KIND_CODES
from training.rules import DUPLICATE


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
