"""One exchange per endpoint and per kind of error: how to make it, and how to keep it.

``python -m tests.contract.exchanges`` writes `openapi/fixtures/` anew.
"""

import json
import logging
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURE_NAMES
from churn.scoring import Scorer
from service import models, problems
from service.access.keys import KeyScope
from service.contract import EXAMPLE_EVENTS, EXAMPLE_FEATURES, EXAMPLE_ID
from service.models import Loaded
from service.settings import Settings
from service.store.outcomes import Outcome
from tests import keys, ready_table
from tests.contract.client import NOW, AppClient, build, keep
from tests.contract.planted_jobs import (
    COMING,
    DONE,
    EXPIRED,
    KEY,
    KEY_OF_COMING,
    LIST,
    OLD,
    UNWANTED,
    WAITING,
    fill_the_disk,
    plant,
)
from tests.decided import decided
from tests.decided import plant as plant_decision
from tests.own_columns import bundle_with_own_columns
from tests.support import small_bundle

FOLDER = Path(__file__).parents[2] / "openapi" / "fixtures"
REQUEST_ID = "example-1"
KEPT_HEADERS = (
    "content-type",
    "x-request-id",
    "retry-after",
    "www-authenticate",
    "allow",
    "connection",
    "content-range",
)
HISTORY = EXAMPLE_EVENTS["events"]
AWAY = "postgresql+psycopg://keepwell@127.0.0.1:1/keepwell"
"""A store where nothing listens."""
NOW_LAPSED = "2027-11-21T00:00:00Z"


