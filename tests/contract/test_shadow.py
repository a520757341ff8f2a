"""A shadow model: compared with the one that serves, and never seen in an answer."""

import json
import math
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.publishing import published as files_of
from churn import bundle
from churn.registry import SHADOW, Registry
from cli.main import run
from service import shadow
from service.patience import RETRY_AFTER_POLLS
from service.settings import Settings
from tests import hostile
from tests.contract.client import AppClient, build, customer, purchases

OTHER, SAME = "2030-01-01T00-00-00Z-beef", "2030-01-01T00-00-00Z-5a3e"


@pytest.fixture
def shadowed(models_dir: Path) -> Registry:
    """A registry whose shadow gives other probabilities than its current model."""
    registry = Registry(models_dir)
    manifest, files = files_of(models_dir)
    registry.publish(*hostile.shifted(files, manifest, OTHER, 1.0))
    registry.publish(*hostile.shifted(files, manifest, SAME, 0.0))
    registry.set_shadow(OTHER)
    return registry


@pytest.fixture
def client(shadowed: Registry) -> Iterator[AppClient]:
    with build(Settings(models_dir=shadowed.root)) as client:
        yield client


def compared(client: AppClient) -> float:
    """Rows that were compared, once all that was offered is."""
    loaded = client.app.state.keepwell.models.current
    until = time.monotonic() + 60
    while loaded.shadow is not None and not loaded.shadow.worker.is_idle:
        assert time.monotonic() < until
        time.sleep(0.01)
    return client.metric("shadow_rows_total", outcome="compared")


def asked(client: AppClient) -> list[httpx.Response]:
    """What may be asked of scores, each with the same request id."""
    bodies: list[tuple[str, Any]] = [
        ("/score", customer()),
        ("/score", customer(max_reasons=8, language="ru", feeds=["orders"])),
        ("/score", customer(events=purchases(12, amount=9.0))),
        ("/score", {"customer_id": "c", "features": {"days_since_last_purchase": 41.0}}),
        ("/score", {"customer_id": "nobody"}),
        ("/v1/score/batch", [customer(customer_id=f"c-{at}") for at in range(50)]),
    ]
    return [client.post(path, body, x_request_id="the-same") for path, body in bodies]


def test_answers_are_the_same_to_the_last_byte_with_a_shadow_and_without(
    models_dir: Path, client: AppClient
) -> None:
    with_shadow = asked(client)
    assert compared(client) > 50
    alone = shutil.copytree(models_dir, models_dir.parent / "alone")
    (alone / SHADOW).unlink()
    with build(Settings(models_dir=alone)) as other:
        without = asked(other)
        assert compared(other) == 0
    assert [answer.content for answer in with_shadow] == [answer.content for answer in without]
    assert [answer.status_code for answer in with_shadow] == [
        answer.status_code for answer in without
    ]


def test_the_two_models_are_compared_row_by_row(client: AppClient) -> None:
    body = client.post("/score", customer()).json()
    assert compared(client) == 1
    count = client.metric
    assert count("shadow_info", version=OTHER, sha256=_sha256(client)) == 1
    live = body["churn_probability"]
    odds = live / (1 - live) * math.e
    assert count("shadow_probability_sum_total", model="live") == live
    expected = odds / (1 + odds)
    assert count("shadow_probability_sum_total", model="shadow") == pytest.approx(expected)
    assert count("shadow_probability_difference_sum") == pytest.approx(expected - live)
    bands = [
        sample.value
        for metric in client.app.state.keepwell.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "churn_shadow_bands_total" and sample.labels["live"] == body["risk_band"]
    ]
    assert bands == [1]


def _sha256(client: AppClient) -> str:
    return str(client.app.state.keepwell.models.current.shadow.scorer.bundle.sha256)


def test_a_shadow_that_is_the_same_model_differs_in_no_bit(
    shadowed: Registry, client: AppClient
) -> None:
    shadowed.set_shadow(SAME)
    client.refresh()
    asked(client)
    assert compared(client) > 50
    assert client.metric("shadow_probability_difference_count") == compared(client)
    assert client.metric("shadow_probability_difference_sum") == 0.0
    assert client.metric("shadow_probability_sum_total", model="shadow") > 1.0


