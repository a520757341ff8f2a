"""Decisions and what came of them as a Parquet file, from which campaigns are judged."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.whole_file import appearing

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("decided_at", _TIME),
        ("as_of", _TIME),
        ("action", pa.string()),
        ("withheld", pa.bool_()),
        ("explored", pa.bool_()),
        ("propensity", pa.float64()),
        ("situation", pa.string()),
        ("reason", pa.string()),
        ("segment", pa.string()),
        ("band", pa.string()),
        ("probability", pa.float64()),
        ("value", pa.float64()),
        ("expected_value", pa.float64()),
        ("cost", pa.float64()),
        ("model_version", pa.string()),
        ("policy_version", pa.string()),
        ("horizon_days", pa.int64()),
        ("delivered_at", _TIME),
        ("accepted_at", _TIME),
        ("rejected_at", _TIME),
        ("ignored_at", _TIME),
        ("retained_at", _TIME),
        ("lost_at", _TIME),
        ("purchased", pa.bool_()),
        ("revenue", pa.float64()),
        ("facts", pa.string()),
    ]
)

Page = Mapping[str, Sequence[Any]]
"""Columns by name; instants in microseconds since 1970-01-01 UTC."""


def write(pages: Iterable[Page], out: Path) -> int:
    """Write decisions under a temporary name, then rename; return how many.

    Parameters
    ----------
    pages : iterable of columns by name
        In the order of the file; a page is held in memory.
    out : Path
        A .parquet file.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    rows = 0
    with (
        appearing(out) as sink,
        pq.ParquetWriter(sink, SCHEMA, compression="zstd") as parquet,
    ):
        for page in pages:
            table = pa.table({name: page[name] for name in SCHEMA.names}, schema=SCHEMA)
            parquet.write_table(table)
            rows += table.num_rows
    return rows
