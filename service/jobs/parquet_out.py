"""Writing results as Parquet. Loaded only where pyarrow is installed.

The columns are those of an Arrow answer, and what is told of a row that was refused. A part is an
Arrow stream; in the file it becomes a row group.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from churn.policy.contacts import RecentContacts, recent_of_each
from churn.scores import STATUSES, UNKNOWN
from churn.scoring import Scorer
from service import arrow_output, columns
from service.jobs.files import Hashed
from service.jobs.prepared import Block, Prepared
from service.jobs.rows_out import REFUSED, Part
from service.metrics import Metrics
from service.models import Loaded
from service.problems import Problem

_FAULT = pa.struct([("pointer", pa.string()), ("code", pa.string())])
_ERROR = pa.struct(
    [
        ("type", pa.string()),
        ("title", pa.string()),
        ("status", pa.int64()),
        ("detail", pa.string()),
        ("errors", pa.list_(_FAULT)),
    ]
)


def _schema() -> Any:
    fields = []
    for field in arrow_output.SCHEMA:
        # In a file the names of statuses are stored once in any case.
        kind = pa.string() if pa.types.is_dictionary(field.type) else field.type
        fields.append((field.name, kind))
    return pa.schema(
        [
            *fields,
            ("horizon_days", pa.int64()),
            ("model_version", pa.string()),
            ("policy_version", pa.string()),
            ("error", _ERROR),
        ]
    )


SCHEMA = _schema()


class ParquetResults:
    """Writes Parquet.

    Parameters
    ----------
    loaded : Loaded
        The model.
    metrics : Metrics or None
        Told of the customers' features.
    """

    def __init__(self, loaded: Loaded, metrics: Metrics | None) -> None:
        self._scorer = loaded.scorer
        self._metrics = metrics
        self._window = loaded.window

    def part(self, prepared: Prepared, first: int) -> Part:
        """Score a chunk; the rows of each kind together, and then in the order of the list."""
        by_status = Counter[str]()
        tables, places = [], []
        for block in prepared.blocks:
            tables.append(self._answers(block, by_status))
            places.append(block.places)
        if prepared.unknown:
            tables.append(self._unknown(prepared.unknown.values()))
            places.append(np.array(list(prepared.unknown)))
            by_status[UNKNOWN] += len(prepared.unknown)
        if prepared.refused:
            tables.append(self._refusals(prepared.refused.values()))
            places.append(np.array(list(prepared.refused)))
            by_status[REFUSED] += len(prepared.refused)
        order = np.argsort(np.concatenate(places), kind="stable")
        table = pa.concat_tables(tables)
        if len(tables) > 1:
            table = table.take(pa.array(order))
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, SCHEMA, options=options) as writer:
            writer.write_table(table)
        return Part(sink.getvalue().to_pybytes(), dict(by_status))

    def join(self, parts: Iterable[Path], sink: Hashed, after: Callable[[], None]) -> None:
        """Make a row group of each part."""
        with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            for part in parts:
                with pa.OSFile(str(part)) as source, pa.ipc.open_stream(source) as stream:
                    table = stream.read_all()
                writer.write_table(table, row_group_size=len(table))
                after()

    def _answers(self, block: Block, by_status: Counter[str]) -> Any:
        scorer = self._scorer
        customers = columns.Customers(
            block.customer_id, block.as_of, block.channels, _contacts(scorer, block)
        )
        answers = columns.score_settled(scorer, customers, block.numbers, block.told)
        if self._window is not None:
            self._window.matrix(answers.numbers, answers.scores)
        if self._metrics is not None:
            columns.count_features(self._metrics, scorer, block.missing, answers.numbers)
        for at, n in enumerate(np.bincount(answers.scores.status).tolist()):
            if n:
                by_status[STATUSES[at]] += n
        made = arrow_output.columns_of(
            scorer, block.customer_id, block.as_of, answers, block.warnings
        )
        return self._table(
            len(block.places), dict(zip(arrow_output.SCHEMA.names, made, strict=True))
        )

    def _unknown(self, customers: Iterable[tuple[str, int]]) -> Any:
        ids, as_of = zip(*customers, strict=True)
        empty: list[list[Any]] = [[] for _ in ids]
        given = {
            "customer_id": pa.array(ids, pa.string()),
            "status": pa.array([UNKNOWN] * len(ids)),
            "as_of": pa.array(as_of, SCHEMA.field("as_of").type),
        }
        for name in ("risk_curve", "reasons", "warnings"):
            given[name] = pa.array(empty, SCHEMA.field(name).type)
        return self._table(len(ids), given)

    def _refusals(self, refused: Iterable[tuple[str | None, Problem]]) -> Any:
        ids, problems = zip(*refused, strict=True)
        given = {
            "customer_id": pa.array(ids, pa.string()),
            "status": pa.array([REFUSED] * len(ids)),
            "error": pa.array([problem.told() for problem in problems], _ERROR),
        }
        return self._table(len(ids), given)

    def _table(self, n: int, given: dict[str, Any]) -> Any:
        """A table of n rows: null where nothing is given."""
        if "error" not in given:
            manifest = self._scorer.bundle.manifest
            given["horizon_days"] = pa.array(np.full(n, manifest.horizon_days))
            version = self._scorer.bundle.version
            policy = self._scorer.policy.version
            given["model_version"] = pa.array([version] * n, pa.string())
            given["policy_version"] = pa.array([policy] * n, pa.string())
        made = [
            given[field.name].cast(field.type) if field.name in given else pa.nulls(n, field.type)
            for field in SCHEMA
        ]
        return pa.table(made, schema=SCHEMA)


def _contacts(scorer: Scorer, block: Block) -> RecentContacts | None:
    if block.contacts is None:
        return None
    return recent_of_each(scorer.policy, block.contacts, block.as_of)


def statuses(results: Path) -> Iterator[str]:
    """The status of each row of finished results."""
    file = pq.ParquetFile(results, pre_buffer=False)
    for batch in file.iter_batches(columns=["status"]):
        yield from batch.column(0).to_pylist()
