"""What a job is, what it leaves behind, and what may go wrong with it.

A job has a folder: `input` as it was sent, `parts/` with one finished chunk each (which of them
exist is the checkpoint), and in the end `results.<format>` alone. `service.jobs.run.run(folder,
job, loaded, read, keep_going=, chunk=)` returns `Finished`, None if `keep_going` answered False, or
raises `JobFailed`; what `read` raises passes through, and a later call goes on from there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from churn.errors import KeepwellError
from churn.history import History
from churn.policy.contacts import Contact
from churn.reasons import Direction
from churn.words import Language
from service.marks import Marks

Format = Literal["ndjson", "csv", "parquet"]
FORMATS: tuple[Format, ...] = ("ndjson", "csv", "parquet")
CHUNK = 5_000
"""Customers of a chunk, unless measured otherwise."""


class JobFailed(KeepwellError):
    """The job cannot be done, and trying again will not help; the message is for its sender."""


@dataclass(frozen=True, slots=True)
class Job:
    """What was submitted, and what was pinned then: whenever it runs, the same bytes come out.

    Attributes
    ----------
    job_id : str
        Its name; opaque here.
    input_format, results_format : {"ndjson", "csv", "parquet"}
        Of what was sent, and of what is wanted.
    as_of : int
        Of the rows that name none; microseconds since 1970-01-01 UTC.
    received : int
        Number of the last write to the store before the submission; later ones are not seen.
    model_version : str
        The model that serves the job, whatever is promoted meanwhile.
    max_reasons, direction, language
        Of the rows that say nothing of it.
    marks : Marks or None
        How far the feeds had come, which rows with an id alone are held against.
    submitted_at : int
        When, microseconds since 1970-01-01 UTC: deliveries that were told later are not seen.
    """

    job_id: str
    input_format: Format
    results_format: Format
    as_of: int
    received: int
    model_version: str
    max_reasons: int = 3
    direction: Direction = "raises"
    language: Language = "en"
    marks: Marks | None = field(default=None, hash=False)
    submitted_at: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished job: its results' digest (hexadecimal) and size in bytes, and what is in them.

    Attributes
    ----------
    rows : int
        All, with those that were refused.
    by_status : mapping of str to int
        Rows of each status; ``error`` are those that were refused.
    sha256 : str
        Of the results.
    size : int
        Of the results, bytes.
    """

    rows: int
    by_status: Mapping[str, int] = field(hash=False)
    sha256: str
    size: int

    @property
    def scored(self) -> int:
        """How many rows have a probability."""
        return self.by_status.get("scored", 0)

    @property
    def refused(self) -> int:
        """How many rows have an `error` instead of an answer."""
        return self.by_status.get("error", 0)


class Removed(NamedTuple):
    """How many rows erasing a customer took from finished results, and what these are now."""

    rows: int
    results: Finished


class Limits(NamedTuple):
    """What one customer of a list may have: bytes of a line or record, and events."""

    line_bytes: int = 1 << 20
    events: int = 10_000


Read = Callable[[Sequence[str]], Mapping[str, History]]
"""Reads the stored events of many customers at once; unknown customers are left out."""

Delivered = Callable[[Sequence[str], int, int], Mapping[str, Sequence[Contact]]]
"""Reads what was delivered to many customers after an instant, and had been told by another."""

KeepGoing = Callable[[int], bool]
"""Told after each chunk how many rows are done; answers whether to go on."""


def input_path(folder: Path) -> Path:
    """Where a job's input is."""
    return folder / "input"


def results_path(folder: Path, job: Job) -> Path:
    """Where a finished job's results are."""
    return folder / f"results.{job.results_format}"
