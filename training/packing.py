"""What a fitted model travels with: the files that score, and the manifest that describes them."""

import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from churn.bundle import GOLDEN, MODEL, golden_bytes, model_bytes
from churn.columns import Column
from churn.features import FEATURES
from churn.manifest import FeatureEntry, Manifest, Reference, Thresholds
from training.calendar import date_of
from training.config import Config
from training.fit import Fitted, predict
from training.ingest import Ingested
from training.snapshots import Snapshots

HIGH_SHARE, MEDIUM_SHARE = 0.2, 0.3
MINIMUM_FEATURES = 2
GOLDEN_ROWS = 25
LIBRARIES = ("keepwell", "lightgbm", "numpy", "numba", "scikit-learn", "duckdb", "joblib")

Floats = NDArray[np.float64]


def pack(
    config: Config,
    ingested: Ingested,
    fitted: Fitted,
    reference: Snapshots,
    snapshots: Snapshots,
    metrics: Mapping[str, float | None],
    now: datetime,
) -> tuple[Manifest, dict[str, bytes]]:
    """Pack a fitted model for the registry.

    Parameters
    ----------
    config, ingested : Config, Ingested
        The problem and the log it was learnt from.
    fitted : Fitted
        The model.
    reference : Snapshots
        The eligible customers at the date the model is made for: bands, reference ranges and
        golden rows are theirs.
    snapshots : Snapshots
        The rows learnt from.
    metrics : mapping of str to float or None
        Out-of-time figures of these settings.
    now : datetime
        Becomes part of the version.

    Returns
    -------
    Manifest
        Without `files`, which `Registry.publish` fills in.
    dict of str to bytes
        The files that score.
    """
    model = model_bytes(fitted.model)
    golden = golden_bytes(fitted.model, _golden_rows(reference, config.training.seed))
    created = now.astimezone(UTC)
    manifest = Manifest(
        model_version=f"{created:%Y-%m-%dT%H-%M-%SZ}-{hashlib.sha256(model).hexdigest()[:4]}",
        created_at=created.isoformat(timespec="seconds"),
        files={},
        features=[
            FeatureEntry(
                name=feature.name,
                unit=feature.unit,
                family=feature.family,
                feed=feature.feed,
                reference=_reference(reference.X[:, at]),
            )
            for at, feature in enumerate(FEATURES)
            if feature.feed in ingested.feeds
        ]
        + [
            _own_entry(column, reference.X[:, len(FEATURES) + at])
            for at, column in enumerate(fitted.model.schema.extras)
        ],
        feeds=sorted(ingested.feeds),
        horizon_days=config.problem.horizon_days,
        lead_time_days=config.problem.lead_time_days,
        inactivity_days=config.problem.inactivity_days,
        observation_window_days=config.problem.observation_window_days,
        minimum_features=MINIMUM_FEATURES,
        thresholds=thresholds(predict(fitted.model, reference.X)),
        currency=config.business.currency,
        metrics=dict(metrics),
        libraries={"python": platform.python_version()} | {lib: version(lib) for lib in LIBRARIES},
        data_fingerprint=ingested.fingerprint,
        training={
            "snapshots": [str(date_of(as_of, config.events.zone)) for as_of in fitted.dates],
            "rows": int(np.isin(snapshots.as_of, list(fitted.dates)).sum()),
            "made_at": str(date_of(ingested.complete_until, config.events.zone)),
            "calibration": fitted.calibration.evidence,
            "lightgbm": fitted.settings,
        },
    )
    return manifest, {MODEL: model, GOLDEN: golden}


def thresholds(probability: Floats) -> Thresholds:
    """Bands that put a fifth of these customers in high and the next three tenths in medium."""
    medium, high = np.quantile(probability, [1 - HIGH_SHARE - MEDIUM_SHARE, 1 - HIGH_SHARE])
    return Thresholds(medium=float(medium), high=float(high))


def _own_entry(column: Column, numbers: Floats) -> FeatureEntry:
    coded = column.kind == "categorical"
    # Codes have no order, so nothing but what is missing can be said of them as numbers.
    reference = _reference(np.where(np.isnan(numbers), np.nan, 0.0) if coded else numbers)
    if coded:
        nothing = dict.fromkeys(("minimum", "p01", "p50", "p99", "maximum"))
        reference = reference.model_copy(update=nothing)
    return FeatureEntry(
        name=column.name,
        unit=column.unit,
        family=column.family,
        feed=None,
        kind=column.kind,
        categories=list(column.categories) if coded else None,
        reference=reference,
    )


def _reference(column: Floats) -> Reference:
    known = column[~np.isnan(column)]
    missing_share = 1.0 - len(known) / max(len(column), 1)
    if len(known) == 0:
        return Reference(
            minimum=None, p01=None, p50=None, p99=None, maximum=None, missing_share=missing_share
        )
    p01, p50, p99 = (float(q) for q in np.quantile(known, [0.01, 0.5, 0.99]))
    return Reference(
        minimum=float(known.min()),
        p01=p01,
        p50=p50,
        p99=p99,
        maximum=float(known.max()),
        missing_share=missing_share,
    )


def _golden_rows(reference: Snapshots, seed: int) -> Floats:
    chosen = np.random.default_rng(seed).permutation(len(reference))[:GOLDEN_ROWS]
    return reference.X[np.sort(chosen)]