@dataclass(frozen=True)
class Exchange:
    """A request, and the state of the service that gets it."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = "loaded"

    @property
    def content(self) -> bytes | None:
        if self.body is None:
            return None
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    @property
    def sent_headers(self) -> dict[str, str]:
        json_type = {} if self.body is None else {"content-type": "application/json"}
        return {**json_type, **self.headers, "x-request-id": REQUEST_ID}


def _score(body: Any, **more: Any) -> Exchange:
    return Exchange("POST", "/score", body, **more)


_NDJSON = {"content-type": "application/x-ndjson"}
_WRONG = {"customer_id": "c-1043", "events": [{**HISTORY[0], "amount": "61"}]}
_SENT = [{"customer_id": "c-1042", **event} for event in HISTORY]
_WRONG_EVENT = {"customer_id": "c-1043", "occurred_at": "2026-10-02", "kind": "purchase"}
_LATER = {"customer_id": "c-1043", "occurred_at": "2027-10-02T00:00:00Z", "kind": "visit"}
_DECIDED = decided(customer_id="c-1043", day=NOW // DAY, decided_at=NOW - 3_600_000_000)
_ALL_FEATURES = dict.fromkeys(FEATURE_NAMES, 1.0) | {"days_since_last_purchase": 41.0}

EXCHANGES: dict[str, Exchange] = {
    "score_events": _score(EXAMPLE_EVENTS),
    "score_events_ru": _score(EXAMPLE_EVENTS | {"language": "ru"}),
    "score_features": _score(EXAMPLE_FEATURES | {"features": _ALL_FEATURES}),
    "score_features_few": _score(EXAMPLE_FEATURES),
    "score_insufficient_history": _score(EXAMPLE_EVENTS | {"events": []}),
    "score_lapsed": _score(EXAMPLE_EVENTS | {"as_of": NOW_LAPSED}),
    "score_by_id": _score(EXAMPLE_ID, service="stored"),
    "score_unknown_customer": _score({"customer_id": "c-7"}, service="stored"),
    "score_recorded": _score(EXAMPLE_EVENTS | {"record": True}, service="stored"),
    "customer_scores": Exchange("GET", "/v1/customers/c-1042/scores", service="stored"),
    "customer_decisions": Exchange("GET", "/v1/customers/c-1043/decisions", service="stored"),
    "decision_outcome": Exchange(
        "POST", f"/v1/decisions/{_DECIDED.decision_id}/outcome", {"outcome": "accepted"},
        service="stored",
    ),
    "retention": Exchange(
        "GET", "/v1/retention?start=2026-06-01&end=2026-11-01", service="stored"
    ),
    "score_v1": Exchange("POST", "/v1/score", EXAMPLE_EVENTS),
    "score_batch_json": Exchange(
        "POST", "/v1/score/batch", {"customers": [EXAMPLE_EVENTS, _WRONG, EXAMPLE_FEATURES]}
    ),
    "score_batch_ndjson": Exchange(
        "POST",
        "/v1/score/batch",
        f"{json.dumps(EXAMPLE_EVENTS)}\n{json.dumps(_WRONG)}\n{{oops\n",
        _NDJSON,
    ),
    "score_own_columns": _score(
        EXAMPLE_EVENTS | {"features": {"plan": "platinum", "support_calls": 7}}, service="own"
    ),
    "plan": Exchange(
        "POST",
        "/v1/plan",
        {
            "customers": ["c-7", EXAMPLE_EVENTS, _WRONG],
            "budget": 1000.0,
            "capacity": {"agent_call": 1},
        },
        service="stored",
    ),
    "plan_recorded": Exchange(
        "POST",
        "/v1/plan",
        {
            "customers": [EXAMPLE_EVENTS, EXAMPLE_EVENTS | {"customer_id": "c-1044"}],
            "record": True,
        },
        service="stored",
    ),
    "events_json": Exchange("POST", "/v1/events", {"events": [*_SENT, _WRONG_EVENT, _LATER]}),
    "events_ndjson": Exchange(
        "POST", "/v1/events", "".join(f"{json.dumps(one)}\n" for one in (*_SENT, _WRONG_EVENT)),
        _NDJSON,
    ),
    "job_submit": Exchange("POST", "/v1/jobs?max_reasons=1", LIST, _NDJSON),
    "job_submit_again": Exchange("POST", "/v1/jobs", LIST, _NDJSON | {"idempotency-key": KEY}),
    "jobs": Exchange("GET", "/v1/jobs?state=done&limit=1"),
    "job": Exchange("GET", f"/v1/jobs/{DONE}"),
    "job_results": Exchange("GET", f"/v1/jobs/{DONE}/results"),
    "job_results_part": Exchange(
        "GET", f"/v1/jobs/{DONE}/results", headers={"range": "bytes=0-99"}
    ),
    "job_results_unchanged": Exchange(
        "GET", f"/v1/jobs/{DONE}/results", headers={"if-none-match": "*"}
    ),
    "job_results_head": Exchange("HEAD", f"/v1/jobs/{DONE}/results"),
    "job_cancel": Exchange("POST", f"/v1/jobs/{WAITING}/cancel"),
    "job_delete": Exchange("DELETE", f"/v1/jobs/{UNWANTED}"),
    "erase_customer": Exchange("DELETE", "/v1/customers/c-7777", service="stored"),
    "model": Exchange("GET", "/v1/model"),
    "reasons": Exchange("GET", "/v1/reasons"),
    "actions": Exchange("GET", "/v1/actions"),
    "live": Exchange("GET", "/health/live"),
    "ready": Exchange("GET", "/health/ready"),
    "ready_without_store": Exchange("GET", "/health/ready", service="away"),
    "metrics": Exchange("GET", "/metrics", service="fresh"),
    "problem_malformed_json": _score('{"customer_id": "c-1042", }'),
    "problem_malformed_arrow": Exchange(
        "POST", "/v1/score/batch", "ARROW1",
        {"content-type": "application/vnd.apache.arrow.stream"},
    ),
    "problem_duplicate_key": _score('{"customer_id": "c-1042", "customer_id": "c-1043"}'),
    "problem_unauthorized": _score(EXAMPLE_EVENTS, service="keyed"),
    "problem_forbidden": _score(
        EXAMPLE_EVENTS, headers={"authorization": keys.header("example")}, service="keyed"
    ),
    "problem_not_found": Exchange("GET", "/v2/score"),
    "problem_method_not_allowed": Exchange("GET", "/score"),
    "problem_too_large": _score(EXAMPLE_EVENTS | {"events": HISTORY * 6}, service="narrow"),
    "problem_unsupported_media_type": _score("c-1042", headers={"content-type": "text/csv"}),
    "problem_invalid_field": _score(_WRONG),
    "problem_unknown_feature": _score({"customer_id": "c-1042", "features": {"purchase_30d": 1}}),
    "problem_history_unavailable": _score({"customer_id": "c-1042"}, service="table"),
    "problem_overloaded": Exchange("POST", "/v1/events", _SENT, service="busy"),
    "problem_store_unavailable": Exchange("POST", "/v1/events", _SENT, service="away"),
    "problem_unknown_customer": Exchange("GET", "/v1/customers/c-7/scores"),
    "problem_unknown_decision": Exchange(
        "POST", f"/v1/decisions/{COMING}/outcome", {"outcome": "lost"}
    ),
    "problem_unknown_job": Exchange("GET", f"/v1/jobs/{COMING}"),
    "problem_job_has_ended": Exchange("POST", f"/v1/jobs/{DONE}/cancel"),
    "problem_key_in_flight": Exchange(
        "POST", "/v1/jobs", LIST, _NDJSON | {"idempotency-key": KEY_OF_COMING}
    ),
    "problem_idempotency_conflict": Exchange(
        "POST", "/v1/jobs?results=csv", LIST, _NDJSON | {"idempotency-key": KEY}
    ),
    "problem_no_results": Exchange("GET", f"/v1/jobs/{OLD}/results"),
    "problem_results_expired": Exchange("GET", f"/v1/jobs/{EXPIRED}/results"),
    "problem_range_not_satisfiable": Exchange(
        "GET", f"/v1/jobs/{DONE}/results", headers={"range": "bytes=99999999-"}
    ),
    "problem_unknown_parameter": Exchange("POST", "/v1/jobs?result=csv", LIST, _NDJSON),
    "problem_storage_full": Exchange("POST", "/v1/jobs", LIST, _NDJSON, service="full"),
    "problem_stale_history": _score(EXAMPLE_ID | {"as_of": NOW_LAPSED}, service="stale"),
    "problem_internal_error": _score(EXAMPLE_EVENTS, service="broken"),
    "problem_draining": Exchange("GET", "/health/ready", service="ending"),
    "problem_deadline": Exchange("POST", "/v1/score/batch", [EXAMPLE_EVENTS], service="late"),
    "problem_model_unavailable": _score(EXAMPLE_EVENTS, service="empty"),
    "problem_not_ready": Exchange("GET", "/health/ready", service="empty"),
}  # fmt: skip


class _Broken:
    def __init__(self, scorer: Scorer) -> None:
        self.rows, self.schema, self.policy = scorer.rows, scorer.schema, scorer.policy

    def score_rows(self, *_: Any, **__: Any) -> None:
        raise ValueError("a fault of the service")


def _load_broken(path: Path) -> Loaded:
    loaded = models.load(path)
    return Loaded(
        loaded.version,
        loaded.sha256,
        loaded.manifest,
        loaded.feature_names,
        _Broken(loaded.scorer),  # type: ignore[arg-type]
    )


@contextmanager
def services(published: Path) -> Iterator[dict[str, AppClient]]:
    """Start one app in each state that the exchanges need."""
    with ExitStack() as stack:
        own, table, stores = (
            Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in "123"
        )

        def settings(models_dir: Path, **more: Any) -> Settings:
            url = f"sqlite:///{stores}/keepwell.db"
            jobs = stores / "jobs"
            return Settings(models_dir=models_dir, jobs_dir=jobs, **({"store_url": url} | more))

        loaded = settings(published)
        filled = f"sqlite:///{stores}/filled.db"
        bundle_with_own_columns(own)
        ready_table.trained(table)
        keyring = keys.write(stores / "keys.toml", keys.key("example", {KeyScope.EVENTS}))
        clients = {
            "loaded": stack.enter_context(build(loaded)),
            "stored": stack.enter_context(
                build(
                    settings(
                        published,
                        store_url=filled,
                        stale_after_hours=1e6,
                        stale_limit_hours=1e6,
                    )
                )
            ),
            "stale": stack.enter_context(build(settings(published, store_url=filled))),
            "table": stack.enter_context(build(settings(table / "models"))),
            "own": stack.enter_context(build(settings(own))),
            "fresh": stack.enter_context(build(loaded)),
            "keyed": stack.enter_context(build(settings(published, keys_file=keyring))),
            "narrow": stack.enter_context(build(settings(published, max_body_bytes=1024))),
            "broken": stack.enter_context(build(loaded, load=_load_broken)),
            "busy": stack.enter_context(build(settings(published, max_ingest_waiting=1))),
            "empty": stack.enter_context(build(settings(published / "nothing"))),
            "ending": stack.enter_context(build(loaded)),
            "late": stack.enter_context(build(settings(published, request_seconds=0.1))),
            "full": stack.enter_context(build(loaded)),
            "away": stack.enter_context(build(settings(published, store_url=AWAY))),
        }
        clients["loaded"].app.state.keepwell.store.prepare()
        keep(clients["stored"], "c-1042", HISTORY)
        _decided_earlier(clients["stored"])
        for as_of in ("2026-10-20T00:00:00Z", EXAMPLE_ID["as_of"]):
            score = EXAMPLE_ID | {"as_of": as_of, "record": True}
            assert clients["stored"].post("/score", score).status_code == 200
        stack.enter_context(clients["busy"].app.state.keepwell.rooms.events)
        clients["ending"].app.state.keepwell.drain.has_begun = True
        free = threading.Event()
        clients["late"].app.state.keepwell.worker.submit(free.wait)
        stack.callback(free.set)
        plant(clients["loaded"])
        fill_the_disk(clients["full"])
        yield clients


def _decided_earlier(client: AppClient) -> None:
    """Store a decision of an hour ago, which was carried out."""
    state = client.app.state.keepwell
    plant_decision(state.store, _DECIDED)
    at = _DECIDED.decided_at
    state.outcomes.add(_DECIDED.decision_id, Outcome.DELIVERED, at, now=at, allowance=0)


def call(client: AppClient, exchange: Exchange) -> httpx.Response:
    headers = exchange.sent_headers
    return client.request(exchange.method, exchange.path, content=exchange.content, headers=headers)


def as_fixture(exchange: Exchange, answer: httpx.Response) -> dict[str, Any]:
    """Keep an exchange as a readable document."""
    is_json = answer.headers.get("content-type") in {"application/json", problems.MEDIA_TYPE}
    return {
        "request": {
            "method": exchange.method,
            "path": exchange.path,
            "headers": exchange.sent_headers,
            "body": exchange.body,
        },
        "response": {
            "status": answer.status_code,
            "headers": {
                name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers
            },
            "body": answer.json() if is_json else answer.text,
        },
    }


def record(folder: Path = FOLDER) -> None:
    """Write every exchange, as it happens with a small model, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    with tempfile.TemporaryDirectory() as temporary:
        published = Path(temporary)
        small_bundle(published)
        with services(published) as clients:
            for name, exchange in EXCHANGES.items():
                fixture = as_fixture(exchange, call(clients[exchange.service], exchange))
                text = json.dumps(fixture, indent=2, ensure_ascii=False) + "\n"
                (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    logging.disable()  # of the fault that is provoked on purpose
    record(*(Path(name) for name in sys.argv[1:]))
