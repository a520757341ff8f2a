"""Score the customers of a ready table, each by the latest row."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from churn.errors import ConfigError, DataError
from churn.policy.policy import Policy
from churn.signing import Keys
from churn.words import Language
from training.bulk import CHUNK, BulkResult, check_out, current_scorer, in_threads, numbers
from training.calendar import instant
from training.own_columns import check_kind
from training.progress import Progress, Silent
from training.score_files import schema, scored_table, write
from training.table.config import TableConfig
from training.table.ordered import in_order, that_count


def score(
    config: TableConfig,
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
    """Score every customer of the table with the current model; its label is not looked at.

    Parameters
    ----------
    config : TableConfig
        The table; what its columns are is the model's.
    as_of : datetime, optional
        Of each customer the latest row made by then counts; by default the latest of all.
    models_dir, out, now, reasons, language, policy, keys, progress
        As in `training.bulk.score`.

    Raises
    ------
    BundleNotFound
        Nothing has been promoted yet.
    ConfigError
        The file's ending is none of the three, or a date is asked for where rows have none.
    DataError
        The table cannot be used, or the model reads events.
    """
    started = time.monotonic()
    progress = progress or Silent()
    check_out(out)
    if as_of is not None and config.table.as_of is None:
        raise ConfigError(
            f"{config.path}: --as-of needs the dates of the rows: name their column in "
            "[table] as_of"
        )
    scorer = current_scorer(models_dir, policy, keys)
    if scorer.schema.loop:
        raise DataError(
            f"the current model in {models_dir} reads events, but {config.path} has a [table]; "
            "run `keepwell train` with it first"
        )
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        progress.stage("reading the table")
        with in_order(config, Path(work), now_us=instant(now)) as table:
            for reason, n in table.quarantined.items():
                progress.note(f"{n:,} rows are not scored: {reason}")
            given = {column.name: at for at, column in enumerate(table.columns)}
            wanted = scorer.schema.extras
            lacking = [column.name for column in wanted if column.name not in given]
            if lacking:
                progress.note(f"[table] gives no {', '.join(lacking)}, which the model reads")
            for column in wanted:
                if column.name in given:
                    check_kind(table.columns[given[column.name]], column, "table")
            progress.stage("scoring", table.rows)
            unseen: list[dict[str, int]] = []

            def one(part: pa.Table) -> tuple[pa.Table, int]:
                rows = that_count(part)
                X = np.full((len(rows), len(wanted)), np.nan)
                for at, column in enumerate(wanted):
                    if column.name in given:
                        values = rows.column(f"own_{given[column.name]}")
                        X[:, at] = numbers(values.combine_chunks(), column)
                unseen.append(scorer.unseen(X))
                scores = scorer.score_matrix(X, contributions=reasons > 0)
                ids = rows.column("customer_id").combine_chunks()
                as_ofs = np.full(len(X), instant(as_of or now), dtype=np.int64)
                scored = scored_table(ids, scores, scorer, X, reasons, language, as_ofs)
                return scored, len(part)

            def tables() -> Iterator[pa.Table]:
                until = None if as_of is None else instant(as_of)
                for scored, n in in_threads(one, table.chunks(CHUNK, until)):
                    yield scored
                    progress.advance(n)

            written = write(tables(), out, schema(reasons))
    for name, n in sorted(sum(map(Counter, unseen), Counter()).items()):
        progress.note(f"{n:,} customers have a {name} that was not seen in training")
    return BulkResult(written, out, time.monotonic() - started)
