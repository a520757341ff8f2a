import asyncio
import json
import logging
import os
import shutil
import threading
from pathlib import Path

import httpx
import pytest

from churn.errors import ConfigError
from churn.registry import Registry
from churn.signing import Keys, SigningKey, shown
from service import models
from service.models import Loaded
from service.patience import RETRY_AFTER_POLLS
from service.settings import Settings
from tests.contract.client import AppClient, build, customer

SECOND = "2030-01-01T00-00-00Z-beef"


def add_version(root: Path, version: str) -> None:
    """Publish a copy of the current model under another version."""
    registry = Registry(root)
    current = registry.current()
    assert current is not None
    shutil.copytree(root / current, root / version)
    path = root / version / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"model_version": version}))


def version_of(client: AppClient) -> str:
    answer = client.post("/score", customer())
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == answer.json()["model_version"]
    return str(answer.json()["model_version"])


def test_a_promotion_is_taken_up_and_a_rollback_too(models_dir: Path) -> None:
    registry = Registry(models_dir)
    first = registry.current()
    with build(Settings(models_dir=models_dir)) as client:
        assert version_of(client) == first
        add_version(models_dir, SECOND)
        client.refresh()
        assert version_of(client) == first
        registry.promote(SECOND)
        client.refresh()
        assert version_of(client) == SECOND
        registry.rollback()
        client.refresh()
        assert version_of(client) == first
        assert client.metric("model_reloads_total", result="ok") == 3
        loaded = client.get("/metrics").text.split("churn_model_info{")[1].split("\n")[0]
        assert SECOND not in loaded


def test_the_same_promotion_is_loaded_once(models_dir: Path) -> None:
    with build(Settings(models_dir=models_dir)) as client:
        for _ in range(3):
            client.refresh()
        assert client.metric("model_reloads_total", result="ok") == 1


@pytest.mark.parametrize("damage", ["changed", "missing", "surplus", "pointer"])
def test_a_bad_bundle_leaves_the_old_one_serving(
    models_dir: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(models_dir)
    first = registry.current()
    with build(Settings(models_dir=models_dir)) as client:
        add_version(models_dir, SECOND)
        registry.promote(SECOND)
        if damage == "changed":
            with (models_dir / SECOND / "model.joblib").open("ab") as file:
                file.write(b"x")
        elif damage == "missing":
            (models_dir / SECOND / "golden.json").unlink()
        elif damage == "surplus":
            (models_dir / SECOND / "extra.py").write_text("")
        else:
            (models_dir / "current").write_text("../../etc\n")
        with caplog.at_level(logging.ERROR):
            client.refresh()
        assert version_of(client) == first
        assert client.get("/health/ready").status_code == 200
        assert client.metric("model_reloads_total", result="error") == 1
        assert f"{first} keeps serving" in caplog.text


def test_a_bad_bundle_is_tried_again_only_now_and_then(models_dir: Path) -> None:
    (models_dir / "current").write_text("nothing\n")
    with build(Settings(models_dir=models_dir)) as client:
        for _ in range(RETRY_AFTER_POLLS):
            client.refresh()
        assert client.metric("model_reloads_total", result="error") == 1
        client.refresh()
        assert client.metric("model_reloads_total", result="error") == 2


def test_a_pointer_that_cannot_be_read_is_told_only_now_and_then(models_dir: Path) -> None:
    with build(Settings(models_dir=models_dir)) as client:
        (models_dir / "current").unlink()
        os.mkfifo(models_dir / "current")
        for _ in range(RETRY_AFTER_POLLS + 1):
            client.refresh()
        assert client.metric("model_reloads_total", result="error") == 1
        client.refresh()
        assert client.metric("model_reloads_total", result="error") == 2
        assert version_of(client)


def test_only_what_a_trusted_key_signed_is_taken_up(
    models_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Registry(models_dir).current()
    assert first is not None
    key, other = SigningKey.generate(), SigningKey.generate()
    keys = tmp_path / "keys"
    keys.write_text(shown(key.public))
    Registry(models_dir, Keys(signing=key)).sign(first)
    with build(Settings(models_dir=models_dir, trusted_keys_file=keys)) as client:
        assert version_of(client) == first
        add_version(models_dir, SECOND)  # with the other's signature
        Registry(models_dir).promote(SECOND)
        with caplog.at_level(logging.ERROR):
            client.refresh()
        assert version_of(client) == first
        assert client.metric("model_reloads_total", result="error") == 1
        assert "BundleUntrusted" in caplog.records[-1].fields["error"]  # type: ignore[attr-defined]
        Registry(models_dir, Keys(signing=other)).sign(SECOND)
        for _ in range(RETRY_AFTER_POLLS + 1):
            client.refresh()
        assert version_of(client) == first
        keys.write_text(f"{shown(key.public)}\n{shown(other.public)}\n")
        for _ in range(RETRY_AFTER_POLLS + 1):
            client.refresh()
        assert version_of(client) == SECOND


def test_a_version_under_a_foreign_name_is_not_taken_up(models_dir: Path) -> None:
    first = Registry(models_dir).current()
    assert first is not None
    with build(Settings(models_dir=models_dir)) as client:
        shutil.copytree(models_dir / first, models_dir / SECOND)
        (models_dir / "current").write_text(f"{SECOND}\n")
        client.refresh()
        assert version_of(client) == first
        assert client.metric("model_reloads_total", result="error") == 1


@pytest.mark.parametrize("keys", ["", "no key"])
def test_a_service_does_not_start_with_keys_that_are_none(models_dir: Path, keys: str) -> None:
    with pytest.raises(ConfigError, match="KEEPWELL_TRUSTED_KEYS"):
        build(Settings(models_dir=models_dir, trusted_keys=keys))


def test_a_first_model_makes_the_service_ready(models_dir: Path, tmp_path: Path) -> None:
    root = tmp_path / "later"
    with build(Settings(models_dir=root)) as client:
        assert client.get("/health/ready").status_code == 503
        shutil.copytree(models_dir, root)
        client.refresh()
        assert client.get("/health/ready").status_code == 200


def test_a_model_whose_promotion_was_withdrawn_keeps_serving(models_dir: Path) -> None:
    first = Registry(models_dir).current()
    with build(Settings(models_dir=models_dir)) as client:
        shutil.rmtree(models_dir)
        client.refresh()
        assert version_of(client) == first


def test_the_folder_is_polled_and_the_poll_ends_with_the_app(models_dir: Path) -> None:
    settings = Settings(models_dir=models_dir, models_poll_seconds=0.01)
    app = build(settings).app
    add_version(models_dir, SECOND)

    async def until_swapped() -> None:
        async with app.router.lifespan_context(app):
            Registry(models_dir).promote(SECOND)
            while app.state.keepwell.models.current.version != SECOND:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_swapped(), 60))


