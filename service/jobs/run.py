"""Carrying a job to its end: chunk by chunk, from wherever it was left.

The checkpoint is which parts exist. A part is written beside its place and renamed once it is on
disk, with a note of where in the input it ends, so whoever goes on skips what is done without
reading it. A kill at any moment costs the chunk at hand and nothing else.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import orjson

from service.jobs.counting import counted
from service.jobs.files import NEW, Hashed, replacing, room_in
from service.jobs.job import (
    CHUNK,
    Delivered,
    Finished,
    Job,
    KeepGoing,
    Limits,
    Read,
    input_path,
    results_path,
)
from service.jobs.pinned import unpin, with_pinned
from service.jobs.prepared import Prepared, contacted, of_rows, of_table
from service.jobs.rows_in import open_list
from service.jobs.rows_out import Writer, writer
from service.jobs.sent import Place, Row, Table
from service.metrics import Metrics
from service.models import Loaded

PARTS = "parts"


class _Stopped(Exception):
    """The caller does not want the work to go on."""


class _Note(NamedTuple):
    """What is known of a finished part: its rows, and where it ends in the input."""

    rows: int
    by_status: dict[str, int]
    end: Place


def run(
    folder: Path,
    job: Job,
    loaded: Loaded,
    read: Read,
    *,
    keep_going: KeepGoing,
    delivered: Delivered | None = None,
    chunk: int = CHUNK,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    metrics: Metrics | None = None,
) -> Finished | None:
    """Work on a job until it is finished, from wherever it was left.

    Parameters
    ----------
    folder : Path
        The job's, with its `input`.
    job : Job
        What was submitted.
    loaded : Loaded
        The model that was pinned.
    read : callable
        Reads stored histories, a chunk's at once.
    keep_going : callable
        Told how many rows are done, after each chunk and while the results are put together.
    delivered : callable, optional
        Reads what was delivered to a chunk's customers.
    chunk : int, optional
        Rows of a chunk. A job that was begun with another number keeps to that.
    limits : Limits, optional
        What a customer may have.
    metrics : Metrics, optional
        Told of the customers' features.

    Returns
    -------
    Finished or None
        None if `keep_going` answered False; what is done is kept.

    Raises
    ------
    JobFailed
        The input cannot be read, or the disk is full.
    """
    pinned = with_pinned(folder, loaded)
    work = _Work(folder, job, pinned, read, delivered, keep_going, limits, metrics)
    try:
        with room_in(folder.parent):
            finished = work.finished() or work.done(chunk)
    except _Stopped:
        return None
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    input_path(folder).unlink(missing_ok=True)
    unpin(folder)
    for unfinished in folder.glob(f"*{NEW}"):
        unfinished.unlink(missing_ok=True)
    return finished


class _Work:
    """One run of a job; parameters as in `run`."""

    def __init__(
        self,
        folder: Path,
        job: Job,
        loaded: Loaded,
        read: Read,
        delivered: Delivered | None,
        keep_going: KeepGoing,
        limits: Limits,
        metrics: Metrics | None,
    ) -> None:
        self._folder = folder
        self._job = job
        self._loaded = loaded
        self._read = read
        self._delivered = delivered
        self._keep_going = keep_going
        self._limits = limits
        self._metrics = metrics
        self._results = results_path(folder, job)

    def finished(self) -> Finished | None:
        """What a kill after the last rename has left, if it has."""
        if self._results.exists():
            return counted(self._results, self._job.results_format)
        return None

    def done(self, chunk: int) -> Finished:
        """Write the parts that are not there yet, and make the results of all of them."""
        rows = writer(self._job.results_format, self._loaded, self._metrics)
        parts = _Parts(self._folder / PARTS, self._job.results_format)
        notes = parts.notes()
        place = notes[-1].end if notes else Place()
        size = notes[0].rows if notes else chunk
        list_of_customers = open_list(self._folder, self._job, self._loaded.scorer, self._limits)
        for sent, end in list_of_customers.chunks(place, size):
            part = rows.part(self._prepared(sent), place.rows)
            note = _Note(end.rows - place.rows, part.by_status, end)
            parts.add(len(notes), part.content, note)
            notes.append(note)
            place = end
            self._report(place.rows)
        return self._assembled(rows, parts, notes)

    def _prepared(self, sent: list[Row] | Table) -> Prepared:
        if isinstance(sent, Table):
            prepared = of_table(sent)
        else:
            prepared = of_rows(sent, self._job, self._loaded, self._read, self._limits)
        if self._delivered is None or not prepared.blocks:
            return prepared
        reach = self._loaded.scorer.policy.ready.reach
        since = min(int(block.as_of.min()) for block in prepared.blocks) - reach
        whose = sorted({who for block in prepared.blocks for who in block.customer_id})
        found = self._delivered(whose, since, self._job.submitted_at)
        return prepared._replace(
            blocks=[contacted(block, found, reach) for block in prepared.blocks]
        )

    def _assembled(self, rows: Writer, parts: "_Parts", notes: list[_Note]) -> Finished:
        total = sum(note.rows for note in notes)
        by_status = Counter[str]()
        for note in notes:
            by_status.update(note.by_status)
        with replacing(self._results) as handle:
            sink = Hashed(handle)
            paths = [parts.path(at) for at in range(len(notes))]
            rows.join(paths, sink, lambda: self._report(total))
        return Finished(total, dict(by_status), sink.sha256, sink.size)

    def _report(self, rows_done: int) -> None:
        if not self._keep_going(rows_done):
            raise _Stopped


class _Parts:
    """The finished chunks of a job, each a file and a note."""

    def __init__(self, folder: Path, ending: str) -> None:
        self._folder = folder
        self._ending = ending

    def path(self, at: int) -> Path:
        """Where a part is."""
        return self._folder / f"{at:05}.{self._ending}"

    def notes(self) -> list[_Note]:
        """The notes of the parts that are finished, as far as none is missing."""
        self._folder.mkdir(exist_ok=True)
        notes: list[_Note] = []
        while self.path(len(notes)).exists():
            told = orjson.loads(self._note(len(notes)).read_bytes())
            notes.append(_Note(told["rows"], told["by_status"], Place(**told["end"])))
        return notes

    def add(self, at: int, content: bytes, note: _Note) -> None:
        """Write a part; it is there when it is whole, and its note before it."""
        with replacing(self._note(at)) as handle:
            handle.write(orjson.dumps({**note._asdict(), "end": note.end._asdict()}))
        with replacing(self.path(at)) as handle:
            handle.write(content)

    def _note(self, at: int) -> Path:
        return self._folder / f"{at:05}.json"
