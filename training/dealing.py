"""Judged rows, dealt: whole customers into bucket files, rejected rows into one file of their own.

The database only reads, types and judges; it hands over Arrow batches, which are brought into the
order of the buckets here. That costs a third of what its own partitioned writer does
(`python -m benchmarks features`) and needs a fixed amount of memory.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.buckets import buckets_of

BATCH_ROWS = 262_144
REJECTED_COLUMNS = ("reason", "customer_id", "occurred_at", "kind", "row")
"""`kind` (as text) and `row` (JSON) are of a rejected row only, `kind_code` of an event only."""

_SPARE_COLUMNS = frozenset({"reason", "kind", "row"})


def deal(
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    n_buckets: int,
    rejected_columns: Sequence[str] = REJECTED_COLUMNS,
) -> int:
    """Write each row to its bucket's file, or to `rejected_path`, and return the number of rows.

    Parameters
    ----------
    batches : iterable of RecordBatch
        Rows as `training.mapping.MappedQuery.events_sql` gives them.
    folder : Path
        Made if missing. A file is written only where there is a row for it.
    n_buckets : int
        Number of buckets.
    rejected_columns : sequence of str
        What is kept of a rejected row.
    """
    folder.mkdir(parents=True, exist_ok=True)
    n_rows = 0
    with ExitStack() as stack:
        buckets: dict[int, pa.RecordBatchStreamWriter] = {}
        rejected: pq.ParquetWriter | None = None
        for batch in batches:
            n_rows += batch.num_rows
            events = batch
            if batch.column("reason").null_count < batch.num_rows:
                is_event = pc.is_null(batch.column("reason"))
                events = batch.filter(is_event)
                refused = batch.filter(pc.invert(is_event)).select(rejected_columns)
                if rejected is None:
                    rejected = stack.enter_context(
                        pq.ParquetWriter(rejected_path(folder), refused.schema, compression="zstd")
                    )
                rejected.write_batch(refused)
            names = [name for name in events.schema.names if name not in _SPARE_COLUMNS]
            events = events.select(names)
            bucket = buckets_of(events.column("customer_id"), n_buckets)
            order = np.argsort(bucket, kind="stable")
            starts = np.searchsorted(bucket[order], np.arange(n_buckets + 1))
            sorted_events = events.take(pa.array(order))
            for k in np.flatnonzero(np.diff(starts)).tolist():
                if k not in buckets:
                    sink = stack.enter_context(pa.OSFile(str(bucket_path(folder, k)), "wb"))
                    buckets[k] = stack.enter_context(pa.ipc.new_stream(sink, events.schema))
                buckets[k].write_batch(sorted_events.slice(starts[k], starts[k + 1] - starts[k]))
    return n_rows


def bucket_path(folder: Path, k: int) -> Path:
    """Where the rows of bucket `k` lie, if it has any."""
    return folder / f"{k:03d}.arrows"


def rejected_path(folder: Path) -> Path:
    """Where the rejected rows lie, if there are any."""
    return folder / "rejected.parquet"


def read_bucket(folder: Path, k: int) -> pa.Table | None:
    """Read the rows of bucket `k`, in the order they came; None if it has none."""
    path = bucket_path(folder, k)
    if not path.exists():
        return None
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()
