"""A small real model with columns of the user's own, made once per process."""

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from churn.columns import Column
from churn.compiled import Booleans
from churn.manifest import Manifest
from churn.registry import Registry
from tests.support import NOW
from training.calendar import Calendar, instant
from training.config import load
from training.fit import Fitted, fit
from training.ingest import ingest
from training.packing import pack
from training.simulate import simulate
from training.snapshots import Snapshots, collect

PLANS = ("basic", "gold", "odd", "trial")
PLAN = Column(
    "plan", "categorical", "plan", "category",
    {"en": "plan", "ru": "тариф"},
    categories=PLANS, codes=(1, 2, 3, 4),
)  # fmt: skip
CALLS = Column(
    "support_calls", "numeric", "service", "calls",
    {"en": "calls to support", "ru": "звонки в поддержку"},
    {"en": "{value} calls; others make {norm:number}", "ru": "звонков {value}; обычно {norm}"},
    direction=1,
)  # fmt: skip
STARS = Column(
    "stars", "numeric", "satisfaction", "rating", {"en": "stars", "ru": "звёзды"}, direction=-1
)
COLUMNS = (PLAN, CALLS, STARS)


@cache
def fitted_with_own_columns() -> tuple[Fitted, Snapshots, Snapshots, Manifest, dict[str, bytes]]:
    """Model, training rows, reference rows, manifest and files; own columns tell of the outcome."""
    with tempfile.TemporaryDirectory(prefix="keepwell-test-") as folder:
        simulate(500, 10, 7, Path(folder) / "shop")
        config = load(Path(folder) / "shop" / "keepwell.toml")
        ingested = ingest(config, Path(folder) / "work", now_us=instant(NOW), n_buckets=2)
        calendar = Calendar.of(config, ingested)
        dates = calendar.training_dates(ingested.complete_until)[-5:]
        rows = collect(ingested, dates, config.problem)
        snapshots = with_own(rows, rows.is_churn, seed=1)
        rows = collect(ingested, [ingested.complete_until], config.problem)
        reference = with_own(rows, np.arange(len(rows)) % 10 == 0, seed=2)
        fitted = fit(
            snapshots,
            reference,
            horizon_days=config.problem.horizon_days,
            window=calendar.window,
            feeds=ingested.feeds,
            seed=7,
        )
        manifest, files = pack(config, ingested, fitted, reference, snapshots, {}, NOW)
    return fitted, snapshots, reference, manifest, files


def bundle_with_own_columns(root: Path) -> Path:
    """Publish and promote the model in the registry at `root`; return the bundle's folder."""
    *_, manifest, files = fitted_with_own_columns()
    path = Registry(root).publish(manifest, files)
    Registry(root).promote(manifest.model_version)
    return path


def with_own(rows: Snapshots, leaning: Booleans, seed: int) -> Snapshots:
    """Rows with own columns that tell who leans towards leaving; `odd` plans are rare."""
    rng = np.random.default_rng(seed)
    n = len(rows)
    plan = np.where(rng.random(n) < 0.2 + 0.6 * leaning, 4.0, rng.integers(1, 3, n))
    plan[rng.permutation(n)[:3]] = 3.0
    calls = rng.poisson(1 + 3 * leaning).astype(np.float64)
    stars = rng.integers(1, 6, n).astype(np.float64)
    own = np.column_stack([plan, calls, stars])
    own[rng.random((n, 3)) < 0.1] = np.nan
    return replace(rows, X=np.hstack([rows.X, own]), columns=COLUMNS)
