"""From the user's files to sorted buckets of events: read once, judged, dealt, deduplicated.

DuckDB runs the user's SQL over files larger than memory and judges every row; whole customers are
dealt into buckets, and rows that are no events go to quarantine with the reason. Each bucket is
then brought into canonical order once, repeats are dropped and counted, and it is kept as flat
columns that later passes read almost for free.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from churn.errors import ConfigError, DataError, MappingError
from churn.events import EventLog, Feed
from training import sorted_buckets
from training.buckets import N_BUCKETS
from training.config import Config
from training.dealing import BATCH_ROWS, deal, read_bucket, rejected_path
from training.mapping import MappedQuery, describe
from training.own_ingest import ingest_own
from training.own_rows import OwnRows
from training.progress import Progress, Silent
from training.quarantine import keep_rejected
from training.sorted_buckets import Finished
from training.sql_errors import condense
from training.tally import Tally
from training.usability import Usability, assess, latest_end

MEMORY_LIMIT = "1GB"


@dataclass(frozen=True, slots=True)
class Ingested:
    """A log that is ready to be learnt from.

    Attributes
    ----------
    usability : Usability
        The data-usability report.
    n_buckets : int
        Number of buckets.
    complete_until : int
        The log is complete until this time (exclusive), microseconds since 1970-01-01 UTC.
    first_event, last_event : int
        Times of the first and the last event, microseconds since 1970-01-01 UTC.
    feeds : frozenset of Feed
        The feeds that the log has; orders always.
    fingerprint : str
        SHA-256 (hex) of the accepted events, the same whatever the order they came in (but not
        for another number of buckets).
    quarantine : Path
        Parquet file of the rejected rows: reason, customer_id, occurred_at, kind, row (JSON).
    own : OwnRows or None
        The columns of the user's own, where there are any.
    """

    usability: Usability
    n_buckets: int
    complete_until: int
    first_event: int
    last_event: int
    feeds: frozenset[Feed]
    fingerprint: str
    quarantine: Path
    events_dir: Path
    own: OwnRows | None = None

    def bucket(self, k: int) -> EventLog:
        """Events of the customers of bucket `k`, in canonical order, without repeats."""
        return sorted_buckets.read(_bucket_path(self.events_dir, k))

    def categories(self, k: int) -> list[str]:
        """Names of the categories that bucket `k` counts from 0."""
        return sorted_buckets.category_names(_bucket_path(self.events_dir, k))

    @property
    def rejected(self) -> int:
        """Number of rows that are no events."""
        return self.usability.rows - self.usability.accepted

    def keep_quarantine(self, target: Path) -> Path | None:
        """Copy the rejected rows to `target`, whole or not at all; None if there are none.

        Raises
        ------
        DataError
            The file cannot be written.
        """
        return None if self.rejected == 0 else keep(self.quarantine, target, self.rejected)

    def keep_own_quarantine(self, target: Path) -> Path | None:
        """The same for the rejected rows of `[features]`; the file lies beside `target`."""
        if self.own is None or self.own.report.quarantine is None:
            return None
        beside = target.with_name(f"{target.stem}_features{target.suffix}")
        return keep(self.own.report.quarantine, beside, self.own.report.rejected)

    def lines(self) -> list[str]:
        """What the log and the user's own columns hold, a fact per line."""
        return self.usability.lines() + ([] if self.own is None else self.own.report.lines())

    def quarantine_note(self, folder: Path) -> str | None:
        """Keep the rejected rows in a folder and say where, or why not; None if there are none."""
        try:
            kept = self.keep_quarantine(folder / "quarantine.parquet")
            kept_own = self.keep_own_quarantine(folder / "quarantine.parquet")
        except DataError as error:
            return str(error)
        notes = []
        if kept is not None:
            notes.append(f"the {self.rejected:,} rejected rows, each with its reason: {kept}")
        if kept_own is not None and self.own is not None:
            notes.append(f"the {self.own.report.rejected:,} of [features]: {kept_own}")
        return "; ".join(notes) or None


def keep(source: Path, target: Path, rows: int) -> Path:
    """Copy a file of rejected rows, whole or not at all.

    Raises
    ------
    DataError
        It cannot be written.
    """
    partial = target.with_name(f"{target.name}.tmp")
    try:
        shutil.copyfile(source, partial)
        return partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"the {rows:,} rejected rows cannot be kept in {target}: {error.strerror}"
        ) from None


