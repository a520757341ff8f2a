"""Writing results: a chunk's rows as a part, and the parts as one file.

What a row says depends on nothing but the row, the model and the job: neither on the clock nor on
where chunks begin, so results are the same bytes however often the work was interrupted.
"""

import csv
import io
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import orjson

from churn.events import MICROSECONDS_PER_DAY
from churn.scores import UNKNOWN, CustomerScore
from churn.sheets import harmless
from service.answers import count_features, told
from service.jobs.files import BLOCK, Hashed
from service.jobs.job import Format
from service.jobs.prepared import Block, Prepared
from service.jobs.rows_in import arrow
from service.metrics import Metrics
from service.models import Loaded
from service.problems import Problem

REFUSED = "error"
"""The status of a row that could not be read."""

SHEET = (
    "customer_id",
    "status",
    "churn_probability",
    "risk_band",
    "next_purchase_days",
    "reasons",
    "action",
    "action_why",
    "customer_value",
    "value_segment",
    "loss_category",
    "error",
)
"""Columns of results as CSV."""


class Part(NamedTuple):
    """The results of a chunk, and how many rows have each status."""

    content: bytes
    by_status: dict[str, int]


class Writer(Protocol):
    """Writes results in one format."""

    def part(self, prepared: Prepared, first: int) -> Part:
        """Score a chunk whose first row is the `first` of the list, from 0."""
        ...

    def join(self, parts: Iterable[Path], sink: Hashed, after: Callable[[], None]) -> None:
        """Make one file of all parts; `after` is called after each."""
        ...


def writer(results_format: Format, loaded: Loaded, metrics: Metrics | None = None) -> Writer:
    """Make the writer of a format; the metrics are told of the features of those it scores.

    Raises
    ------
    JobFailed
        It is Parquet, and that is not installed.
    """
    if results_format == "parquet":
        made: Writer = arrow("service.jobs.parquet_out").ParquetResults(loaded, metrics)
        return made
    return (Sheet if results_format == "csv" else Lines)(loaded, metrics)


class _Text(ABC):
    """Writes a line per row.

    Parameters
    ----------
    loaded : Loaded
        The model.
    metrics : Metrics or None
        Told of the customers' features.
    """

    _header = b""

    def __init__(self, loaded: Loaded, metrics: Metrics | None) -> None:
        self._scorer = loaded.scorer
        self._metrics = metrics
        self._window = loaded.window

    def part(self, prepared: Prepared, first: int) -> Part:
        """Score a chunk and write its lines."""
        lines = [b""] * prepared.n
        by_status = Counter[str]()
        for block in prepared.blocks:
            rows = block.rows()
            scores = self._scorer.score_rows(rows)
            if self._window is not None:
                self._window.rows(rows, scores)
            if self._metrics is not None:
                self._count(self._metrics, block, scores)
            for place, score in zip(block.places.tolist(), scores, strict=True):
                lines[place] = self._answer(score)
                by_status[score.status] += 1
        for place, (customer_id, as_of) in prepared.unknown.items():
            lines[place] = self._answer(self._scorer.unknown(customer_id, as_of))
            by_status[UNKNOWN] += 1
        for place, (refused_id, problem) in prepared.refused.items():
            lines[place] = self._refusal(first + place, refused_id, problem)
            by_status[REFUSED] += 1
        return Part(b"".join(lines), dict(by_status))

    def _count(self, metrics: Metrics, block: Block, scores: Sequence[CustomerScore]) -> None:
        for name, n in block.missing.items():
            metrics.feature_missing[name].inc(n)
        for score in scores:
            count_features(metrics, score)

    def join(self, parts: Iterable[Path], sink: Hashed, after: Callable[[], None]) -> None:
        """Put all parts behind one another."""
        sink.write(self._header)
        for part in parts:
            with part.open("rb") as handle:
                shutil.copyfileobj(handle, sink, BLOCK)
            after()

    @abstractmethod
    def _answer(self, score: CustomerScore) -> bytes:
        """One customer's line."""

    @abstractmethod
    def _refusal(self, index: int, customer_id: str | None, problem: Problem) -> bytes:
        """The line of a row that is wrong."""


class Lines(_Text):
    """Writes NDJSON: the answers of a batch, as far as they do not tell of the request."""

    def _answer(self, score: CustomerScore) -> bytes:
        return orjson.dumps(told(score)) + b"\n"

    def _refusal(self, index: int, customer_id: str | None, problem: Problem) -> bytes:
        row = {
            "index": index,
            "customer_id": customer_id,
            "status": REFUSED,
            "error": problem.told(),
        }
        return orjson.dumps(row) + b"\n"


class Sheet(_Text):
    """Writes CSV for a spreadsheet: what a manager reads."""

    _header = (",".join(SHEET) + "\n").encode()

    def _answer(self, score: CustomerScore) -> bytes:
        probability, expected = score.churn_probability, score.next_purchase
        worth = score.customer_value
        days: int | None = None
        if expected is not None and expected.median is not None:
            lead = self._scorer.bundle.manifest.lead_time_days
            days = round((expected.median - score.as_of) / MICROSECONDS_PER_DAY) - lead
        return record(
            score.customer_id,
            score.status,
            None if probability is None else round(probability, 4),
            score.risk_band,
            days,
            " | ".join([reason.text for reason in score.reasons]),
            None if score.action is None else score.action.code,
            None if score.action is None else score.action.why,
            None if worth is None else round(worth.amount, 2),
            score.value_segment,
            score.loss_category,
            None,
        )

    def _refusal(self, index: int, customer_id: str | None, problem: Problem) -> bytes:
        nothing = [None] * (len(SHEET) - 3)
        return record(customer_id, REFUSED, *nothing, problem.detail)


def record(*cells: str | float | None) -> bytes:
    """A CSV record; no text in it is a formula to a spreadsheet."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(
        [harmless(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return line.getvalue().encode()
