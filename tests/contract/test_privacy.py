"""Nothing that a caller sends comes back in an error, or is written to the log."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from churn.scoring import CustomerRow, Scorer
from service import logs, models
from service.models import Loaded
from service.settings import Settings
from tests.contract.client import AppClient, build, customer, purchases

CANARY = "canary7f3a"
EVENT = purchases(1)[0]

WITH_CANARY: list[tuple[str, Any]] = [
    ("customer", customer(customer_id=CANARY, max_reasons=9)),
    ("customer with control character", customer(customer_id=CANARY + "\n")),
    ("unknown field", customer() | {CANARY: 1}),
    ("value of an unknown field", customer(unknown=CANARY)),
    ("unknown event field", customer(events=[EVENT | {CANARY: 1}])),
    ("kind", customer(events=[EVENT | {"kind": CANARY}])),
    ("time", customer(events=[EVENT | {"occurred_at": CANARY}])),
    ("as_of", customer(as_of=CANARY)),
    ("amount", customer(events=[EVENT | {"amount": CANARY}])),
    ("order", customer(events=[EVENT | {"order_id": CANARY, "amount": -1}])),
    ("order of 300", customer(events=[EVENT | {"order_id": CANARY * 30}])),
    ("language", customer(language=CANARY)),
    ("feed", customer(feeds=[CANARY])),
    ("feature", {"customer_id": "c", "features": {CANARY: 1}}),
    ("feature with a wrong value", {"customer_id": "c", "features": {CANARY: "x"}}),
    ("value of a feature", {"customer_id": "c", "features": {"purchases_30d": CANARY}}),
    ("key twice", f'{{"{CANARY}": 1, "{CANARY}": 2}}'.encode()),
    ("not JSON", f'{{"customer_id": {CANARY}}}'.encode()),
    ("not UTF-8", CANARY.encode() + b"\xff"),
    ("body", CANARY),
    ("key of a batch", {CANARY: []}),
]


class Exploding:
    """A scorer that quotes the customer in its error, as library code may."""

    def __init__(self, scorer: Scorer) -> None:
        self.rows, self.schema, self.policy = scorer.rows, scorer.schema, scorer.policy

    def score_rows(self, rows: Sequence[CustomerRow]) -> None:
        raise ValueError(f"could not score {rows[0].customer_id}")


def exploding(path: Path) -> Loaded:
    loaded = models.load(path)
    return Loaded(
        loaded.version,
        loaded.sha256,
        loaded.manifest,
        loaded.feature_names,
        Exploding(loaded.scorer),  # type: ignore[arg-type]
    )


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    out = io.StringIO()
    logs.configure("DEBUG", out)
    # The test's own client logs what it calls.
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)
    yield out
    root.handlers, root.level = before


@pytest.mark.parametrize(("name", "body"), WITH_CANARY, ids=[row[0] for row in WITH_CANARY])
def test_an_error_does_not_repeat_what_was_sent(
    client: AppClient, log: io.StringIO, name: str, body: Any
) -> None:
    alone = client.post("/score", body)
    assert alone.status_code in {400, 422}, name
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = client.post("/v1/score/batch", content, content_type="application/x-ndjson")
    batch = client.post("/v1/score/batch", b'{"customers": [' + content + b"]}")
    for answer in (alone, lines, batch):
        assert CANARY not in answer.text
        assert CANARY not in str(answer.headers)
    assert CANARY not in log.getvalue()
    assert log.getvalue()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/{CANARY}", {}),
        (f"/v1/reasons?language={CANARY}", {}),
        (f"/score?{CANARY}={CANARY}", {}),
        ("/v1/model", {"x-request-id": f"{CANARY} !"}),
        ("/v1/model", {"authorization": CANARY, "cookie": CANARY}),
    ],
)
def test_paths_queries_and_headers_are_not_repeated(
    client: AppClient, log: io.StringIO, path: str, headers: dict[str, str]
) -> None:
    answer = client.get(path, headers=headers)
    assert CANARY not in answer.text
    assert CANARY not in str(answer.headers)
    assert CANARY not in log.getvalue()


def test_a_fault_of_ours_is_500_without_details_and_logged_by_its_id(
    published: Path, log: io.StringIO
) -> None:
    with build(Settings(models_dir=published), load=exploding) as client:
        for body in (customer(customer_id=CANARY), {"customer_id": CANARY, "features": {}}):
            answer = client.post("/score", body, x_request_id="find-me")
            assert answer.status_code == 500
            problem = answer.json()
            assert problem["type"] == "/problems/internal-error"
            assert problem["request_id"] == "find-me"
            assert "ValueError" not in answer.text
            assert CANARY not in answer.text
        assert (
            client.metric("http_requests_total", route="/score", method="POST", status="500") == 2
        )
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    failed = [line for line in lines if line["message"] == "request failed"]
    assert [line["request_id"] for line in failed] == ["find-me", "find-me"]
    assert failed[0]["exception"] == "ValueError"
    assert any("score_rows" in frame for frame in failed[0]["trace"])
    assert CANARY not in log.getvalue()


def test_a_fault_in_one_row_is_that_rows_alone(published: Path, log: io.StringIO) -> None:
    with build(Settings(models_dir=published), load=exploding) as client:
        answer = client.post("/v1/score/batch", [customer(customer_id=CANARY), 7])
    assert answer.status_code == 200
    assert [row["status"] for row in answer.json()["results"]] == [500, 422]
    assert CANARY not in answer.text
    assert CANARY not in log.getvalue()
    assert "row failed" in log.getvalue()


def test_a_request_is_one_line_without_its_query(client: AppClient, log: io.StringIO) -> None:
    client.get(f"/v1/reasons?language=ru&x={CANARY}", headers={"x-request-id": "r-1"})
    (line,) = [json.loads(line) for line in log.getvalue().splitlines() if '"request"' in line]
    assert line["route"] == "/v1/reasons"
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 200, "r-1")
    assert line["milliseconds"] >= 0
    assert line["model_version"] == client.get("/v1/model").json()["model_version"]
