"""Score everybody, file to file, in bounded memory: a bucket of customers at a time."""

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.bundle import load
from churn.errors import BundleNotFound, ConfigError
from churn.features import FEATURE_NAMES, features
from churn.registry import Registry
from churn.scoring import BANDS, STATUSES, MatrixScores, Scorer
from churn.words import Language
from training.calendar import instant, moment
from training.config import Config
from training.ingest import ingest
from training.progress import Progress, Silent

FORMATS = ("parquet", "csv", "ndjson")
_REASON = pa.struct(
    [
        ("code", pa.string()),
        ("family", pa.string()),
        ("contribution", pa.float64()),
        ("share", pa.float64()),
        ("text", pa.string()),
    ]
)
CHUNK = 65_536

T = TypeVar("T")


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
    progress : Progress, optional
        Told of each bucket.

    Raises
    ------
    BundleNotFound
        Nothing has been promoted yet.
    ConfigError
        The file's ending is none of the three.
    """
    started = time.monotonic()
    progress = progress or Silent()
    _check_out(out)
    registry = Registry(models_dir)
    version = registry.current()
    if version is None:
        raise BundleNotFound(f"no model in {models_dir}; run `keepwell train` first")
    scorer = Scorer(load(registry.path(version)))
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(now), progress=progress)
        when = ingested.complete_until if as_of is None else instant(as_of)
        if when > ingested.complete_until:
            progress.note(
                f"the log is complete until {moment(ingested.complete_until):%Y-%m-%d} only: "
                f"as of {moment(when):%Y-%m-%d} everybody looks more silent than they are"
            )
        progress.stage("scoring", ingested.n_buckets)

        def one(k: int) -> pa.Table:
            log = ingested.bucket(k)
            X = features(log, when, scorer.settings)
            scores = scorer.score_matrix(X, feeds=ingested.feeds, contributions=reasons > 0)
            ids = pa.array(log.customer_ids, pa.string())
            return _table(ids, scores, scorer, X, reasons, language)

        def tables() -> Iterator[pa.Table]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for table in _bounded_map(pool, one, range(ingested.n_buckets)):
                    progress.advance()
                    yield table

        rows = write_tables(tables(), out, _schema(reasons))
    return BulkResult(rows, out, time.monotonic() - started)


def score_features(scorer: Scorer, source: Path, out: Path) -> BulkResult:
    """Score a Parquet file of features, without reasons.

    Parameters
    ----------
    scorer : Scorer
        The model.
    source : Path
        Columns `customer_id` and features by name; what is absent is missing.
    out : Path
        As in `score`.
    """
    started = time.monotonic()
    _check_out(out)
    batches = pq.ParquetFile(source).iter_batches(batch_size=CHUNK)

    def one(batch: pa.RecordBatch) -> pa.Table:
        X = np.full((batch.num_rows, len(FEATURE_NAMES)), np.nan)
        for at, name in enumerate(FEATURE_NAMES):
            if name in batch.schema.names:
                X[:, at] = batch.column(name).to_numpy(zero_copy_only=False)
        scores = scorer.score_matrix(X, contributions=False)
        return _table(batch.column("customer_id"), scores, scorer, X, 0, "en")

    def tables() -> Iterator[pa.Table]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from _bounded_map(pool, one, batches)

    rows = write_tables(tables(), out, _schema(0))
    return BulkResult(rows, out, time.monotonic() - started)


def write_tables(tables: Iterator[pa.Table], out: Path, schema: pa.Schema) -> int:
    """Write tables to `out` under a temporary name, then rename; return the number of rows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with tempfile.TemporaryDirectory(prefix=".keepwell-", dir=out.parent) as folder:
        scored = Path(folder) / "scored.parquet"
        with pq.ParquetWriter(scored, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows
        finished = Path(folder) / f"finished{out.suffix}"
        if out.suffix == ".parquet":
            scored.rename(finished)
        else:
            _convert(scored, finished, schema)
        finished.replace(out)
    return rows


def _table(
    customer_id: pa.Array,
    scores: MatrixScores,
    scorer: Scorer,
    X: NDArray[np.float64],
    reasons: int,
    language: Language,
) -> pa.Table:
    columns = {
        "customer_id": customer_id,
        "status": pa.array(np.array(STATUSES, dtype=object)[scores.status], pa.string()),
        "churn_probability": pa.array(scores.probability, from_pandas=True),
        "risk_band": pa.array(np.array([*BANDS, None], dtype=object)[scores.band], pa.string()),
    }
    if reasons > 0 and scores.contributions is not None:
        why: list[list[dict[str, object]]] = []
        action: list[str | None] = []
        for row in range(len(X)):
            if scores.band[row] < 0:
                why.append([])
                action.append(None)
                continue
            found, suggested = scorer.explain_row(
                X[row],
                scores.contributions[row],
                BANDS[scores.band[row]],
                max_reasons=reasons,
                language=language,
            )
            why.append(
                [
                    {
                        "code": reason.code,
                        "family": reason.family.value,
                        "contribution": reason.contribution,
                        "share": reason.share,
                        "text": reason.text,
                    }
                    for reason in found
                ]
            )
            action.append(suggested.code)
        columns["reasons"] = pa.array(why, pa.list_(_REASON))
        columns["action"] = pa.array(action, pa.string())
    columns["model_version"] = pa.array([scorer.bundle.version] * len(X), pa.string())
    return pa.table(columns, schema=_schema(reasons))


def _schema(reasons: int) -> pa.Schema:
    fields = [
        ("customer_id", pa.string()),
        ("status", pa.string()),
        ("churn_probability", pa.float64()),
        ("risk_band", pa.string()),
    ]
    if reasons > 0:
        fields += [("reasons", pa.list_(_REASON)), ("action", pa.string())]
    return pa.schema([*fields, ("model_version", pa.string())])


def _convert(scored: Path, out: Path, schema: pa.Schema) -> None:
    """CSV for a manager (riskiest first, reasons as one text) or NDJSON for a program."""
    with duckdb.connect(config={"temp_directory": str(out.parent)}) as connection:
        if out.suffix == ".ndjson":
            connection.execute(f"COPY (FROM '{_quoted(scored)}') TO '{_quoted(out)}' (FORMAT json)")
            return
        texts = ""
        if "reasons" in schema.names:
            texts = (
                ", array_to_string(list_transform(reasons, lambda r: r.text), ' | ') AS reasons,"
                " action"
            )
        connection.execute(
            "COPY (SELECT customer_id, status, round(churn_probability, 4) AS churn_probability,"
            f" risk_band{texts} FROM '{_quoted(scored)}'"
            f" ORDER BY churn_probability DESC NULLS LAST, customer_id) TO '{_quoted(out)}'"
            " (FORMAT csv, HEADER)"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _check_out(out: Path) -> None:
    if out.suffix.removeprefix(".") not in FORMATS:
        raise ConfigError(f"--out {out}: the file's ending must be one of .{', .'.join(FORMATS)}")


def _bounded_map(
    pool: ThreadPoolExecutor, function: Callable[[T], pa.Table], items: Iterable[T]
) -> Iterator[pa.Table]:
    """Map in order with only a few results in memory, however slowly they are written."""
    waiting: deque[Future[pa.Table]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > (os.cpu_count() or 1):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
