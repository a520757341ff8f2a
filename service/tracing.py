"""OpenTelemetry traces: a span for each request, where the environment names a collector.

The standard variables configure it: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `..._TRACES_ENDPOINT`) turns
it on, `OTEL_TRACES_SAMPLER` says how many requests are traced, `OTEL_SERVICE_NAME` how the service
is called. Without an endpoint nothing of OpenTelemetry's SDK is imported. A span has the route as
declared, method, status and model version: nothing that a caller wrote but the `traceparent`.
"""

import logging
import threading
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

from starlette.types import Scope

from service import logs
from service.metrics import METHODS
from service.probes import PROBES

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
STOP_SECONDS = 5.0
"""How long the last spans may take to be sent when the service stops."""

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"

_log = logging.getLogger(f"{logs.ROOT}.tracing")


class Tracing:
    """Makes spans and sends them to the collector.

    Parameters
    ----------
    environ : mapping of str to str
        Says what the service is called; the rest the SDK reads for itself.

    Raises
    ------
    ImportError
        The `otel` extra is not installed.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = import_module("opentelemetry.sdk.resources")
        context = import_module("opentelemetry.trace.propagation.tracecontext")
        self._trace = import_module("opentelemetry.trace")
        told = {"service.version": version("keepwell")}
        if not (
            "OTEL_SERVICE_NAME" in environ
            or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
        ):
            told["service.name"] = "keepwell"
        self._provider = sdk.TracerProvider(
            resource=resources.Resource.create(told), shutdown_on_exit=False
        )
        self._provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("keepwell")
        self._taken = context.TraceContextTextMapPropagator().extract

    def begin(self, scope: Scope) -> Any:
        """Begin the span of a request, as part of the caller's trace; None for what is not traced.

        Parameters
        ----------
        scope : dict
            Of the request.
        """
        if scope["path"] in PROBES:
            return None
        carried = {}
        for name, value in scope["headers"]:
            if name == b"traceparent":  # not `tracestate`, which is free text
                carried["traceparent"] = value.decode("latin-1")
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        return self._tracer.start_span(
            method,
            self._taken(carried),
            self._trace.SpanKind.SERVER,
            {"http.request.method": method},
        )

    def end(self, span: Any, route: str, status: int, model_version: str | None) -> None:
        """End a span with what became of its request."""
        if span.is_recording():
            method = span.attributes["http.request.method"]
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
            span.set_attribute("http.response.status_code", status)
            if model_version is not None:
                span.set_attribute("keepwell.model_version", model_version)
            if status >= 500:
                span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def trace_id(self, span: Any) -> str:
        """The name of a span's trace, as collectors show it: 32 hexadecimal digits."""
        return f"{span.get_span_context().trace_id:032x}"

    def flush(self) -> None:
        """Send what has ended."""
        self._provider.force_flush()

    def stop(self) -> None:
        """Send what has ended, unless the collector keeps it waiting, and end."""
        ending = threading.Thread(
            target=self._provider.shutdown, name="keepwell-tracing", daemon=True
        )
        ending.start()
        ending.join(STOP_SECONDS)


def configured(environ: Mapping[str, str]) -> Tracing | None:
    """Set up tracing as the environment says; None where it names no collector.

    What cannot be done is logged, and the service goes on without traces.
    """
    endpoint = next((name for name in ENDPOINTS if environ.get(name)), None)
    is_off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if endpoint is None or is_off or environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _HTTP)
    if protocol != _HTTP:
        _log.warning(
            "no traces are sent: %s is asked for, and only %s is spoken; set %s, and the endpoint "
            "to the collector's port for it, usually 4318",
            protocol,
            _HTTP,
            _PROTOCOLS[1],
        )
        return None
    try:
        return Tracing(environ)
    except ImportError:
        _log.warning(
            "no traces are sent: %s is set, but OpenTelemetry is not installed; "
            "pip install 'keepwell[otel]'",
            endpoint,
        )
        return None
    except Exception as error:
        _log.warning(
            "no traces are sent: OpenTelemetry refuses what an OTEL_* variable says: %s: %s",
            type(error).__name__,
            error,
        )
        return None
