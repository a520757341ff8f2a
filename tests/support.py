"""A small real model for tests that need one, made once per process."""

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from churn.manifest import Manifest
from churn.registry import Registry
from training.calendar import Calendar, instant
from training.config import Config, load
from training.fit import Fitted, fit
from training.ingest import Ingested, ingest
from training.packing import pack
from training.simulate import simulate
from training.snapshots import Snapshots, collect
from training.value.fit import with_value

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def small_bundle(root: Path) -> str:
    """Publish and promote a small model, every feed in it, in the registry at `root`."""
    manifest, files = small_model()
    Registry(root).publish(manifest, files)
    Registry(root).promote(manifest.model_version)
    return manifest.model_version


@cache
def small_model(seed: int = 7) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the files of a small model: learnt from 500 simulated customers."""
    with tempfile.TemporaryDirectory(prefix="keepwell-test-") as folder:
        simulate(500, 10, 7, Path(folder) / "shop")
        config = load(Path(folder) / "shop" / "keepwell.toml")
        ingested = ingest(config, Path(folder) / "work", now_us=instant(NOW), n_buckets=2)
        fitted, snapshots, reference = fitted_on(config, ingested, seed)
    return pack(config, ingested, fitted, reference, snapshots, {"roc_auc": 0.75}, NOW)


def fitted_on(
    config: Config, ingested: Ingested, seed: int = 7
) -> tuple[Fitted, Snapshots, Snapshots]:
    """A model of a log's last five labelled snapshots, those snapshots, and the customers now."""
    calendar = Calendar.of(config, ingested)
    dates = calendar.training_dates(ingested.complete_until)[-5:]
    snapshots = collect(ingested, dates, config.problem)
    reference = collect(ingested, [ingested.complete_until], config.problem)
    fitted = fit(
        snapshots,
        reference,
        horizon_days=config.problem.horizon_days,
        window=calendar.window,
        feeds=ingested.feeds,
        seed=seed,
    )
    fitted = with_value(config, ingested, calendar, fitted, reference, ingested.complete_until)
    return fitted, snapshots, reference
