"""Jobs with known ids in every state that the exchanges show."""

import dataclasses
import errno
import hashlib
import json

from service.contract import EXAMPLE_EVENTS, EXAMPLE_FEATURES
from service.jobs import keys, records
from service.jobs.desk import Desk
from service.jobs.records import Record
from service.jobs.submission import Asked
from tests.contract.client import NOW, AppClient

DONE, WAITING, UNWANTED, OLD, EXPIRED, COMING = (
    f"5f2c{number:028x}" for number in (0xD0, 0xA0, 0xB0, 0xC0, 0xE0, 0xF0)
)
KEY, KEY_OF_COMING = "weekly-list-47", "weekly-list-48"
LIST = "".join(
    f"{json.dumps(one)}\n"
    for one in (EXAMPLE_EVENTS, EXAMPLE_FEATURES, {"customer_id": "c-1044", "events": 7})
)
CONTENT = LIST.encode()


def plant(client: AppClient) -> None:
    """Make the jobs; the finished one is really worked on."""
    desk: Desk = client.app.state.keepwell.jobs
    row = Record(
        job_id=DONE,
        state="queued",
        created_at=NOW - 60_000_000,
        input_format="ndjson",
        input_bytes=len(CONTENT),
        results_format="ndjson",
        as_of=NOW - 60_000_000,
        received=0,
        model_version=client.app.state.keepwell.loaded().version,
        max_reasons=3,
        direction="raises",
        language="en",
    )
    desk.folders.of(DONE).mkdir(parents=True)
    (desk.folders.of(DONE) / "input").write_bytes(CONTENT)
    _add(desk, row)
    assert desk.worker.step()
    _bind(desk, KEY, DONE)
    for job_id in (WAITING, UNWANTED, OLD):
        _add(desk, dataclasses.replace(row, job_id=job_id))
    ended = {"state": "done", "results_bytes": 1, "results_sha256": "0" * 64, "expires_at": NOW}
    _add(desk, dataclasses.replace(row, job_id=EXPIRED, **ended))
    keys.claim(desk.database, keys.digest_of(KEY_OF_COMING), COMING, NOW)
    desk.folders.begin(COMING)


def fill_the_disk(client: AppClient) -> None:
    """Leave no room for another list."""

    def begin(job_id: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    client.app.state.keepwell.jobs.folders.begin = begin


def _add(desk: Desk, row: Record) -> None:
    with desk.database.writing() as connection:
        records.add(connection, row)


def _bind(desk: Desk, key: str, job_id: str) -> None:
    asked = Asked(
        input_format="ndjson",
        results_format="ndjson",
        as_of=None,
        max_reasons=3,
        direction="raises",
        language="en",
    )
    keys.claim(desk.database, keys.digest_of(key), job_id, NOW)
    sent = asked.fingerprint(hashlib.sha256(CONTENT).digest())
    with desk.database.writing() as connection:
        assert keys.settle(connection, keys.digest_of(key), job_id, sent)
