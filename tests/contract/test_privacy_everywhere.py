"""Something planted in every field of every request turns up in no log, metric, error or audit."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service import logs
from service.openapi import document
from service.settings import Settings
from tests.contract.client import AppClient, build, keep, purchases
from tests.contract.planting import (
    HEADERS,
    MARK,
    NUMBER,
    TRACES,
    Planted,
    full,
    planted,
    torn,
    without,
)

CONTRACT = json.loads(document())
SCHEMAS = CONTRACT["components"]["schemas"]
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in CONTRACT["paths"].items()
    for method, operation in operations.items()
]
JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"

EVENT = full(SCHEMAS["CustomerEvent"], CONTRACT)
CUSTOMER = full(SCHEMAS["ScoreRequest"], CONTRACT)
"""With every field; `events` and `features` exclude each other, so one of them goes."""
FORMS = {
    "events": without(CUSTOMER, "features"),
    "features": without(CUSTOMER, "events") | {"features": {"purchases_30d": 1}},
    "id": without(CUSTOMER, "events", "features"),
}


class Outputs:
    """What comes out of a service beside its answers, as far as it has come out."""

    def __init__(self, client: AppClient, log: io.StringIO, audit: Path) -> None:
        self.client = client
        self.log = log
        self.audit = audit
        self.statuses: set[int] = set()

    def see(self, place: str, answer: httpx.Response) -> None:
        """Hold one answer against what was planted."""
        self.statuses.add(answer.status_code)
        assert answer.status_code < 500, place
        headers = {**answer.headers, "location": ""}
        assert not TRACES.search(str(headers)), place
        if answer.status_code >= 400:
            assert not TRACES.search(answer.text), place
        elif answer.headers["content-type"] == JSON:
            _see_rows(place, answer.json())
        elif answer.headers["content-type"] == NDJSON:
            for line in answer.text.splitlines():
                _see_rows(place, [json.loads(line)])

    def nothing_is_left(self) -> None:
        """Hold everything else against it."""
        self.client.app.state.keepwell.audit.act("end of test")
        self.client.app.state.keepwell.audit._files.flush()
        told = "".join(path.read_text() for path in self.audit.glob("*"))
        assert told
        assert TRACES.findall(told) == []
        assert self.log.getvalue()
        assert TRACES.findall(self.log.getvalue()) == []
        assert TRACES.findall(self.client.get("/metrics").text) == []


def _see_rows(place: str, told: Any) -> None:
    """The rows of an answer that are refused repeat nothing; the others name their customer."""
    rows = told
    if isinstance(told, dict):
        rows = [row for name in ("results", "rows", "errors") for row in told.get(name) or ()]
    for row in rows:
        if isinstance(row, dict) and (isinstance(row.get("status"), int) or "error" in row):
            assert not TRACES.search(json.dumps(row)), place


@pytest.fixture
def outputs(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    out = io.StringIO()
    logs.configure("DEBUG", out)
    # The test's own client logs what it calls.
    for name in ("httpx", "httpcore"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    settings = Settings(
        models_dir=published,
        audit_file=tmp_path / "audit" / "audit.jsonl",
        audit_key="00" * 32,  # type: ignore[arg-type]
        stale_after_hours=1e6,
        stale_limit_hours=1e6,
    )
    with build(settings) as client:
        yield Outputs(client, out, tmp_path / "audit")
    root.handlers, root.level = before


def body_of(value: Any, media_type: str) -> bytes:
    return json.dumps(value).encode() + (b"\n" if media_type == NDJSON else b"")


def send(outputs: Outputs, path: str, one: Planted, media_type: str = JSON) -> httpx.Response:
    answer = outputs.client.post(path, body_of(one.value, media_type), content_type=media_type)
    outputs.see(f"{path} {one.place}", answer)
    return answer


@pytest.mark.parametrize("form", FORMS)
def test_customers_however_they_are_sent(outputs: Outputs, form: str) -> None:
    client = outputs.client
    for one in planted(FORMS[form]):
        send(outputs, "/score", one)
        send(outputs, "/v1/score/batch", Planted(one.place, [one.value, one.value]))
        send(outputs, "/v1/score/batch", one, NDJSON)
        send(outputs, "/v1/plan", Planted(one.place, {"customers": [one.value]}))
        send(outputs, "/v1/jobs", one, NDJSON)
    assert outputs.statuses >= {200, 202, 422}
    while client.app.state.keepwell.jobs.worker.step():
        pass
    for job in client.get("/v1/jobs?limit=500").json()["jobs"]:
        assert job["state"] == "done"
        for row in client.get(job["results"]["href"]).text.splitlines():
            told = json.loads(row)
            if "error" in told:
                assert not TRACES.search(json.dumps(told["error"]))
    outputs.nothing_is_left()


def test_bodies_as_the_contract_has_them(outputs: Outputs) -> None:
    for method, path, operation in OPERATIONS:
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            if media_type != JSON:
                continue
            whole = full(content["schema"], CONTRACT)
            for one in planted(whole):
                send(outputs, path.replace("{decision_id}", "0" * 32), one)
            for raw in torn(whole, path):
                answer = outputs.client.request(
                    method, path, content=raw, headers={"content-type": media_type}
                )
                outputs.see(f"{path} {raw[:60]!r}", answer)
    assert outputs.statuses >= {200, 400, 422}
    outputs.nothing_is_left()


def test_events_however_they_are_sent(outputs: Outputs) -> None:
    for one in planted(EVENT):
        send(outputs, "/v1/events", Planted(one.place, {"events": [one.value]}))
        send(outputs, "/v1/events", one, NDJSON)
    assert outputs.statuses == {200}
    outputs.nothing_is_left()


def test_lists_of_other_formats(outputs: Outputs) -> None:
    client = outputs.client
    columns = {
        "customer_id": [f"{MARK}_id"],
        f"{MARK}_column": [f"{MARK}_value"],
        "purchases_30d": [f"{MARK}_number"],
        "as_of": [f"{MARK}_time"],
    }
    for left_out in (None, *columns):
        kept = {name: values for name, values in columns.items() if name != left_out}
        table = pa.table(kept)
        rows = [",".join(kept), ",".join(values[0] for values in kept.values())]
        parquet, arrow = io.BytesIO(), io.BytesIO()
        pq.write_table(table, parquet)
        with pa.ipc.new_stream(arrow, table.schema) as writer:
            writer.write_table(table)
        for path, media_type, raw in (
            ("/v1/jobs", CSV, "\n".join(rows).encode()),
            ("/v1/jobs", CSV, f'customer_id\n"{MARK}_open'.encode()),
            ("/v1/jobs", CSV, f"customer_id\n{MARK}_a,{MARK}_b\n{MARK}_c\x00".encode()),
            ("/v1/jobs", PARQUET, parquet.getvalue()),
            ("/v1/jobs", PARQUET, parquet.getvalue()[:-9] + MARK.encode()),
            ("/v1/score/batch", ARROW, arrow.getvalue()),
            ("/v1/score/batch", ARROW, arrow.getvalue()[:-9] + MARK.encode()),
        ):
            answer = client.post(path, raw, content_type=media_type)
            outputs.see(f"{path} {media_type} without {left_out}", answer)
    while client.app.state.keepwell.jobs.worker.step():
        pass
    jobs = client.get("/v1/jobs?limit=500")
    assert {job["state"] for job in jobs.json()["jobs"]} == {"done", "failed"}
    assert not TRACES.search(jobs.text)
    outputs.nothing_is_left()


def test_paths_queries_and_headers(outputs: Outputs) -> None:
    for method, path, operation in OPERATIONS:
        bare = path
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                bare = bare.replace(f"{{{parameter['name']}}}", f"{MARK}_in_path")
        known = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
        queries = ["", f"{MARK}_name={MARK}_value", f"{MARK}_alone", f"%ff{MARK}"]
        queries += [f"{name}={MARK}_{name}" for name in known]
        for query in queries:
            outputs.see(
                f"{method} {path}?{query}", outputs.client.request(method, f"{bare}?{query}")
            )
        for name in HEADERS:
            for value in (f"{MARK} {name}!", f'"{MARK}"'):
                answer = outputs.client.request(method, bare, headers={name: value})
                outputs.see(f"{method} {path} {name}", answer)
        outputs.see(path, outputs.client.request(MARK.upper(), bare))
        outputs.see(path, outputs.client.request(method, f"/{MARK}{bare}/{MARK}"))
    outputs.nothing_is_left()


def test_what_is_stored_and_read_again(outputs: Outputs) -> None:
    client, who = outputs.client, f"{MARK}_stored"
    marks = {"category": f"{MARK}_category", "channel": f"{MARK}_channel", "amount": NUMBER}
    keep(client, who, purchases(5, **marks))
    told = client.post("/score", {"customer_id": who, "record": True, "max_reasons": 8})
    decision = told.json()["action"]["decision_id"]
    client.post("/v1/score/batch", [{"customer_id": who, "record": True}, {"customer_id": who}])
    assert client.get(f"/v1/customers/{who}/scores").status_code == 200
    assert client.get(f"/v1/customers/{who}/decisions").status_code == 200
    outcome = client.post(f"/v1/decisions/{decision}/outcome", {"outcome": "lost"})
    assert outcome.status_code == 200
    assert client.get("/v1/retention").status_code == 200
    client.post("/v1/plan", {"customers": [who]})
    line = json.dumps({"customer_id": who}).encode()
    client.post("/v1/jobs", line, content_type=NDJSON, idempotency_key=f"{MARK} key")
    client.post("/v1/jobs", line + b" ", content_type=NDJSON, idempotency_key=f"{MARK} key")
    assert client.app.state.keepwell.jobs.worker.step()
    assert client.request("DELETE", f"/v1/customers/{who}").status_code == 200
    outputs.nothing_is_left()
