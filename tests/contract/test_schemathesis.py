"""Requests made up from the published contract are answered as the contract says."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    CHECKS,
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from service.openapi import document
from service.settings import Settings
from tests.contract.client import NOW

CONTRACT = json.loads(document())
for operations in CONTRACT["paths"].values():
    for operation in operations.values():
        # The service here has no keys; `test_access` tells who is let in where it has.
        operation.pop("security", None)
POSITIVE = [
    (method, path) for path, operations in CONTRACT["paths"].items() for method in operations
]
NEGATIVE = [
    (method, path)
    for method, path in POSITIVE
    if {"requestBody", "parameters"} & set(CONTRACT["paths"][path][method])
]
# What the contract cannot say in a schema (one of two forms, the names of features) may be
# refused, so data that fits the schema need not be accepted; everything else must hold.
HELD = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def server(published: Path) -> Iterator[str]:
    app = create_app(Settings(models_dir=published, access_log=False), clock=lambda: NOW)
    app.state.keepwell.models.refresh()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join()


def run(server: str, method: str, path: str, mode: GenerationMode, checks: list[Any]) -> None:
    operation = schemathesis.openapi.from_dict(CONTRACT)[path][method]

    @hypothesis_settings(
        max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: schemathesis.Case) -> None:
        case.validate_response(case.call(base_url=server), checks=checks)

    check()


@pytest.mark.parametrize(("method", "path"), POSITIVE)
def test_answers_keep_to_the_contract(server: str, method: str, path: str) -> None:
    run(server, method, path, GenerationMode.POSITIVE, HELD)


@pytest.mark.parametrize(("method", "path"), NEGATIVE)
def test_what_breaks_the_contract_is_refused_as_the_contract_says(
    server: str, method: str, path: str
) -> None:
    # A list refuses its rows one by one and answers 200, that of a job even later.
    of_rows = method == "post" and path.endswith(("/batch", "/events", "/jobs", "/plan"))
    refused = [] if of_rows else [CHECKS.get_one("negative_data_rejection")]
    run(server, method, path, GenerationMode.NEGATIVE, HELD + refused)
