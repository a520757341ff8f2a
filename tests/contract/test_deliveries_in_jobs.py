"""Lists of any length know of what was delivered, as it had been told when they were submitted."""

import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURE_NAMES
from churn.policy.default import DEFAULT
from service.settings import Settings
from service.store.contacts import contacts_of
from service.store.outcomes import Outcome
from tests.contract.client import AS_OF, NOW, AppClient, build, customer, keep
from tests.decided import decided, plant

SILENT = [{"occurred_at": "2026-08-23T12:00:00Z", "kind": "purchase", "amount": 50.0}]
CALM = DEFAULT.replace("exploration_rate = 0.05", "exploration_rate = 0.0").replace(
    "holdout_share = 0.10", "holdout_share = 0.0"
)
FEATURES = dict.fromkeys(FEATURE_NAMES) | {
    "days_since_last_purchase": 90.0, "purchases_365d": 1.0, "is_one_time_buyer": 1.0,
    "open_complaints": 0.0, "complaints_365d": 0.0, "average_cheque": 50.0,
    "tenure_days": 90.0, "purchases_90d": 1.0, "purchases_30d": 0.0,
}  # fmt: skip
TYPES = {"ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}


@pytest.fixture
def client(published: Path, store_url: str, tmp_path: Path) -> Iterator[AppClient]:
    policy = tmp_path / "policy.toml"
    policy.write_text(CALM, encoding="utf-8")
    settings = Settings(
        models_dir=published, store_url=store_url, policy_file=policy,
        jobs_dir=tmp_path / "jobs", stale_after_hours=1e6, stale_limit_hours=1e6,
    )  # fmt: skip
    with build(settings) as client:
        keep(client, "by-id", SILENT)
        yield client


def deliver(client: AppClient, who: str, told_at: int, at: int = NOW - 3 * DAY) -> None:
    store, number = client.app.state.keepwell.store, zlib.crc32(who.encode())
    one = decided(number, customer_id=who, day=at // DAY, decided_at=at, as_of=at)
    plant(store, one)
    client.app.state.keepwell.outcomes.add(
        one.decision_id, Outcome.DELIVERED, at, now=told_at, allowance=0
    )


def lists() -> dict[str, bytes]:
    rows = [{"customer_id": "by-id", "as_of": AS_OF}, customer(customer_id="whole", events=SILENT)]
    columns = {name: [value] for name, value in FEATURES.items() if value is not None}
    sink = io.BytesIO()
    pq.write_table(pa.table({"customer_id": ["columns"], **columns}), sink)
    return {
        "ndjson": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        "parquet": sink.getvalue(),
    }


def submitted(client: AppClient, kind: str) -> str:
    answer = client.post(
        f"/v1/jobs?results=ndjson&as_of={AS_OF}", lists()[kind], content_type=TYPES[kind]
    )
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["job_id"]
    return found


def suggested(client: AppClient, job_id: str) -> dict[str, str]:
    assert client.app.state.keepwell.jobs.worker.step()
    lines = client.get(f"/v1/jobs/{job_id}/results").content.splitlines()
    told: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {one["customer_id"]: one["action"]["code"] for one in told}


@pytest.mark.parametrize("kind", list(TYPES))
def test_nobody_who_was_contacted_lately_is_suggested_a_contact(
    client: AppClient, kind: str
) -> None:
    before = suggested(client, submitted(client, kind))
    assert "none" not in before.values()
    for who in before:
        deliver(client, who, told_at=NOW)
    assert set(suggested(client, submitted(client, kind)).values()) == {"none"}


def test_what_is_told_after_the_submission_changes_nothing(client: AppClient) -> None:
    job_id = submitted(client, "ndjson")
    deliver(client, "whole", told_at=NOW + 1)
    deliver(client, "by-id", told_at=NOW)
    found = suggested(client, job_id)
    assert found["by-id"] == "none"
    assert found["whole"] != "none"


def test_a_row_that_is_to_be_recorded_is_refused_with_what_records(client: AppClient) -> None:
    row = json.dumps(customer(record=True)).encode()
    answer = client.post("/v1/jobs", row, content_type=TYPES["ndjson"])
    assert client.app.state.keepwell.jobs.worker.step()
    told = client.get(f"/v1/jobs/{answer.json()['job_id']}/results").json()
    assert told["error"]["errors"] == [{"pointer": "/record", "code": "not_recorded"}]
    assert "POST /v1/score/batch and POST /v1/plan" in told["error"]["detail"]


def test_deliveries_are_read_as_they_had_been_told(client: AppClient) -> None:
    deliver(client, "a", told_at=NOW - 5)
    deliver(client, "b", told_at=NOW)
    with client.app.state.keepwell.store.reading() as connection:
        assert set(contacts_of(connection, ["a", "b", "c"], 0)) == {"a", "b"}
        assert set(contacts_of(connection, ["a", "b", "c"], 0, NOW - 1)) == {"a"}
        assert contacts_of(connection, ["a"], NOW - 3 * DAY, NOW) == {}
