"""Calls an app in this process, request by request, without a server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from fastapi import FastAPI

from service import instants
from service.app import create_app
from service.models import Loaded
from service.settings import Settings
from service.store.errors import StoreUnavailable

NOW = instants.parse("2026-11-21T12:00:00Z")
AS_OF = "2026-11-21T00:00:00Z"


class AppClient:
    """Synchronous client of one app; the clock stands at `NOW`."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._store = app.state.keepwell.store
        self._deadlines = app.state.keepwell.deadlines
        self._reading = app.state.keepwell.reading
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://keepwell.test",
        )
        self._watch = self._runner.run(self._watching())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()
        self._reading.close()
        self._store.close()

    async def _watching(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self._deadlines.watch())

    def refresh(self) -> None:
        """Do what the polls do every two seconds."""
        self.app.state.keepwell.models.refresh()
        if self.app.state.keepwell.keys is not None:
            self.app.state.keepwell.keys.refresh()
        with suppress(StoreUnavailable):
            self.app.state.keepwell.deliveries.look()

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **given))

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.request("GET", path, **given)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Send a body: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self.request("POST", path, content=content, headers=named)

    def stream(self, path: str, chunks: AsyncIterator[bytes], **headers: str) -> httpx.Response:
        return self.request(
            "POST", path, content=chunks, headers={"content-type": "application/json"} | headers
        )

    def metric(self, name: str, **labels: str) -> float:
        value = self.app.state.keepwell.metrics.registry.get_sample_value(f"churn_{name}", labels)
        return 0.0 if value is None else value


def build(settings: Settings, load: Callable[[Path], Loaded] | None = None) -> AppClient:
    """Make a client of a new app whose promoted model, if any, is loaded."""
    client = AppClient(create_app(settings, clock=lambda: NOW, load=load))
    client.refresh()
    return client


def purchases(count: int = 5, **changes: Any) -> list[dict[str, Any]]:
    """Purchases two weeks apart, the last of them on 2026-10-20."""
    return [
        {
            "occurred_at": instants.text(
                instants.parse("2026-10-20T10:00:00Z") - 14 * back * 86_400_000_000
            ),
            "kind": "purchase",
            "amount": 50.0 + back,
            "order_id": f"o-{back}",
            **changes,
        }
        for back in range(count)
    ]


def customer(**changes: Any) -> dict[str, Any]:
    """Make a request that is scored."""
    return {"customer_id": "c-1042", "as_of": AS_OF, "events": purchases(), **changes}


def keep(client: AppClient, customer_id: str, events: list[dict[str, Any]]) -> None:
    """Put a customer's events into the store, as a request has them."""
    sent = [{"customer_id": customer_id, **event} for event in events]
    answer = client.post("/v1/events", {"events": sent})
    assert answer.status_code == 200
    assert {row["status"] for row in answer.json()["rows"]} <= {"accepted", "duplicate"}