def ingest(
    config: Config,
    work_dir: Path,
    *,
    now_us: int,
    progress: Progress | None = None,
    n_buckets: int = N_BUCKETS,
    memory_limit: str = MEMORY_LIMIT,
) -> Ingested:
    """Run the user's query and bring its events into sorted buckets under `work_dir`.

    The query's relative paths are those of the configuration's folder, which is the working
    directory of the whole process while the query runs.

    Parameters
    ----------
    config : Config
        The query and how to read it.
    work_dir : Path
        A folder, made if missing, with room for twice the log; an earlier run's is replaced.
    now_us : int
        Later events are rejected; microseconds since 1970-01-01 UTC.
    progress : Progress, optional
        Told of the stages.
    n_buckets : int, default 64
        More buckets, less memory.
    memory_limit : str, default "1GB"
        What DuckDB may hold in memory before it spills to `work_dir`.

    Raises
    ------
    MappingError
        The query fails, or lacks a required column.
    DataError
        The query gives no rows, no usable rows or no purchases.
    ConfigError
        `complete_until` lies in the future.
    """
    progress = progress or Silent()
    work_dir = work_dir.absolute()
    dealt, events = work_dir / "dealt", work_dir / "events"
    for folder in (dealt, events):
        shutil.rmtree(folder, ignore_errors=True)
    events.mkdir(parents=True)
    with connected(config, work_dir, memory_limit) as connection:
        with contextlib.chdir(config.base_dir):
            where = f"{config.path}: [events] query"
            mapped = describe(connection, config.events.query, where)
            progress.stage("reading events")
            n_rows = deal_events(connection, mapped, config, dealt, now_us, n_buckets, progress)
        if n_rows == 0:
            raise DataError(f"{config.path}: [events] query gives no rows")
        progress.stage("sorting events", n_buckets)
        until_us = latest_end(config, now_us)
        finished = list(_finish(dealt, events, n_buckets, until_us, progress))
        quarantine = work_dir / "quarantine.parquet"
        rejected = keep_rejected(
            connection,
            [path for path in [rejected_path(dealt)] if path.exists()],
            sorted(events.glob("repeats-*.parquet")),
            quarantine,
        )
        own = None
        if config.features.query is not None:
            progress.stage("reading columns of your own")
            own = ingest_own(
                connection,
                config,
                work_dir,
                now_us=now_us,
                n_buckets=n_buckets,
                customers_of=lambda k: sorted_buckets.customers(_bucket_path(events, k)),
            )
    shutil.rmtree(dealt)
    for repeats in events.glob("repeats-*.parquet"):
        repeats.unlink()
    total = Tally()
    for part in finished:
        total.add(part.tally)
    usability = assess(total, n_rows, rejected, mapped.unused(), config, now_us)
    return Ingested(
        usability=usability,
        n_buckets=n_buckets,
        complete_until=usability.complete_until,
        first_event=usability.first_event,
        last_event=usability.last_event,
        feeds=frozenset({Feed.ORDERS}).union(*(part.feeds for part in finished)),
        fingerprint=hashlib.sha256(
            b"".join(part.digest for part in finished) + (own.digest if own else b"")
        ).hexdigest(),
        quarantine=quarantine,
        events_dir=events,
        own=own,
    )


@contextlib.contextmanager
def connected(
    config: Config, work_dir: Path, memory_limit: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database in memory that reads files as the configuration has them."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory_limit,
        "temp_directory": str(work_dir / "spill"),
        "preserve_insertion_order": False,
        "python_enable_replacements": False,  # a table is a file's, never a variable's of ours
        "threads": os.cpu_count() or 1,
    }
    with duckdb.connect(":memory:", config=settings) as connection:
        try:
            connection.execute(f"SET TimeZone = '{config.events.timezone}'")
        except duckdb.Error:
            raise ConfigError(
                f"{config.path}: [events] timezone {config.events.timezone!r} is one that DuckDB "
                "does not know; give a place, such as 'Europe/London'"
            ) from None
        # `python -c` and notebooks would get a bar on stdout, beside what is printed there.
        connection.execute("SET enable_progress_bar = false")
        # Parquet statistics leave NaN out, and DuckDB would conclude that there is none.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        yield connection


def deal_events(
    connection: duckdb.DuckDBPyConnection,
    mapped: MappedQuery,
    config: Config,
    dealt: Path,
    now_us: int,
    n_buckets: int,
    progress: Progress,
) -> int:
    """Run the query once and write each row to its bucket's files; return the number of rows."""

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from connection.sql(events_sql).to_arrow_reader(BATCH_ROWS)
        except (duckdb.Error, OSError) as error:  # what fails while it runs arrives as an OSError
            raise MappingError(
                f"{config.path}: [events] query, {condense(error, lines_before=1)}"
            ) from None

    events_sql = mapped.events_sql(config.events.timezone, now_us)
    return deal(_counted(batches(), progress), dealt, n_buckets)


def _counted(batches: Iterator[pa.RecordBatch], progress: Progress) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        progress.advance(batch.num_rows)


def _finish(
    dealt: Path, events: Path, n_buckets: int, until_us: int, progress: Progress
) -> Iterator[Finished]:
    """Sort the buckets, as many at a time as there are processors."""

    def one(k: int) -> Finished:
        return sorted_buckets.finish(
            read_bucket(dealt, k),
            _bucket_path(events, k),
            events / f"repeats-{k}.parquet",
            until_us,
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(one, range(n_buckets)):
            progress.advance()
            yield done


def _bucket_path(events: Path, k: int) -> Path:
    return events / f"{k:03d}.arrow"