def test_lapsed_and_unknown_customers_are_not_compared(client: AppClient) -> None:
    old = [{"occurred_at": "2025-01-01T00:00:00Z", "kind": "purchase", "amount": 1.0}]
    assert client.post("/score", customer(events=old)).json()["status"] == "lapsed"
    client.post("/score", {"customer_id": "nobody"})
    assert compared(client) == 0


def test_a_shadow_comes_and_goes_without_a_restart(shadowed: Registry, client: AppClient) -> None:
    def version() -> str | None:
        current = client.app.state.keepwell.models.current.shadow
        return None if current is None else str(current.version)

    assert version() == OTHER
    shadowed.set_shadow(None)
    client.refresh()
    assert version() is None
    shadowed.set_shadow(SAME)
    client.refresh()
    assert version() == SAME
    shadowed.promote(SAME)  # it serves now: there is nothing to compare it with
    client.refresh()
    assert version() is None
    shadowed.rollback()
    client.refresh()
    assert version() == SAME
    assert client.metric("shadow_reloads_total", result="error") == 0


@pytest.mark.parametrize("damage", ["changed", "missing", "pointer", "horizon"])
def test_a_bad_shadow_is_told_now_and_then_and_leaves_the_model_alone(
    shadowed: Registry, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    root = shadowed.root
    if damage == "changed":
        (root / OTHER / bundle.MODEL).write_bytes(b"x")
    elif damage == "missing":
        shutil.rmtree(root / OTHER)
    elif damage == "pointer":
        (root / SHADOW).write_text("../../etc")
    else:
        file = root / OTHER / bundle.MANIFEST
        file.write_text(json.dumps(json.loads(file.read_text()) | {"lead_time_days": 7}))
    with build(Settings(models_dir=root)) as client:
        for _ in range(RETRY_AFTER_POLLS):
            client.refresh()
        assert client.metric("shadow_reloads_total", result="error") == 1
        assert client.metric("model_reloads_total", result="error") == 0
        assert client.post("/score", customer()).status_code == 200
        client.refresh()
        assert client.metric("shadow_reloads_total", result="error") == 2
    assert "the shadow model could not be loaded" in caplog.text


def test_a_full_queue_drops_and_nobody_waits(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(shadow.Worker, "_compare", lambda *_: go_on.wait(60))
    monkeypatch.setattr(shadow, "MOST_WAITING", 3)
    for _ in range(10):
        assert client.post("/score", customer()).status_code == 200
    assert client.metric("shadow_rows_total", outcome="dropped") == 7
    go_on.set()
    compared(client)


def test_an_error_of_the_shadow_is_counted_and_says_nothing_of_the_customer(
    client: AppClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("c-1042")

    monkeypatch.setattr(shadow.Worker, "_compare", broken)
    assert client.post("/score", customer()).status_code == 200
    compared(client)
    assert client.metric("shadow_rows_total", outcome="error") == 1
    assert "could not be compared" in caplog.text
    assert "c-1042" not in caplog.text + str(caplog.records[-1].__dict__)
    monkeypatch.undo()
    client.post("/score", customer())
    assert compared(client) == 1  # the thread lives on


def test_the_command_line_sets_and_removes_the_shadow(
    shadowed: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--models-dir", str(shadowed.root)]
    assert run(["models", "list", *where]) == 0
    assert f"+ {OTHER}" in capsys.readouterr().out
    assert run(["models", "shadow", SAME, "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == {"shadow": SAME}
    assert shadowed.shadow() == SAME
    assert run(["models", "shadow", "--none", *where]) == 0
    assert shadowed.shadow() is None
    assert run(["models", "shadow", "--none", *where]) == 0
    assert run(["models", "shadow", *where]) == 2
    assert run(["models", "shadow", SAME, "--none", *where]) == 2
    assert run(["models", "shadow", "2000-01-01T00-00-00Z-0000", *where]) == 1
    (shadowed.root / OTHER / bundle.MODEL).write_bytes(b"x")
    assert run(["models", "shadow", OTHER, *where]) == 1
    assert shadowed.shadow() is None
