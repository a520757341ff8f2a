"""The loop closes: log -> store -> log gives the same model, and a score is the same by any way."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from churn.manifest import Manifest
from cli.main import run
from service import instants
from service.settings import Settings
from tests.contract.client import build
from tests.support import NOW, fitted_on
from training.calendar import instant
from training.config import load
from training.ingest import ingest
from training.packing import pack
from training.simulate import simulate
from training.snapshots import Snapshots

CUSTOMERS = 10_000


def keepwell(*arguments: object) -> Any:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([*map(str, arguments), "--json"])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue())


def learnt(config_file: Path, work: Path) -> tuple[Manifest, dict[str, bytes], Snapshots]:
    """What training makes of a log at one instant."""
    config = load(config_file)
    ingested = ingest(config, work, now_us=instant(NOW), n_buckets=2)
    fitted, snapshots, reference = fitted_on(config, ingested)
    manifest, files = pack(config, ingested, fitted, reference, snapshots, {"roc_auc": 0.75}, NOW)
    return manifest, files, snapshots


def test_training_on_what_was_exported_gives_the_same_model(store_url: str, tmp_path: Path) -> None:
    shop, again = tmp_path / "shop", tmp_path / "again"
    simulate(500, 10, 7, shop)
    told = keepwell("store", "import", "-c", shop / "keepwell.toml", "--store-url", store_url)
    assert told["accepted"] == pq.read_metadata(shop / "events.parquet").num_rows
    keepwell("store", "export", "--out", again / "events.parquet", "--store-url", store_url)
    (again / "keepwell.toml").write_text((shop / "keepwell.toml").read_text())

    first, first_files, one = learnt(shop / "keepwell.toml", tmp_path / "w1")
    second, second_files, other = learnt(again / "keepwell.toml", tmp_path / "w2")
    np.testing.assert_array_equal(one.X, other.X)
    np.testing.assert_array_equal(one.is_churn, other.is_churn)
    assert second_files["model.joblib"] == first_files["model.joblib"]
    assert second_files["golden.json"] == first_files["golden.json"]
    assert second == first


@pytest.fixture(scope="module")
def big_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("big")
    simulate(CUSTOMERS, 8, 11, folder)
    return folder


def test_a_score_by_id_is_the_one_of_the_file_to_the_last_bit(
    big_shop: Path, published: Path, store_url: str, tmp_path: Path
) -> None:
    config, out = big_shop / "keepwell.toml", tmp_path / "scores.parquet"
    keepwell("store", "import", "-c", config, "--store-url", store_url)
    last = pq.read_table(big_shop / "events.parquet", columns=["occurred_at"])
    latest = max(last.column("occurred_at").to_pylist())
    as_of = datetime(latest.year, latest.month, latest.day, tzinfo=UTC).isoformat()
    keepwell(
        *("score", "-c", config, "--out", out, "--as-of", as_of),
        *("--models-dir", published, "--reasons", 0),
    )
    offline = {
        row["customer_id"]: (row["status"], row["churn_probability"])
        for row in pq.read_table(out).to_pylist()
    }
    assert len(offline) > 0.95 * CUSTOMERS

    online = {}
    who = sorted(offline)
    settings = Settings(models_dir=published, store_url=store_url, access_log=False)
    with build(settings) as client:
        for at in range(0, len(who), 1000):
            rows = [
                {"customer_id": one, "as_of": instants.text(instants.parse(as_of))}
                for one in who[at : at + 1000]
            ]
            for row in client.post("/v1/score/batch", rows).json()["results"]:
                online[row["customer_id"]] = (row["status"], row["churn_probability"])
    assert online == offline
    assert sum(probability is not None for _, probability in online.values()) > CUSTOMERS / 2
