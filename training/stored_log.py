"""The log of a `keepwell.toml` as a store keeps it: customer by customer, in canonical order.

The rows are read, judged and dealt into buckets as for training, but keep all that they say: the
names of orders, cases and channels, not codes of them. A bucket is cut into parts of whole
customers; its fingerprint is that of its events, in whatever order they came.
"""

import hashlib
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.errors import DataError
from churn.events import Event, Kind
from training import sorted_buckets
from training.buckets import N_BUCKETS
from training.config import Config
from training.dealing import read_bucket, rejected_path
from training.ingest import MEMORY_LIMIT, connected, deal_events, keep
from training.mapping import describe
from training.progress import Progress
from training.quarantine import Rejected, keep_rejected

PART_EVENTS = 40_000
"""Events of one part, more or less: a transaction of a quarter of a second."""

_KINDS = tuple(Kind)
_FIELDS = ("occurred_at", "kind_code", *Event._fields[2:])


@dataclass(frozen=True, slots=True)
class Part:
    """Some customers of a bucket.

    Attributes
    ----------
    number : int
        Which part of its bucket.
    events : Table
        Their events.
    """

    number: int
    events: pa.Table

    def customers(self) -> dict[str, list[list[Any]]]:
        """Each customer's events as columns in the order of `Event`'s fields, a kind its code."""
        who = self.events.column("customer_id").to_pylist()
        given = {
            name: self.events.column(name).to_pylist()
            for name in _FIELDS
            if name in self.events.column_names
        }
        starts = [at for at in range(len(who)) if at == 0 or who[at] != who[at - 1]]
        found = {}
        for start, end in zip(starts, [*starts[1:], len(who)], strict=True):
            nothing = [None] * (end - start)
            found[who[start]] = [
                given[name][start:end] if name in given else nothing for name in _FIELDS
            ]
        return found

    def last(self) -> dict[Kind, int]:
        """When the last event of each kind happened."""
        rows = self.events.group_by("kind_code").aggregate([("occurred_at", "max")])
        codes, last = rows.column("kind_code"), rows.column("occurred_at_max")
        return {
            _KINDS[code]: at for code, at in zip(codes.to_pylist(), last.to_pylist(), strict=True)
        }


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's events in canonical order, without repeats.

    Attributes
    ----------
    source : str
        Fingerprint of the events.
    events : Table
        The events: `customer_id`, and `Event`'s fields as far as the log gives them, `kind_code`
        for the kind.
    repeats : int
        Rows that repeat one of the events.
    """

    source: str
    events: pa.Table
    repeats: int

    def parts(self) -> Iterator[Part]:
        """Cut into parts of whole customers, the same every time."""
        who = self.events.column("customer_id").combine_chunks().dictionary_encode()
        first = np.flatnonzero(np.diff(who.indices.to_numpy(), prepend=-1))
        cuts = np.unique(first // PART_EVENTS, return_index=True)[1]
        starts = [*first[cuts].tolist(), len(self.events)]
        for number, (start, end) in enumerate(pairwise(starts)):
            yield Part(number, self.events.slice(start, end - start))


class StoredLog:
    """A log that was read and dealt.

    Attributes
    ----------
    rows : int
        Rows of the query.
    rejected : Rejected
        Those that are no events, by reason.
    """

    def __init__(self, folder: Path, rows: int, rejected: Rejected, quarantine: Path) -> None:
        self.rows = rows
        self.rejected = rejected
        self._folder = folder
        self._quarantine = quarantine

    @property
    def n_rejected(self) -> int:
        """How many rows are no events."""
        return self.rejected.reasons.total()

    def keep_quarantine(self, target: Path) -> Path | None:
        """Copy the rows that are no events to `target`; None if there are none."""
        return keep(self._quarantine, target, self.n_rejected) if self.n_rejected else None

    def buckets(self) -> Iterator[Bucket]:
        """Every bucket that holds anything, one at a time."""
        for k in range(N_BUCKETS):
            dealt = read_bucket(self._folder, k)
            if dealt is not None:
                events, repeats = sorted_buckets.in_order(dealt)
                yield Bucket(_fingerprint(events), events, repeats)


def read_log(config: Config, work_dir: Path, *, now_us: int, progress: Progress) -> StoredLog:
    """Run the user's query and deal its events.

    Parameters
    ----------
    config : Config
        The query and how to read it.
    work_dir : Path
        A folder with room for the log, which the result reads from.
    now_us : int
        Later events are rejected; microseconds since 1970-01-01 UTC.
    progress : Progress
        Told of the rows read.

    Raises
    ------
    MappingError
        The query fails, or lacks a required column.
    DataError
        The query gives no rows.
    """
    dealt, quarantine = work_dir / "dealt", work_dir / "quarantine.parquet"
    with connected(config, work_dir, MEMORY_LIMIT) as connection:
        with chdir(config.base_dir):
            mapped = describe(connection, config.events.query, f"{config.path}: [events] query")
            progress.stage("reading events")
            rows = deal_events(connection, mapped, config, dealt, now_us, N_BUCKETS, progress)
        if rows == 0:
            raise DataError(f"{config.path}: [events] query gives no rows")
        rejected = [path for path in [rejected_path(dealt)] if path.exists()]
        counted = keep_rejected(connection, rejected, [], quarantine)
    return StoredLog(dealt, rows, counted, quarantine)


def _fingerprint(events: pa.Table) -> str:
    """SHA-256 of a bucket's events and of how they are cut."""
    digest = hashlib.sha256(f"{PART_EVENTS}".encode())
    for name in sorted(events.column_names):
        column = events.column(name).combine_chunks()
        digest.update(f"{name}:{column.type}:{len(column)}".encode())
        digest.update(np.packbits(column.is_valid().to_numpy(zero_copy_only=False)).data)
        if pa.types.is_string(column.type):
            lengths, text = sorted_buckets.lengths_and_text(pc.fill_null(column, ""))
            digest.update(lengths.data)
            digest.update(text)
        else:
            digest.update(pc.fill_null(column, 0).to_numpy(zero_copy_only=False).data)
    return digest.hexdigest()
