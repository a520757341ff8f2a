"""Score everybody, file to file, in bounded memory: a bucket of customers at a time."""

import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.columns import Column
from churn.compiled import Integers
from churn.errors import BundleNotFound, ConfigError, DataError
from churn.events import KIND_CODES, EventLog, Kind
from churn.features import features
from churn.policy.contacts import RecentContacts, recent_of_unknown
from churn.policy.policy import Policy
from churn.registry import Registry
from churn.scoring import Scorer
from churn.signing import Keys
from churn.words import Language
from training.buckets import N_BUCKETS
from training.calendar import date_of, instant
from training.config import Config
from training.ingest import Ingested, ingest
from training.progress import Progress, Silent
from training.score_files import schema, scored_table, write

FORMATS = ("parquet", "csv", "ndjson")
CHUNK = 16_384
BUCKETS = 2 * N_BUCKETS
"""Nothing is learnt here, so memory is what matters: two buckets are sorted at a time."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BulkResult:
    """How many rows were written where, and how long it took in seconds."""

    rows: int
    path: Path
    seconds: float


def score(
    config: Config,
    models_dir: Path,
    *,
    as_of: datetime | None,
    out: Path,
    now: datetime,
    reasons: int = 3,
    language: Language = "en",
    policy: Policy | None = None,
    keys: Keys | None = None,
    progress: Progress | None = None,
) -> BulkResult:
    """Score every customer of the log with the current model.

    Parameters
    ----------
    config : Config
        The log; the problem is the model's.
    models_dir : Path
        The registry's folder.
    as_of : datetime, optional
        When the end of the log is not meant.
    out : Path
        ``.parquet``, ``.csv`` (riskiest first) or ``.ndjson``; replaced whole or not at all.
    now : datetime
        Later events are rejected.
    reasons : int
        How many reasons to give; 0 gives none and is faster.
    language : {"en", "ru"}
        Of the texts.
    policy : Policy, optional
        What may be done about customers; by default the one that comes with the package.
    keys : Keys, optional
        Who may have signed the model.
    progress : Progress, optional
        Told of each bucket.

    Raises
    ------
    BundleNotFound
        Nothing has been promoted yet.
    ConfigError
        The file's ending is none of the three.
    DataError
        The log cannot be used, or the model reads no events.
    """
    started = time.monotonic()
    progress = progress or Silent()
    check_out(out)
    scorer = current_scorer(models_dir, policy, keys)
    with bucketed(config, scorer, as_of=as_of, now=now, progress=progress) as (ingested, when):
        unseen: list[dict[str, int]] = []

        def one(k: int) -> pa.Table:
            log = ingested.bucket(k)
            X = inputs(ingested, k, log, when, scorer)
            unseen.append(scorer.unseen(X))
            scores = scorer.score_matrix(X, feeds=ingested.feeds, contributions=reasons > 0)
            ids = pa.array(log.customer_ids, pa.string())
            as_ofs = np.full(len(X), when, dtype=np.int64)
            contacts = contacts_of(log, scorer.policy, as_ofs)
            return scored_table(ids, scores, scorer, X, reasons, language, as_ofs, contacts)

        def tables() -> Iterator[pa.Table]:
            for table in in_threads(one, range(ingested.n_buckets)):
                progress.advance()
                yield table

        rows = write(tables(), out, schema(reasons))
        for name, n in sorted(sum(map(Counter, unseen), Counter()).items()):
            progress.note(f"{n:,} customers have a {name} that was not seen in training")
    return BulkResult(rows, out, time.monotonic() - started)


def current_scorer(
    models_dir: Path, policy: Policy | None = None, keys: Keys | None = None
) -> Scorer:
    """The current model, ready to score.

    Raises
    ------
    BundleNotFound
        Nothing has been promoted yet.
    ModelError
        It cannot be loaded.
    """
    registry = Registry(models_dir, keys)
    version = registry.current()
    if version is None:
        raise BundleNotFound(f"no model in {models_dir}; run `keepwell train` first")
    return Scorer(registry.load(version), policy)


@contextmanager
def bucketed(
    config: Config,
    scorer: Scorer,
    *,
    as_of: datetime | None,
    now: datetime,
    progress: Progress,
) -> Iterator[tuple[Ingested, int]]:
    """A log in buckets that are to be scored one by one, and as of when, in microseconds.

    Parameters
    ----------
    config, scorer, as_of, now, progress
        As in `score`; a stage is begun with a step for each bucket.

    Raises
    ------
    DataError
        The log cannot be used, or the model reads no events.
    """
    _check_reads_events(config, scorer)
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(
            config, Path(work), now_us=instant(now), progress=progress, n_buckets=BUCKETS
        )
        when = _scored_as_of(config, ingested, scorer, as_of, progress)
        progress.stage("scoring", ingested.n_buckets)
        yield ingested, when


def _check_reads_events(config: Config, scorer: Scorer) -> None:
    """Refuse a model that is made of a ready table.

    Raises
    ------
    DataError
        It is.
    """
    if not scorer.schema.loop:
        raise DataError(
            f"the current model reads a ready table, but {config.path} has [events]; "
            "run `keepwell train` with it first"
        )


def _scored_as_of(
    config: Config,
    ingested: Ingested,
    scorer: Scorer,
    as_of: datetime | None,
    progress: Progress,
) -> int:
    """As of when a log is scored, in microseconds; what to know of it goes to `progress`."""
    when = ingested.complete_until if as_of is None else instant(as_of)
    if when > ingested.complete_until:
        end, asked = (date_of(at, config.events.zone) for at in (ingested.complete_until, when))
        progress.note(
            f"the log is complete until {end} only: "
            f"as of {asked} everybody looks more silent than they are"
        )
    quarantined = ingested.quarantine_note(config.base_dir)
    if quarantined is not None:
        progress.note(quarantined)
    for note in _own_notes(ingested, scorer):
        progress.note(note)
    return when


def contacts_of(log: EventLog, policy: Policy, as_of: Integers) -> RecentContacts:
    """What the events tell of deliveries to each customer of a log lately."""
    return recent_of_unknown(policy, *told_contacts(log, as_of), as_of)


def told_contacts(log: EventLog, as_of: Integers) -> tuple[Integers, Integers]:
    """The contacts that events tell of before each customer's `as_of`: whose, and when."""
    at = np.flatnonzero(log.kind == KIND_CODES[Kind.CONTACT])
    row = np.searchsorted(log.offsets, at, side="right") - 1
    seen = (log.time[at] < as_of[row]) & (log.known_at[at] < as_of[row])
    return row[seen], log.time[at[seen]]


