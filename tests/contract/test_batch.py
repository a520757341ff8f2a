import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.settings import Settings
from tests.contract.client import AppClient, build, customer

NDJSON = {"content_type": "application/x-ndjson"}
BAD = {"customer_id": "c-2", "events": [{"kind": "purchase"}]}


def ndjson(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_every_row_is_answered_in_input_order(client: AppClient) -> None:
    rows = [customer(customer_id=f"c-{i}") for i in range(25)]
    body = client.post("/v1/score/batch", {"customers": rows}).json()
    assert [result["customer_id"] for result in body["results"]] == [f"c-{i}" for i in range(25)]
    assert set(body) == {"model_version", "request_id", "results"}


def test_a_plain_array_is_a_batch_too(client: AppClient) -> None:
    wrapped = client.post("/v1/score/batch", {"customers": [customer()]}, x_request_id="a").json()
    plain = client.post("/v1/score/batch", [customer()], x_request_id="a").json()
    assert wrapped == plain


def test_a_row_is_answered_as_it_would_be_alone(client: AppClient) -> None:
    alone = client.post("/score", customer(), x_request_id="a").json()
    body = client.post("/v1/score/batch", [customer()], x_request_id="a").json()
    assert body["results"] == [alone]


def test_a_wrong_row_does_not_spoil_the_others(client: AppClient) -> None:
    rows = [customer(), BAD, 7, customer()]
    answer = client.post("/v1/score/batch", {"customers": rows})
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["results"]
    assert first["status"] == fourth["status"] == "scored"
    assert (second["index"], second["status"]) == (1, 422)
    assert second["errors"] == [
        {"pointer": "/customers/1/events/0/occurred_at", "code": "required"}
    ]
    assert third["errors"] == [{"pointer": "/customers/2", "code": "not_an_object"}]


def test_pointers_into_a_plain_array_begin_with_the_index(client: AppClient) -> None:
    body = client.post("/v1/score/batch", [BAD]).json()
    assert body["results"][0]["errors"][0]["pointer"] == "/0/events/0/occurred_at"


@pytest.mark.parametrize("root", ["", "/customers"])
def test_a_wrong_row_of_a_long_list_is_pointed_at(client: AppClient, root: str) -> None:
    rows = [customer(customer_id=f"c-{i}") for i in range(300)]
    rows[217] = BAD
    results = client.post("/v1/score/batch", {"customers": rows} if root else rows).json()[
        "results"
    ]
    assert [i for i, result in enumerate(results) if result["status"] != "scored"] == [217]
    assert results[217]["errors"] == [
        {"pointer": f"{root}/217/events/0/occurred_at", "code": "required"}
    ]
    assert results[299]["customer_id"] == "c-299"


def test_a_long_list_that_breaks_off_is_refused_before_any_row_is_looked_at(
    client: AppClient,
) -> None:
    refused = client.metric("predict_rows_total", mode="batch", status="error")
    body = json.dumps([BAD, *[customer()] * 300]).encode()
    answer = client.post("/v1/score/batch", body[:-2] + b"]")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"pointer": "", "code": "malformed_json"}]
    assert client.metric("predict_rows_total", mode="batch", status="error") == refused


def test_ndjson_is_answered_with_as_many_lines(client: AppClient) -> None:
    lines = [
        json.dumps(customer()).encode(),
        b"{oops",
        b"",
        json.dumps(BAD).encode(),
        b'{"customer_id": "\xff"}',
        b'{"customer_id": "c-3", "customer_id": "c-4"}',
        json.dumps(customer(customer_id="c-9")).encode() + b"\r",
    ]
    answer = client.post("/v1/score/batch", b"\n".join(lines), **NDJSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in answer.content.split(b"\n")[:-1]]
    assert answer.content.endswith(b"\n")
    assert len(rows) == len(lines)
    assert [row["status"] for row in rows] == ["scored", 400, 400, 422, 400, 400, "scored"]
    assert [row.get("index") for row in rows] == [None, 1, 2, 3, 4, 5, None]
    assert rows[3]["errors"][0]["pointer"] == "/events/0/occurred_at"
    assert rows[6]["customer_id"] == "c-9"


def test_a_line_break_at_the_end_opens_no_further_line(client: AppClient) -> None:
    with_break = client.post("/v1/score/batch", ndjson([customer()] * 2), **NDJSON)
    without = client.post("/v1/score/batch", ndjson([customer()] * 2)[:-1], **NDJSON)
    assert with_break.content.count(b"\n") == without.content.count(b"\n") == 2


@pytest.mark.parametrize(
    ("body", "headers"), [(b"", NDJSON), (b"[]", {}), (b'{"customers": []}', {})]
)
def test_an_empty_list_has_an_empty_answer(
    client: AppClient, body: bytes, headers: dict[str, str]
) -> None:
    answer = client.post("/v1/score/batch", body, **headers)
    assert answer.status_code == 200
    assert answer.content == b"" if headers else answer.json()["results"] == []


@pytest.mark.parametrize("form", ["json", "array", "ndjson"])
def test_a_thousand_customers_and_no_more(client: AppClient, form: str) -> None:
    row = {"customer_id": "c", "features": {}}

    def send(count: int) -> httpx.Response:
        if form == "ndjson":
            return client.post("/v1/score/batch", ndjson([row] * count), **NDJSON)
        rows = [row] * count
        return client.post("/v1/score/batch", {"customers": rows} if form == "json" else rows)

    assert send(1000).status_code == 200
    refused = send(1001)
    assert refused.status_code == 413
    assert refused.json()["errors"] == [{"pointer": "", "code": "too_many_customers"}]
    assert "1000" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"customer": []}, "unknown_field"),
        ({"customers": {}}, "not_an_array"),
        ({"customers": None}, "not_an_array"),
        ({"customers": [], "as_of": "x"}, "unknown_field"),
        ({}, "not_a_batch"),
        ("customers", "not_a_batch"),
        (None, "not_a_batch"),
    ],
)
def test_another_shape_is_refused_whole(client: AppClient, body: Any, code: str) -> None:
    answer = client.post("/v1/score/batch", body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == code


def test_one_line_may_be_no_larger_than_one_request(models_dir: Path) -> None:
    settings = Settings(models_dir=models_dir, max_body_bytes=1024)
    with build(settings) as client:
        long = json.dumps(customer(customer_id="c" * 200, events=[])).ljust(1025).encode()
        body = long + b"\n" + json.dumps(customer(events=[])).encode()
        rows = client.post("/v1/score/batch", body, **NDJSON).content.splitlines()
    assert json.loads(rows[0])["status"] == 413
    assert json.loads(rows[1])["status"] == "insufficient_history"


def test_probes_are_answered_while_a_batch_runs(published: Path) -> None:
    with build(Settings(models_dir=published)) as client:
        transport = httpx.ASGITransport(app=client.app)

        async def both() -> list[str]:
            done = []
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:

                async def batch() -> None:
                    await http.post("/v1/score/batch", json=[customer()] * 1000)
                    done.append("batch")

                async def probe() -> None:
                    await asyncio.sleep(0)
                    await http.get("/health/live")
                    done.append("probe")

                await asyncio.gather(batch(), probe())
            return done

        assert asyncio.run(both()) == ["probe", "batch"]
