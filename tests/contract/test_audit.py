"""The audit log: a line for each customer who is scored, and for what is done to the service."""

import asyncio
import errno
import hmac
import io
import json
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from churn.errors import ConfigError
from churn.policy.default import DEFAULT
from churn.registry import Registry
from cli.main import run
from service import instants
from service.access.keys import KeyScope
from service.app import create_app
from service.audit import files
from service.audit.files import AuditFiles
from service.jobs import records
from service.metrics import Metrics
from service.settings import Settings
from tests import keys
from tests.contract.client import NOW, AppClient, build, customer, keep, purchases
from tests.contract.planted_jobs import LIST
from tests.contract.test_plan_recorded import SILENT
from tests.contract.test_reload import SECOND, add_version
from tests.decided import decided, plant

DAY = 86_400_000_000
KEY = bytes(range(32))
CANARY = "canary-7f3a"


class Audited(AppClient):
    """A client whose calls show a key, and the lines of the audit log."""

    folder: Path

    def lines(self) -> list[dict[str, Any]]:
        self.app.state.keepwell.audit.flush()
        (path,) = self.folder.glob("audit-*.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]

    def last(self, kind: str) -> dict[str, Any]:
        return [line for line in self.lines() if line["kind"] == kind][-1]


@pytest.fixture
def settings(models_dir: Path, tmp_path: Path) -> Settings:
    path = keys.write(tmp_path / "keys.toml", keys.key("k1", set(KeyScope), client="crm"))
    return Settings(
        models_dir=models_dir,
        keys_file=path,
        audit_file=tmp_path / "audit" / "audit.jsonl",
        audit_key=KEY.hex(),  # type: ignore[arg-type]
        stale_after_hours=1e6,
        stale_limit_hours=1e6,
    )


@pytest.fixture
def audited(settings: Settings, tmp_path: Path) -> Iterator[Audited]:
    client = Audited(create_app(settings, clock=lambda: NOW))
    client.folder = tmp_path / "audit"
    client.refresh()
    with client:
        client._http.headers["authorization"] = keys.header("k1")
        yield client


def of(customer_id: str) -> str:
    return hmac.digest(KEY, customer_id.encode(), "sha256").hex()


def test_a_score_is_a_line_that_says_who_asked_and_what_was_answered(audited: Audited) -> None:
    answer = audited.post("/score", customer(customer_id=CANARY, record=True), x_request_id="r-1")
    told = answer.json()
    line = audited.last("score")
    assert re.fullmatch(r"[0-9a-f]{32}", line.pop("features_hash"))
    assert line == {
        "at": "2026-11-21T12:00:00Z",
        "kind": "score",
        "request_id": "r-1",
        "key": "k1",
        "client": "crm",
        "customer": of(CANARY),
        "status": "scored",
        "probability": told["churn_probability"],
        "action": told["action"]["code"],
        "withheld": told["action"]["holdout"],
        "decision_id": told["action"]["decision_id"],
        "as_of": "2026-11-21T00:00:00Z",
        "model_version": told["model_version"],
        "policy_version": told["policy_version"],
    }


def test_a_list_has_a_line_for_each_customer_who_was_answered(audited: Audited) -> None:
    keep(audited, "stored", purchases())
    rows = [
        customer(customer_id="sent"),
        customer(customer_id="recorded", record=True),
        {"customer_id": "stored"},
        {"customer_id": "nobody"},
        customer(customer_id="wrong", max_reasons=9),
    ]
    results = audited.post("/v1/score/batch", rows).json()["results"]
    lines = {line["customer"]: line for line in audited.lines() if line["kind"] == "score"}
    assert set(lines) == {of(who) for who in ("sent", "recorded", "stored", "nobody")}
    for row in results[:4]:
        line = lines[of(row["customer_id"])]
        assert line["probability"] == row.get("churn_probability")
        assert line["status"] == row["status"]
        decided = row["action"] or {}
        assert line["decision_id"] == decided.get("decision_id")
        assert line["action"] == decided.get("code")
    assert lines[of("recorded")]["decision_id"]
    assert lines[of("nobody")]["features_hash"] is None


def test_columns_have_the_same_lines(audited: Audited) -> None:
    columns = {"days_since_last_purchase": [41.0, None], "open_complaints": [1.0, 0.0]}
    table = pa.table({"customer_id": ["a", "b"], **columns})
    table = table.replace_schema_metadata({"keepwell.feeds": "orders"})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    arrow = "application/vnd.apache.arrow.stream"
    answer = audited.post("/v1/score/batch", sink.getvalue(), content_type=arrow)
    told = pa.ipc.open_stream(answer.content).read_all().to_pylist()
    lines = [line for line in audited.lines() if line["kind"] == "score"]
    assert [line["customer"] for line in lines] == [of("a"), of("b")]
    for line, row in zip(lines, told, strict=True):
        assert line["status"] == row["status"]
        assert line["probability"] == row["churn_probability"]
        assert line["action"] == (row["action"] and row["action"]["code"])
    for at, who in enumerate("ab"):
        features = {name: column[at] for name, column in columns.items()}
        one = {"customer_id": who, "features": features, "feeds": ["orders"]}
        assert audited.post("/score", one).status_code == 200
        line = audited.last("score")
        assert set(line) == set(lines[at])
        assert line["features_hash"] == lines[at]["features_hash"]


def test_a_plan_has_a_line_for_each_customer_who_gets_something(audited: Audited) -> None:
    open_case = {"occurred_at": "2026-11-19T12:00:00Z", "kind": "complaint", "case_id": "k"}
    rows = [
        customer(customer_id=f"c-{at}", as_of=None, events=[*purchases(), open_case])
        for at in range(4)
    ]
    plan = audited.post("/v1/plan", {"customers": rows}).json()
    lines = [line for line in audited.lines() if line["kind"] == "plan"]
    given = {(of(one["customer_id"]), one["action"], False) for one in plan["assignments"]}
    kept = {(of(one["customer_id"]), one["action"], True) for one in plan["withheld"]}
    assert given
    assert {(one["customer"], one["action"], one["withheld"]) for one in lines} == given | kept


def test_a_decision_that_stands_keeps_its_own_versions_in_a_plan_s_lines(audited: Audited) -> None:
    plant(
        audited.app.state.keepwell.store,
        decided(customer_id="c-0", day=NOW // DAY, model_version="m-0", policy_version="p-0"),
    )
    rows = [customer(customer_id=f"c-{at}", events=SILENT) for at in range(12)]
    plan = audited.post("/v1/plan", {"customers": rows, "record": True}).json()
    told = {
        line["customer"]: (line["as_of"], line["model_version"], line["policy_version"])
        for line in audited.lines()
        if line["kind"] == "plan"
    }
    own = ("2026-11-21T00:00:00Z", plan["model_version"], plan["policy_version"])
    assert told.pop(of("c-0")) == ("2026-11-21T00:00:00Z", "m-0", "p-0")
    assert set(told.values()) == {own}
    assert plan["as_of"] != own[0]  # each customer's own instant was asked for


def test_what_is_done_to_people_and_jobs_is_told(audited: Audited) -> None:
    keep(audited, CANARY, purchases())
    audited.post("/score", {"customer_id": CANARY, "record": True})
    for what in ("scores", "decisions"):
        audited.get(f"/v1/customers/{CANARY}/{what}")
        assert audited.last(f"{what}_read")["customer"] == of(CANARY)
    audited.request("DELETE", f"/v1/customers/{CANARY}")
    erased = audited.last("erasure")
    assert (erased["customer"], erased["events"], erased["key"]) == (of(CANARY), 5, "k1")

    def submit() -> str:
        sent = audited.post("/v1/jobs", LIST.encode(), content_type="application/x-ndjson")
        return str(sent.json()["job_id"])

    first = submit()
    assert audited.app.state.keepwell.jobs.worker.step()
    second = submit()
    results = audited.get(f"/v1/jobs/{first}/results")
    tag = {"if-none-match": results.headers["etag"]}
    assert audited.get(f"/v1/jobs/{first}/results", headers=tag).status_code == 304
    assert audited.request("HEAD", f"/v1/jobs/{first}/results").status_code == 200
    assert [line["kind"] for line in audited.lines()].count("job_results") == 1
    audited.request("POST", f"/v1/jobs/{second}/cancel")
    audited.request("DELETE", f"/v1/jobs/{first}")
    assert audited.last("job_submission")["job"] == second
    assert audited.last("job_cancellation")["job"] == second
    fetched = audited.last("job_results")
    assert (fetched["job"], f'"{fetched["sha256"]}"') == (first, results.headers["etag"])
    assert audited.last("job_deletion")["job"] == first
    assert CANARY not in json.dumps(audited.lines())


def test_what_outlasts_its_request_is_told_all_the_same(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slowly(work: Callable[..., Any]) -> Callable[..., Any]:
        def waited(*given: Any) -> Any:
            assert go_on.wait(30)
            return work(*given)

        return waited

    hasty = settings.model_copy(update={"request_seconds": 0.1})
    client = Audited(create_app(hasty, clock=lambda: NOW))
    client.folder = tmp_path / "audit"
    client.refresh()
    state = client.app.state.keepwell
    with client:
        client._http.headers["authorization"] = keys.header("k1")
        sent = client.post("/v1/jobs", LIST.encode(), content_type="application/x-ndjson")
        monkeypatch.setattr(state.eraser, "erase", slowly(state.eraser.erase))
        monkeypatch.setattr(records, "remove", slowly(records.remove))
        for path in (f"/v1/customers/{CANARY}", f"/v1/jobs/{sent.json()['job_id']}"):
            assert client.request("DELETE", path).status_code == 504
        go_on.set()
        for threads in (state.clearing, state.jobs.threads):
            threads.shutdown()
        assert client.last("erasure")["customer"] == of(CANARY)
        assert client.last("job_deletion")["job"] == sent.json()["job_id"]


def test_what_changes_in_the_service_is_told_each_time(
    settings: Settings, tmp_path: Path, models_dir: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(DEFAULT)
    client = Audited(
        create_app(settings.model_copy(update={"policy_file": policy}), clock=lambda: NOW)
    )
    client.folder = tmp_path / "audit"
    first, policies = Registry(models_dir).current(), client.app.state.keepwell.models.policies
    before = policies.current.version
    with client:
        client.refresh()
        add_version(models_dir, SECOND)
        for promoted in (SECOND, first):  # there and back before anything is written
            Registry(models_dir).promote(promoted)
            client.refresh()
        policy.write_text(DEFAULT.replace("holdout_share = 0.10", "holdout_share = 0.20"))
        client.refresh()
        lines = client.lines()
    changes = [(line["kind"], line["before"], line["now"]) for line in lines]
    assert changes == [
        ("model_change", None, first),
        ("model_change", first, SECOND),
        ("model_change", SECOND, first),
        ("policy_change", before, policies.current.version),
    ]
    assert before != policies.current.version


def test_a_change_of_a_key_is_told_whatever_it_is_and_never_a_hash(audited: Audited) -> None:
    path = audited.app.state.keepwell.settings.keys_file
    first = keys.key("k1", set(KeyScope), client="crm")
    narrow = keys.key("k1", {KeyScope.SCORE}, client="crm")
    other = replace(narrow, digest=keys.key("k2", set()).digest)
    later = replace(other, expires_at=other.expires_at + DAY)
    second = keys.key("k2", {KeyScope.METRICS}, client="ops")
    states = [[first], [narrow], [other], [later], [later, second], [second]]
    for some in states[1:]:
        keys.write(path, *some)
        audited.refresh()
    keys.write(path, second)  # the same again
    audited.refresh()
    lines = [line for line in audited.lines() if line["kind"] == "keys_change"]
    shown = [[{"id": one.key_id, "client": one.client, "scopes": sorted(one.scopes),
               "expires": instants.text(one.expires_at)} for one in some]
             for some in states]  # fmt: skip
    assert [line["before"] for line in lines] == shown[:-1]
    assert [line["now"] for line in lines] == shown[1:]
    assert [(line["added"], line["removed"], line["changed"]) for line in lines] == [
        ([], [], ["k1"]),
        ([], [], ["k1"]),
        ([], [], ["k1"]),
        (["k2"], [], []),
        ([], ["k1"], []),
    ]
    told = json.dumps(lines)
    assert not any(one.digest.hex() in told for some in states for one in some)


def test_the_start_tells_what_is_in_force(settings: Settings, tmp_path: Path) -> None:
    client = Audited(create_app(settings, clock=lambda: NOW))
    client.folder = tmp_path / "audit"

    async def until_loaded() -> None:
        async with client.app.router.lifespan_context(client.app):
            while client.app.state.keepwell.models.current is None:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_loaded(), 60))
    state = client.app.state.keepwell
    (path,) = client.folder.iterdir()
    start, loaded, stop = map(json.loads, path.read_text().splitlines())
    assert (start["kind"], start["model"]) == ("start", None)
    assert start["policy"] == state.models.policies.current.version
    assert [one["id"] for one in start["keys"]] == ["k1"]
    assert (loaded["kind"], loaded["now"]) == ("model_change", state.models.current.version)
    assert stop["kind"] == "stop"


def test_erasing_by_command_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEEPWELL_AUDIT_FILE", str(tmp_path / "audit.jsonl"))
    monkeypatch.setenv("KEEPWELL_AUDIT_KEY", KEY.hex())
    assert run(["store", "erase", CANARY]) == 0
    (path,) = tmp_path.glob("audit-*.jsonl")
    line = json.loads(path.read_text())
    assert (line["kind"], line["customer"], line["key"]) == ("erasure", of(CANARY), None)


def test_without_a_file_there_is_none(client: AppClient) -> None:
    assert client.app.state.keepwell.audit is None


def test_a_log_that_cannot_be_written_or_has_no_key_is_refused_at_the_start(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match=r"KEEPWELL_AUDIT_KEY is not set.*openssl rand"):
        create_app(Settings(audit_file=tmp_path / "audit.jsonl"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"KEEPWELL_AUDIT_FILE: .* cannot be written"):
        build(
            Settings(
                audit_file=tmp_path / "file" / "audit.jsonl",
                audit_key=KEY.hex(),  # type: ignore[arg-type]
            )
        )


class Clock:
    """A clock that stands until it is moved."""

    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"churn_{name}_total", labels) or 0.0


def test_a_file_a_day_is_kept_for_so_many_days(
    tmp_path: Path, clock: Clock, metrics: Metrics
) -> None:
    old, others = tmp_path / "audit-2026-11-18.jsonl", tmp_path / "audit-2026-11-18.jsonl.gz"
    old.touch()
    others.touch()
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    for number in range(4):
        log.add(b"%d\n" % number)
        log.flush()
        clock.now += DAY
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "audit-2026-11-18.jsonl.gz",
        "audit-2026-11-23.jsonl",
        "audit-2026-11-24.jsonl",
        "audit-2026-11-25.jsonl",
    ]
    assert (tmp_path / "audit-2026-11-24.jsonl").read_bytes() == b"3\n"
    assert stat.S_IMODE((tmp_path / "audit-2026-11-24.jsonl").stat().st_mode) == 0o600
    assert value(metrics, "audit_lines", outcome="written") == 4


def test_lines_wait_for_a_full_disk_and_the_service_goes_on(
    tmp_path: Path, clock: Clock, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_WAITING", 3)
    (tmp_path / "audit-2026-11-21.jsonl").symlink_to("/dev/full")
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    log.add(b"0\n")
    log.flush()
    for number in range(1, 6):
        log.add(b"%d\n" % number)
    log.flush()
    assert value(metrics, "audit_write_failures") == 2
    assert value(metrics, "audit_lines", outcome="lost") == 2
    clock.now += DAY  # into a file that takes them
    log.flush()
    assert (tmp_path / "audit-2026-11-22.jsonl").read_bytes() == b"0\n1\n2\n3\n"
    assert value(metrics, "audit_lines", outcome="written") == 4
    log.close()


def test_what_cannot_be_written_at_the_end_is_said_to_be_lost(
    tmp_path: Path, clock: Clock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit-2026-11-21.jsonl").symlink_to("/dev/full")
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    log.add(b"0\n")
    log.flush()
    log.add(b"1\n")
    log.close()
    assert "2 lines of the audit log are lost" in caplog.text


def test_a_line_that_was_cut_short_spoils_no_other(
    tmp_path: Path, clock: Clock, metrics: Metrics
) -> None:
    path = tmp_path / "audit-2026-11-21.jsonl"
    path.write_bytes(b'{"kind":"sc')
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    log.add(b"1\n")
    log.close()
    assert path.read_bytes() == b'{"kind":"sc\n1\n'


@pytest.mark.parametrize("change", ["midnight", "taken away"])
def test_a_line_of_which_a_file_took_half_is_whole_in_the_next(
    tmp_path: Path,
    clock: Clock,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
    change: str,
) -> None:
    path, taken = tmp_path / "audit-2026-11-21.jsonl", tmp_path / "taken"
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    room, write = [7], os.write

    def nearly_full(handle: int, content: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "full")
        done = write(handle, content[: room[0]])
        room[0] -= done
        return done

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", nearly_full)
        for line in (b"000\n", b"111\n", b"222\n"):
            log.add(line)
        log.flush()
    if change == "midnight":
        clock.now += DAY
        before, after = path, tmp_path / "audit-2026-11-22.jsonl"
    else:
        before, after = path.rename(taken), path
    log.close()
    assert before.read_bytes() == b"000\n111"
    assert after.read_bytes() == b"111\n222\n"
    assert value(metrics, "audit_lines", outcome="written") == 3


def test_lines_are_counted_once_whatever_they_come_after(
    tmp_path: Path, clock: Clock, metrics: Metrics
) -> None:
    log = AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock)
    for line in (b"0\n", b"1\n"):
        log.add(line)
    log.flush()
    torn = tmp_path / "audit-2026-11-22.jsonl"
    torn.write_bytes(b"cut")
    clock.now += DAY
    log.flush()
    log.add(b"2\n")
    log.close()
    assert torn.read_bytes() == b"cut\n2\n"
    assert value(metrics, "audit_lines", outcome="written") == 3


def test_two_processes_may_share_a_file_and_somebody_may_take_it_away(
    tmp_path: Path, clock: Clock, metrics: Metrics
) -> None:
    path = tmp_path / "audit-2026-11-21.jsonl"
    both = [AuditFiles(tmp_path / "audit.jsonl", 2, metrics, clock) for _ in "12"]
    for number in range(4):
        both[number % 2].add(b"%d\n" % number)
        both[number % 2].flush()
    assert path.read_bytes() == b"0\n1\n2\n3\n"
    os.rename(path, tmp_path / "taken")
    for one in both:
        one.add(b"4\n")
        one.close()
    assert path.read_bytes() == b"4\n4\n"
