"""Jobs without their scoring: rows for the table, and a `run` that copies lines."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.jobs import records
from service.jobs.job import Finished, Job, KeepGoing, Read
from service.jobs.records import Record
from service.models import Loaded
from service.store.database import Database

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 1_800_000_000 * SECOND
LEASE, KEEP = 30 * SECOND, 7 * DAY


def name(number: int) -> str:
    return f"{number:032x}"


def row(number: int = 1, **changes: Any) -> Record:
    return Record(
        **{
            "job_id": name(number),
            "state": "queued",
            "created_at": START + number,
            "input_format": "ndjson",
            "input_bytes": 10,
            "results_format": "ndjson",
            "as_of": START,
            "received": 0,
            "model_version": "v1",
            "max_reasons": 3,
            "direction": "raises",
            "language": "en",
            **changes,
        }
    )


def add(database: Database, *rows: Record) -> None:
    with database.writing() as connection:
        for one in rows:
            records.add(connection, one)


def get(database: Database, number: int = 1) -> Record | None:
    with database.reading() as connection:
        return records.get(connection, name(number))


class Copying:
    """A `run` that copies its input's lines, a chunk at a time; tells a listener of each chunk."""

    def __init__(self, listener: Callable[[Path, int], object] = lambda folder, at: None) -> None:
        self.chunks: list[int] = []
        self._listener = listener

    def __call__(
        self,
        folder: Path,
        job: Job,
        loaded: Loaded,
        read: Read,
        *,
        keep_going: KeepGoing,
        chunk: int = 1,
        **_: Any,
    ) -> Finished | None:
        parts = folder / "parts"
        parts.mkdir(exist_ok=True)
        lines = (folder / "input").read_bytes().splitlines(keepends=True)
        for at in range(0, len(lines), chunk):
            part = parts / f"{at:05}"
            if part.exists():
                continue
            read(["c-1"])
            self._listener(folder, at)
            part.write_bytes(b"".join(lines[at : at + chunk]))
            self.chunks.append(at)
            if not keep_going(at + chunk):
                return None
        content = b"".join(part.read_bytes() for part in sorted(parts.iterdir()))
        (folder / f"results.{job.results_format}").write_bytes(content)
        shutil.rmtree(parts)
        (folder / "input").unlink()
        sha256 = hashlib.sha256(content).hexdigest()
        return Finished(len(lines), {"scored": len(lines)}, sha256, len(content))
