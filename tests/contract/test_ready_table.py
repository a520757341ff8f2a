"""A model of a ready table, asked over HTTP: it reads columns of the user's own, and no feeds."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from service.settings import Settings
from tests import ready_table
from tests.contract.client import AS_OF, AppClient, build

ROWS: list[dict[str, Any]] = [
    {"plan": "trial", "calls": 6.0, "spend": 12.5, "noise": 0.25},
    {"plan": "gold", "calls": 0.0, "spend": 80.0, "noise": -1.0},
    {"plan": "basic", "calls": 2.0, "noise": 1.5},
]
FEEDS = [["orders"], ["visits", "discounts"], ["orders", "returns", "cheques"]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    folder: Path = tmp_path_factory.mktemp("table")
    ready_table.trained(folder)
    with build(Settings(models_dir=folder / "models")) as client:
        yield client


def sent(**more: Any) -> list[dict[str, Any]]:
    return [
        {"customer_id": f"c-{at}", "as_of": AS_OF, "features": row, **more}
        for at, row in enumerate(ROWS)
    ]


def answered(client: AppClient, path: str, body: Any) -> dict[str, Any]:
    answer = client.post(path, body, x_request_id="same")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("feeds", [[], *FEEDS])
def test_feeds_change_no_score(client: AppClient, feeds: list[str]) -> None:
    for plain, told in zip(sent(), sent(feeds=feeds), strict=True):
        expected = answered(client, "/score", plain)
        assert expected["status"] == "scored"
        assert answered(client, "/score", told) == expected


@pytest.mark.parametrize("feeds", [[], *FEEDS])
def test_feeds_change_no_score_of_a_list(client: AppClient, feeds: list[str]) -> None:
    path = "/v1/score/batch"
    assert answered(client, path, sent(feeds=feeds)) == answered(client, path, sent())
    mixed = [*sent()[:2], *sent(feeds=feeds)[2:]]
    assert answered(client, path, mixed) == answered(client, path, sent())


@pytest.mark.parametrize("feeds", FEEDS)
def test_feeds_change_no_score_of_a_stream(client: AppClient, feeds: list[str]) -> None:
    expected = columns(client, {})
    assert None not in expected["churn_probability"]
    assert columns(client, {"keepwell.feeds": ",".join(feeds)}) == expected


@pytest.mark.parametrize("feeds", [[], *FEEDS])
def test_feeds_change_no_plan(client: AppClient, feeds: list[str]) -> None:
    expected = answered(client, "/v1/plan", {"customers": sent()})
    assert expected["errors"] == []
    assert answered(client, "/v1/plan", {"customers": sent(feeds=feeds)}) == expected


def columns(client: AppClient, metadata: dict[str, str]) -> dict[str, list[Any]]:
    names = ("plan", "calls", "spend", "noise")
    table = pa.table(
        {
            "customer_id": [f"c-{at}" for at in range(len(ROWS))],
            "as_of": pa.array([1795219200] * len(ROWS), pa.timestamp("s", tz="UTC")),
            **{name: [row.get(name) for row in ROWS] for name in names},
        }
    ).replace_schema_metadata(metadata)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kind = "application/vnd.apache.arrow.stream"
    answer = client.post("/v1/score/batch", sink.getvalue(), content_type=kind)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[Any]] = pa.ipc.open_stream(answer.content).read_all().to_pydict()
    return found
