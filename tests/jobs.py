"""A list of customers as a job, carried through in this process."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from churn.events import Event, Kind
from churn.history import History
from churn.registry import Registry
from service import instants, models
from service.jobs.job import Finished, Job, Limits, input_path, results_path
from service.jobs.run import run
from service.metrics import Metrics
from service.models import Loaded
from tests.contract.client import AS_OF

RECEIVED = 7


class FakeStore:
    """Stored histories, and how often they were asked for."""

    def __init__(
        self, customers: Mapping[str, Sequence[Mapping[str, Any]]], write: int = 1
    ) -> None:
        self.histories = {
            customer_id: History.empty().merged([as_event(one) for one in events], write)[0]
            for customer_id, events in customers.items()
        }
        self.reads: list[int] = []

    def read(self, customer_ids: Sequence[str]) -> dict[str, History]:
        self.reads.append(len(customer_ids))
        return {one: self.histories[one] for one in customer_ids if one in self.histories}


def as_event(sent: Mapping[str, Any]) -> Event:
    """An event of a request, as the store has it."""
    times = {
        name: instants.parse(sent[name]) for name in ("occurred_at", "known_at") if name in sent
    }
    return Event(**{**sent, **times, "kind": Kind(sent["kind"])})


def promoted(models_dir: Path) -> Loaded:
    registry = Registry(models_dir)
    version = registry.current()
    assert version is not None
    return models.load(registry.path(version))


def job(input_format: str = "ndjson", results_format: str = "ndjson", **changes: Any) -> Job:
    given: dict[str, Any] = {
        "job_id": "j1",
        "input_format": input_format,
        "results_format": results_format,
        "as_of": instants.parse(AS_OF),
        "received": RECEIVED,
        "model_version": "any",
    }
    return Job(**given | changes)


def ndjson(rows: Iterable[Any]) -> bytes:
    """Customers as lines; bytes as they are."""
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )


def carried(
    folder: Path,
    content: bytes,
    loaded: Loaded,
    asked: Job | None = None,
    *,
    store: FakeStore | None = None,
    chunk: int = 1000,
    limits: Limits | None = None,
    keep_going: Callable[[int], bool] = lambda _: True,
    metrics: Metrics | None = None,
) -> Finished | None:
    """Make a job's folder if there is none, and run it."""
    asked = asked or job()
    if not folder.exists():
        folder.mkdir(parents=True)
        input_path(folder).write_bytes(content)
    read = (store or FakeStore({})).read
    return run(
        folder,
        asked,
        loaded,
        read,
        keep_going=keep_going,
        chunk=chunk,
        limits=limits or Limits(),
        metrics=metrics,
    )


def results(
    folder: Path, content: bytes, loaded: Loaded, asked: Job | None = None, **how: Any
) -> bytes:
    """The results of a job."""
    finished = carried(folder, content, loaded, asked, **how)
    assert finished is not None
    return results_path(folder, asked or job()).read_bytes()


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]
