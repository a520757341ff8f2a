"""A stalled import is told in lists of any length as it is of one customer, whenever they run."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.events import Feed
from service import freshness, instants
from service.marks import Marks
from service.settings import Settings
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases

HOUR = 3_600_000_000
NEWEST = instants.parse("2026-10-20T10:00:00Z")  # of `purchases()`
TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}
ALONE = {"customer_id": "c-1042"}
SENT = customer(as_of=instants.text(NEWEST + 400 * HOUR))


def serve(published: Path, store_url: str, folder: Path, **settings: Any) -> AppClient:
    return build(
        Settings(models_dir=published, store_url=store_url, jobs_dir=folder / "jobs", **settings)
    )


@pytest.fixture
def client(published: Path, store_url: str, tmp_path: Path) -> Iterator[AppClient]:
    with serve(published, store_url, tmp_path) as client:
        keep(client, "c-1042", purchases())
        yield client


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freshness, "LOOK_SECONDS", -1.0)


def listed(rows: list[dict[str, Any]], kind: str = "ndjson") -> bytes:
    if kind == "ndjson":
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if kind == "csv":
        lines = [names, *([str(row.get(name, "")) for name in names] for row in rows)]
        return "\n".join(",".join(line) for line in lines).encode()
    columns = {
        name: pa.array(
            [row.get(name) and _cell(name, row[name]) for row in rows],
            pa.timestamp("us", tz="UTC") if name == "as_of" else pa.string(),
        )
        for name in names
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _cell(name: str, given: str) -> Any:
    return instants.parse(given) if name == "as_of" else given


def submit(
    client: AppClient, rows: list[dict[str, Any]], as_of: int, kind: str = "ndjson", **headers: str
) -> httpx.Response:
    path = f"/v1/jobs?as_of={instants.text(as_of)}&results=ndjson&max_reasons=8&direction=both"
    return client.request(
        "POST",
        path,
        content=listed(rows, kind),
        headers={"content-type": TYPES[kind]} | headers,
    )


def results(client: AppClient, answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 202, answer.text
    while client.app.state.keepwell.jobs.worker.step():
        pass
    content = client.get(f"{answer.headers['location']}/results").content
    return [json.loads(line) for line in content.splitlines()]


def scored(client: AppClient, as_of: int) -> dict[str, Any]:
    body = ALONE | {"as_of": instants.text(as_of), "max_reasons": 8, "direction": "both"}
    answer: dict[str, Any] = client.post("/score", body).json()
    return {name: answer[name] for name in answer if name not in ("scored_at", "request_id")}


@pytest.mark.parametrize("kind", TYPES)
def test_a_list_of_ids_is_told_what_one_customer_is(client: AppClient, kind: str) -> None:
    late = NEWEST + 100 * HOUR
    (row,) = results(client, submit(client, [ALONE], late, kind))
    assert row["warnings"] == ["stale_history: orders since 2026-10-20T10:00:00Z"]
    assert row == scored(client, late)


def test_feeds_that_never_came_are_left_out_as_of_one_customer(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "ENOUGH_CUSTOMERS", 1)
    whole, named = results(
        client,
        submit(client, [ALONE, ALONE | {"feeds": ["orders", "visits"]}], NEWEST + HOUR),
    )
    assert whole["warnings"] == ["feeds_not_stored: complaints, feedback, returns, visits"]
    assert whole == scored(client, NEWEST + HOUR)
    assert named["warnings"] == []


def test_what_counts_is_how_far_the_feeds_had_come_when_it_was_sent(
    client: AppClient,
    published: Path,
    store_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness, "ENOUGH_CUSTOMERS", 1)
    late = NEWEST + 100 * HOUR
    rows = [ALONE, {"customer_id": "nobody"}, ALONE | {"as_of": instants.text(NEWEST + HOUR)}]
    undisturbed = results(client, submit(client, rows, late))
    answer = submit(client, rows, late)
    # The import goes on, a visit is the first of its feed, and who takes the job over is told
    # other hours.
    visit = {"occurred_at": instants.text(NOW - HOUR), "kind": "visit"}
    keep(client, "another", [*purchases(occurred_at=instants.text(NOW - HOUR)), visit])
    with serve(published, store_url, tmp_path, stale_after_hours=1, stale_limit_hours=2) as other:
        assert results(other, answer) == undisturbed


@pytest.mark.parametrize("kind", TYPES)
def test_a_list_of_ids_that_would_all_be_refused_is_refused_when_it_is_sent(
    client: AppClient, kind: str, tmp_path: Path
) -> None:
    rows = [ALONE, {"customer_id": "nobody"}]
    answer = submit(client, rows, NEWEST + 337 * HOUR, kind, **{"idempotency-key": "k"})
    assert answer.status_code == 503
    assert answer.json()["type"] == "/problems/stale-history"
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/v1/jobs").json()["jobs"] == []
    assert [path for path in (tmp_path / "jobs").rglob("*") if path.is_file()] == []
    # The key is free for when the import has gone on.
    keep(client, "another", [{"occurred_at": instants.text(NOW - HOUR), "kind": "purchase"}])
    again = submit(client, rows, NEWEST + 337 * HOUR, kind, **{"idempotency-key": "k"})
    assert [row["status"] for row in results(client, again)] == ["scored", "unknown_customer"]


@pytest.mark.parametrize(
    "row", [SENT, ALONE | {"as_of": instants.text(NEWEST + HOUR)}, {"customer_id": 5}]
)
def test_a_list_with_another_row_is_taken_and_each_row_judged(
    client: AppClient, row: dict[str, Any]
) -> None:
    stale, other = results(client, submit(client, [ALONE, row], NEWEST + 337 * HOUR))
    assert stale["customer_id"] == "c-1042"
    assert stale["status"] == "error"
    assert stale["error"]["status"] == 503
    assert stale["error"]["errors"] == [{"pointer": "", "code": "stale_history"}]
    assert other["status"] == ("error" if other["customer_id"] is None else "scored")


def test_a_row_may_be_too_late_by_its_own_as_of(client: AppClient) -> None:
    late = ALONE | {"as_of": instants.text(NEWEST + 337 * HOUR)}
    fine, refused = results(client, submit(client, [ALONE, late], NEWEST + HOUR))
    assert (fine["status"], refused["status"]) == ("scored", "error")


def test_a_job_of_an_older_version_is_scored_without_marks(client: AppClient) -> None:
    answer = submit(client, [ALONE], NEWEST + 100 * HOUR)
    store = client.app.state.keepwell.store
    with store.writing() as connection:
        connection.exec_driver_sql("UPDATE jobs SET marks = NULL")
    (row,) = results(client, answer)
    assert (row["status"], row["warnings"]) == ("scored", [])


def test_what_is_kept_with_a_job_is_what_was_known() -> None:
    marks = Marks(
        {Feed.ORDERS: 5, Feed.VISITS: -7},
        frozenset({Feed.RETURNS, Feed.FEEDBACK}),
        {Feed.VISITS: 3, Feed.ORDERS: 2},
        {Feed.ORDERS: 9},
    )
    again = Marks.decode(marks.encode())
    assert again == marks
    assert list(again.after) == list(marks.after)  # the order in which they are told
