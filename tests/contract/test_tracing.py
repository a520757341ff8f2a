"""Traces: what a collector gets of a request, and what it never gets."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service import logs, tracing
from service.probes import PROBES
from service.settings import Settings
from tests.contract.client import AppClient, build, customer, purchases
from tests.contract.test_privacy import exploding

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CANARY = "canary7f3a"
SERVER_KIND, ERROR_STATUS = 2, 2


class Collector:
    """Takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                outer.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def spans(self) -> list[Any]:
        return [span for found in self._found() for span in found.scope_spans[0].spans]

    def resource(self) -> dict[str, str]:
        return named(self._found()[0].resource.attributes)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _found(self) -> list[Any]:
        parsed = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [spans for one in parsed for spans in one.resource_spans]


def named(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


@pytest.fixture
def client(published: Path, collector: Collector) -> Iterator[AppClient]:
    with build(Settings(models_dir=published)) as client:
        yield client
        client.app.state.tracing.stop()


def sent(client: AppClient, collector: Collector) -> list[Any]:
    client.app.state.tracing.flush()
    return collector.spans()


def test_a_request_is_a_span_of_the_callers_trace(client: AppClient, collector: Collector) -> None:
    answer = client.post("/score", customer(), traceparent=f"00-{TRACE}-{CALLER}-01")
    (span,) = sent(client, collector)
    assert (span.name, span.kind) == ("POST /score", SERVER_KIND)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    assert span.end_time_unix_nano > span.start_time_unix_nano
    assert span.status.code == 0
    assert named(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/score",
        "http.response.status_code": 200,
        "keepwell.model_version": answer.json()["model_version"],
    }
    assert collector.resource()["service.name"] == "keepwell"


def test_a_request_without_a_trace_begins_one_and_its_log_line_names_it(
    client: AppClient, collector: Collector
) -> None:
    root = logging.getLogger()
    before, out = (root.handlers, root.level), io.StringIO()
    logs.configure("INFO", out)
    try:
        client.get("/v1/model")
        client.get("/v1/model", headers={"traceparent": "nonsense"})
    finally:
        root.handlers, root.level = before
    spans = sent(client, collector)
    assert [span.name for span in spans] == ["GET /v1/model"] * 2
    assert [span.parent_span_id for span in spans] == [b"", b""]
    lines = [json.loads(line) for line in out.getvalue().splitlines() if '"trace_id"' in line]
    assert [line["trace_id"] for line in lines] == [span.trace_id.hex() for span in spans]


def test_nothing_that_a_caller_wrote_reaches_the_collector(
    client: AppClient, collector: Collector
) -> None:
    headers = {
        "tracestate": f"vendor={CANARY}",
        "x-request-id": CANARY,
        "user-agent": CANARY,
        "authorization": f"Bearer {CANARY}",
        "traceparent": f"00-{TRACE}-{CALLER}-01",
        "baggage": f"customer={CANARY}",
    }
    body = customer(customer_id=CANARY, events=purchases(order_id=CANARY, category=CANARY))
    for path in ("/score", "/v1/score/batch", f"/{CANARY}"):
        for content in (body, body | {CANARY: CANARY}, [body]):
            sent_as = {"content": json.dumps(content), "headers": headers}
            client.request("POST", path, **sent_as)
    client.get(f"/v1/customers/{CANARY}/scores?limit={CANARY}", headers=headers)
    client.request("DELETE", f"/v1/customers/{CANARY}", headers=headers)
    client.request(CANARY.upper(), "/score", headers=headers)
    spans = sent(client, collector)
    assert len(spans) == 12
    assert {span.name for span in spans} >= {"POST unmatched", "_OTHER /score"}
    assert not any(CANARY in body.decode("latin-1").lower() for body in collector.bodies)


def test_a_fault_of_ours_is_an_error_and_the_callers_is_none(
    published: Path, collector: Collector
) -> None:
    with build(Settings(models_dir=published), load=exploding) as client:
        client.post("/score", customer(customer_id=CANARY))
        client.post("/score", b"{")
        failed, refused = sent(client, collector)
        client.app.state.tracing.stop()
    assert failed.status.code == ERROR_STATUS
    assert named(failed.attributes)["http.response.status_code"] == 500
    assert not failed.events
    assert refused.status.code == 0


def test_probes_and_scrapes_are_not_traced(client: AppClient, collector: Collector) -> None:
    for path in sorted(PROBES):
        assert client.get(path).status_code == 200
    assert sent(client, collector) == []


@pytest.mark.parametrize(
    ("sampler", "flags", "count"),
    [("always_off", "01", 0), ("always_on", "00", 1), ("parentbased_always_on", "00", 0)],
)
def test_the_standard_variables_say_how_much_is_traced(
    published: Path,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    flags: str,
    count: int,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-scores")
    with build(Settings(models_dir=published)) as client:
        answer = client.post("/score", customer(), traceparent=f"00-{TRACE}-{CALLER}-{flags}")
        assert answer.status_code == 200
        assert len(sent(client, collector)) == count
        client.app.state.tracing.stop()
    if count:
        assert collector.resource()["service.name"] == "shop-scores"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_nothing_is_set_up(environ: dict[str, str]) -> None:
    assert tracing.configured(environ) is None


def test_without_a_collector_nothing_is_imported(tmp_path: Path) -> None:
    script = (
        "import sys; from service.app import create_app; from service.settings import Settings;"
        "create_app(Settings(models_dir='none'));"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_what_cannot_be_traced_is_said_and_the_service_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
    assert tracing.configured(environ | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}) is None

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tracing, "import_module", missing)
    assert tracing.configured(environ) is None
    assert "http/protobuf" in caplog.messages[0]
    assert "keepwell[otel]" in caplog.messages[1]


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", "max_export_batch_size"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "max_queue_size"),
    ],
)
def test_a_variable_that_is_wrong_keeps_no_service_from_starting(
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    wrong: str,
    told: str,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, wrong)
    with build(Settings(models_dir=published)) as client:
        assert client.post("/score", customer()).status_code == 200
    (message,) = [one for one in caplog.messages if one.startswith("no traces are sent")]
    assert told in message
