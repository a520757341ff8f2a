"""Taking one customer's rows out of a Parquet file. Loaded only where pyarrow is installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.jobs.files import Hashed, replacing
from service.jobs.job import JobFailed
from service.jobs.named_columns import CUSTOMER
from service.jobs.parquet_in import identifiers_as_text, opened, readable

_ROWS = 65_536


def holds(path: Path, customer_id: str) -> bool:
    """Whether a customer has rows in a file, or may have them in one that cannot be read."""
    try:
        with readable():
            return any(_theirs(batch, customer_id).any() for batch in _batches(opened(path)))
    except JobFailed:
        return True


def rewrite(path: Path, customer_id: str) -> int:
    """Leave a customer's rows out of a file; return how many there were.

    Of a file that cannot be read nothing is left.
    """
    removed = 0
    try:
        with readable(), replacing(path) as handle:
            file = opened(path)
            with pq.ParquetWriter(Hashed(handle), file.schema_arrow, compression="zstd") as writer:
                for batch in _batches(file):
                    theirs = _theirs(batch, customer_id)
                    kept = batch.filter(pa.array(~theirs))
                    removed += int(theirs.sum())
                    if len(kept):
                        writer.write_batch(kept, row_group_size=len(kept))
    except JobFailed:
        with replacing(path):
            return 0
    return removed


def _batches(file: Any) -> Iterator[Any]:
    """All rows; those of one batch are of one row group."""
    if CUSTOMER not in file.schema_arrow.names:
        raise JobFailed(f"the input has no column `{CUSTOMER}`")
    for group in range(file.num_row_groups):
        yield from file.iter_batches(_ROWS, row_groups=[group], use_threads=False)


def _theirs(batch: Any, customer_id: str) -> Any:
    names = identifiers_as_text(batch.column(CUSTOMER)).to_pylist()
    return np.array([name == customer_id for name in names], dtype=np.bool_)
