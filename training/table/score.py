"""Score the customers of a ready table, each by the latest row."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from churn.compiled import Booleans
from churn.errors import ConfigError, DataError
from churn.words import Language
from training.bulk import CHUNK, BulkResult, check_out, current_scorer
from training.calendar import instant
from training.own_columns import recoded
from training.progress import Progress, Silent
from training.score_files import schema, scored_table, write
from training.table.config import TableConfig
from training.table.rows import Rows, read


def score(
    config: TableConfig,
    models_dir: Path,
    *,
    as_of: datetime | None,
    out: Path,
    now: datetime,
    reasons: int = 3,
    language: Language = "en",
    progress: Progress | None = None,
) -> BulkResult:
    """Score every customer of the table with the current model; its label is not looked at.

    Parameters
    ----------
    config : TableConfig
        The table; what its columns are is the model's.
    as_of : datetime, optional
        Of each customer the latest row made by then counts; by default the latest of all.
    models_dir, out, now, reasons, language, progress
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
    scorer = current_scorer(models_dir)
    if scorer.schema.loop:
        raise DataError(
            f"the current model in {models_dir} reads events, but {config.path} has a [table]; "
            "run `keepwell train` with it first"
        )
    progress.stage("reading the table")
    table = read(config, now_us=instant(now), labelled=False)
    for reason, n in table.quarantined.items():
        progress.note(f"{n:,} rows are not scored: {reason}")
    latest = _latest(table.rows, None if as_of is None else instant(as_of))
    rows = table.rows.where(latest)
    wanted = scorer.schema.extras
    given = {column.name for column in rows.columns}
    lacking = [column.name for column in wanted if column.name not in given]
    if lacking:
        progress.note(f"[table] gives no {', '.join(lacking)}, which the model reads")
    progress.stage("scoring", -(-len(rows) // CHUNK))
    unseen: Counter[str] = Counter()

    def tables() -> Iterator[pa.Table]:
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            X = recoded(rows.X[part], rows.columns, wanted, "table")
            unseen.update(scorer.unseen(X))
            scores = scorer.score_matrix(X, contributions=reasons > 0)
            ids = pa.array(rows.customer_id[part], pa.string())
            yield scored_table(ids, scores, scorer, X, reasons, language)
            progress.advance()

    written = write(tables(), out, schema(reasons))
    for name, n in sorted(unseen.items()):
        progress.note(f"{n:,} customers have a {name} that was not seen in training")
    return BulkResult(written, out, time.monotonic() - started)


def _latest(rows: Rows, as_of: int | None) -> Booleans:
    """Whether a row counts: all of them where there are no dates, else each customer's latest."""
    if rows.as_of is None:
        return np.ones(len(rows), dtype=np.bool_)
    known = rows.as_of <= (np.iinfo(np.int64).max if as_of is None else as_of)
    who = np.unique(rows.customer_id.astype(str), return_inverse=True)[1]
    last = np.zeros(len(rows), dtype=np.bool_)
    at = np.flatnonzero(known)  # by customer and date, as `read` leaves them
    if len(at):
        last[at[np.append(who[at][1:] != who[at][:-1], True)]] = True
    return last