def inputs(
    ingested: Ingested, k: int, log: EventLog, as_of: int, scorer: Scorer
) -> NDArray[np.float64]:
    """The model's input columns of every customer of a bucket, shape (n_customers, n_inputs)."""
    X = features(log, as_of, scorer.settings)
    extras = scorer.schema.extras
    if not extras:
        return X
    if ingested.own is None:
        return np.hstack([X, np.full((len(X), len(extras)), np.nan)])
    everybody = np.arange(len(X), dtype=np.int64)
    as_ofs = np.full(len(X), as_of, dtype=np.int64)
    joined = ingested.own.joined(k, log.customer_ids, everybody, as_ofs)
    return np.hstack([X, ingested.own.recoded(joined, extras)])


def _own_notes(ingested: Ingested, scorer: Scorer) -> list[str]:
    given = {column.name for column in ingested.own.columns} if ingested.own else set()
    wanted = {column.name for column in scorer.schema.extras}
    notes = []
    if wanted - given:
        lacking = ", ".join(sorted(wanted - given))
        notes.append(f"[features] gives no {lacking}, which the model reads: taken as missing")
    if given - wanted:
        surplus = ", ".join(sorted(given - wanted))
        notes.append(f"[features] gives {surplus}, which the model does not read; train again")
    return notes


def score_features(scorer: Scorer, source: Path, out: Path) -> BulkResult:
    """Score a Parquet file of features, without reasons.

    Parameters
    ----------
    scorer : Scorer
        The model.
    source : Path
        Columns `customer_id` and features by name, categories as text; what is absent is missing.
    out : Path
        As in `score`.
    """
    started = time.monotonic()
    check_out(out)
    # Buffering ahead would keep all that was read of the file in memory.
    batches = pq.ParquetFile(source, pre_buffer=False).iter_batches(batch_size=CHUNK)

    def one(batch: pa.RecordBatch) -> pa.Table:
        X = np.full((batch.num_rows, len(scorer.schema)), np.nan)
        for at, name in enumerate(scorer.schema.names):
            if name in batch.schema.names:
                X[:, at] = numbers(batch.column(name), scorer.schema.extra(name))
        scores = scorer.score_matrix(X, contributions=False)
        return scored_table(batch.column("customer_id"), scores, scorer, X, 0, "en")

    rows = write(in_threads(one, batches), out, schema(0))
    return BulkResult(rows, out, time.monotonic() - started)


def numbers(values: pa.Array, column: Column | None) -> NDArray[np.float64]:
    """A column of a file as a model's numbers: itself, or the code of each category."""
    if column is None or column.kind == "numeric":
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    named = values.cast(pa.string()).dictionary_encode()
    codes = np.array([*(column.encode(name) for name in named.dictionary.to_pylist()), np.nan])
    return np.asarray(codes[named.indices.fill_null(-1).to_numpy()])


def check_out(out: Path) -> None:
    """Refuse a file whose ending is none of the known.

    Raises
    ------
    ConfigError
        The message names the endings.
    """
    if out.suffix.removeprefix(".") not in FORMATS:
        raise ConfigError(f"--out {out}: the file's ending must be one of .{', .'.join(FORMATS)}")


def in_threads(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Map in order, on every core, with only a few results in memory however slowly they leave."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > (os.cpu_count() or 1):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
