"""What the servers of `benchmarks.serving` serve and are asked: two models and their customers.

`table` is the size that others publish figures for: 300 trees of 31 leaves over 40 numbers, sent
ready. `events` is learnt from CDNOW, whose customers are sent as their purchases.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import lightgbm
import numpy as np

from benchmarks.shop import NOW
from churn.calibration import Calibration
from churn.columns import Column
from churn.curve import RiskCurve
from churn.model import Model
from churn.registry import Registry
from churn.reliability import Reliability
from churn.schema import Schema
from churn.trees import FlatTrees
from training import config as configuration
from training.packing import own_entries, packed
from training.pipeline import train
from training.table.config import TableConfig

TREES, LEAVES, FEATURES, FAMILIES = 300, 31, 40, 8
ROWS, BODIES = 20_000, 200
CDNOW = Path(__file__).parents[1] / "examples" / "cdnow"
NAMES = tuple(f"feature_{at}" for at in range(FEATURES))
BOOSTER, BODIES_FILE = "booster.txt", "bodies.json"


def table(folder: Path) -> None:
    """Publish the large table model; keep its booster for the other servers, and 200 requests."""
    random = np.random.default_rng(7)
    X = random.normal(size=(ROWS, FEATURES))
    signal = X[:, :10].sum(axis=1) + X[:, 10] * X[:, 11] + np.sin(2 * X[:, 12]) * X[:, 13]
    y = (signal + random.normal(size=ROWS) * 2 > 0).astype(np.int64)
    settings = {
        "objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.03, "verbose": -1,
        "seed": 7, "num_threads": 1, "min_data_in_leaf": 20,
    }  # fmt: skip
    booster = lightgbm.train(settings, lightgbm.Dataset(X, y), num_boost_round=TREES)
    text = booster.model_to_string()
    columns = [
        Column(name, "numeric", f"family_{at % FAMILIES}", "count", {"en": name, "ru": name})
        for at, name in enumerate(NAMES)
    ]
    schema = Schema(tuple(columns), loop=False).with_norms(X)
    config = TableConfig.model_validate({"table": {"query": "SELECT 1"}})
    model = Model(
        lightgbm_text=text,
        trees=FlatTrees.from_booster(booster, schema.model_families),
        population=None,
        calibration=Calibration(),
        curve=RiskCurve.flat(config.problem.horizon_days),
        reliability=Reliability(),
        schema=schema,
    )
    manifest, files = packed(
        config, model, X, NOW, features=own_entries(schema, X), feeds=[], metrics={},
        data_fingerprint="made up", training={},
    )  # fmt: skip
    registry = Registry(folder / "models")
    registry.publish(manifest, files)
    registry.promote(manifest.model_version)
    (folder / BOOSTER).write_text(text)
    asked = [
        {"customer_id": f"c-{at}", "features": dict(zip(NAMES, X[at].tolist(), strict=True))}
        for at in range(BODIES)
    ]
    (folder / BODIES_FILE).write_text(json.dumps(asked))


def events(folder: Path) -> None:
    """Publish a model of CDNOW, and keep 200 requests of customers with 3 to 10 purchases."""
    train(configuration.load(CDNOW / "keepwell.toml"), folder / "models", now=NOW)
    random = Random(7)
    as_of = datetime(1998, 6, 1, tzinfo=UTC)
    asked = [
        {
            "customer_id": f"c-{at}",
            "as_of": _text(as_of.timestamp()),
            "events": [
                {
                    "occurred_at": _text(
                        as_of.timestamp() - 86_400 * random.uniform(10 + 30 * k, 30 + 30 * k)
                    ),
                    "kind": "purchase",
                    "amount": round(random.uniform(8, 90), 2),
                    "order_id": f"o-{at}-{k}",
                }
                for k in range(random.randint(3, 10))
            ],
        }
        for at in range(BODIES)
    ]
    (folder / BODIES_FILE).write_text(json.dumps(asked))


def bodies(folder: Path) -> list[dict[str, Any]]:
    """The requests of a prepared folder."""
    asked: list[dict[str, Any]] = json.loads((folder / BODIES_FILE).read_text())
    return asked


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    {"table": table, "events": events}[sys.argv[1]](Path(sys.argv[2]))
