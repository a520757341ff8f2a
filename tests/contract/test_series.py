"""However many paths, ids, versions and methods callers think of, there are as many series."""

import asyncio
import itertools
import random
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.access.keys import KeyScope
from service.metrics import Metrics
from service.models import ModelHolder
from service.settings import Settings
from tests import keys
from tests.contract.client import AppClient, build, customer
from tests.contract.planting import HEADERS

REQUESTS = 10_000
PATHS = (
    "/{}", "/{}/{}", "/score/{}", "/v1/{}", "/v1/jobs/{}", "/v1/jobs/{}/results",
    "/v1/jobs/{}/cancel", "/v1/customers/{}/scores", "/v1/customers/{}/decisions",
    "/v1/customers/{}", "/v1/decisions/{}/outcome", "/metrics/{}", "/health/{}", "/score",
    "/v1/score/batch", "/v1/events", "/v1/plan", "/v1/model", "/v1/retention", "/openapi.json",
)  # fmt: skip
QUERIES = ("", "{}={}", "model_version={}", "language={}", "cursor={}", "limit={}", "state={}")
MEANT = ("authorization", "content-type", "content-encoding")
METHODS = ("GET", "POST", "HEAD", "DELETE", "PUT", "PATCH", "OPTIONS", "{}")


def series(client: AppClient) -> set[str]:
    text = client.app.state.keepwell.metrics.exposition()[0].decode()
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def anything(draw: random.Random) -> str:
    return "".join(draw.choices(string.ascii_letters + string.digits, k=draw.randint(1, 40)))


def scope_of(draw: random.Random, path: str, method: str, query: str, key: bool) -> dict[str, Any]:
    """A request that nobody has made before."""
    sent = path.format(anything(draw), anything(draw))
    headers = [(name.encode(), anything(draw).encode()) for name in HEADERS if name not in MEANT]
    if key:
        headers.append((b"authorization", keys.header("all").encode()))
    return {
        "type": "http",
        "method": method.format(anything(draw).upper()),
        "path": sent,
        "raw_path": sent.encode(),
        "query_string": query.format(anything(draw), anything(draw)).encode(),
        "headers": [*headers, (b"content-type", b"application/json")],
    }


async def answer(client: AppClient, scope: dict[str, Any], body: bytes) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        pass

    await client.app(scope, receive, send)


def test_requests_of_any_kind_make_no_new_series(published: Path, tmp_path: Path) -> None:
    draw = random.Random(7)
    path = keys.write(tmp_path / "keys.toml", keys.key("all", set(KeyScope)))
    with build(Settings(models_dir=published, keys_file=path, access_log=False)) as client:

        async def call(kinds: Iterable[tuple[str, str, str, bool]]) -> None:
            for kind in kinds:
                body = f'{{"customer_id": "{anything(draw)}", "{anything(draw)}": 1}}'.encode()
                await answer(client, scope_of(draw, *kind), body)

        each = list(itertools.product(PATHS, METHODS, QUERIES, (False, True)))
        asyncio.run(call(each))
        warm = series(client)
        asyncio.run(call(draw.choice(each) for _ in range(REQUESTS)))
        assert series(client) == warm
        assert len(warm) < 3_000
        assert "unmatched" in str(warm)


def test_customers_make_no_new_series(client: AppClient) -> None:
    def scored(n: int) -> None:
        rows = [customer(customer_id=f"c-{n}-{at}") for at in range(200)]
        assert client.post("/v1/score/batch", rows).status_code == 200

    scored(0)
    warm = series(client)
    scored(1)
    assert series(client) == warm


def test_models_that_came_and_went_leave_no_series(published: Path) -> None:
    metrics = Metrics()
    holder = ModelHolder(published, metrics)
    holder.refresh()
    loaded = holder.current
    assert loaded is not None
    counted: list[int] = []
    for number in range(20):
        holder._swap(f"v{number}", loaded)
        metrics.probability[f"v{number}"].observe(0.5)
        counted.append(metrics.exposition()[0].count(b"churn_probability_count"))
    assert counted[2:] == [2] * 18