def test_no_fault_ends_the_polling(models_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Registry(models_dir).current()
    app = build(Settings(models_dir=models_dir, models_poll_seconds=0.01)).app
    add_version(models_dir, SECOND)
    holder = app.state.keepwell.models

    def broken() -> None:
        raise RuntimeError("dictionary changed size during iteration")

    async def until_swapped_twice() -> None:
        async with app.router.lifespan_context(app):
            holder.after_swap = broken
            Registry(models_dir).promote(SECOND)
            while "could not be looked at" not in caplog.text:
                await asyncio.sleep(0.01)
            Registry(models_dir).rollback()
            while holder.current.version != first:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_swapped_twice(), 60))


def test_a_request_keeps_to_one_model_while_another_is_swapped_in(models_dir: Path) -> None:
    first = Registry(models_dir).current()
    add_version(models_dir, SECOND)
    with build(Settings(models_dir=models_dir)) as client:
        transport = httpx.ASGITransport(app=client.app)

        state = client.app.state.keepwell
        go_on = threading.Event()

        async def swap_during_a_batch() -> httpx.Response:
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
                busy = state.worker.submit(go_on.wait)
                batch = asyncio.create_task(http.post("/v1/score/batch", json=[customer()] * 500))
                while not state.worker._work_queue.qsize():
                    await asyncio.sleep(0)
                Registry(models_dir).promote(SECOND)
                client.refresh()
                assert not batch.done()
                go_on.set()
                busy.result()
                return await batch

        answer = asyncio.run(swap_during_a_batch())
        assert version_of(client) == SECOND
    assert {row["model_version"] for row in answer.json()["results"]} == {first}
    assert answer.headers["x-model-version"] == answer.json()["model_version"] == first


def test_a_loader_that_breaks_in_any_way_does_not_break_the_service(models_dir: Path) -> None:
    def broken(path: Path) -> Loaded:
        raise MemoryError

    with build(Settings(models_dir=models_dir), load=broken) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 503
        assert client.metric("model_reloads_total", result="error") == 1


def test_loading_verifies_and_warms_up(models_dir: Path) -> None:
    registry = Registry(models_dir)
    version = registry.current()
    assert version is not None
    loaded = models.load(registry.path(version))
    assert loaded.version == version
    assert loaded.feature_names == {feature.name for feature in loaded.manifest.features}
