"""What a fitted model travels with: the files that score, and the manifest that describes them."""

import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.bundle import GOLDEN, MODEL, Model, golden_bytes, model_bytes
from churn.columns import Column
from churn.features import FEATURES
from churn.manifest import FeatureEntry, Manifest, Reference, Thresholds
from churn.schema import Schema
from training.calendar import Calendar, date_of
from training.config import Config
from training.fit import Fitted, predict
from training.ingest import Ingested
from training.reference import reference as drift_reference
from training.snapshots import Snapshots
from training.table.config import TableConfig
from training.value.fit import entries

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
        The eligible customers at the date the model is made for: bands, reference ranges, what
        drift is counted from and golden rows are theirs.
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
    loop = [
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
    features = [*loop, *own_entries(fitted.model.schema, reference.X)]
    made_at = str(date_of(ingested.complete_until, config.events.zone))
    return packed(
        config,
        fitted.model,
        reference.X,
        now,
        features=features,
        feeds=sorted(ingested.feeds),
        metrics=dict(metrics),
        data_fingerprint=ingested.fingerprint,
        training={
            "snapshots": [str(date_of(as_of, config.events.zone)) for as_of in fitted.dates],
            "rows": int(np.isin(snapshots.as_of, list(fitted.dates)).sum()),
            "made_at": made_at,
            "calibration": fitted.calibration.evidence,
            "lightgbm": fitted.settings,
        },
        drift=drift_reference(
            fitted.model.schema,
            [entry.name for entry in features],
            reference.X,
            predict(fitted.model, reference.X),
            made_at,
        ),
        **entries(config, Calendar.of(config, ingested), fitted, ingested.complete_until),
    )


def packed(
    settings: Config | TableConfig, model: Model, X: Floats, now: datetime, **told: Any
) -> tuple[Manifest, dict[str, bytes]]:
    """Pack a model; what any model is told by, whatever it learnt from.

    Parameters
    ----------
    settings : Config or TableConfig
        The problem, the seed and the currency.
    model : Model
        The model.
    X : ndarray of float64, shape (n, n_inputs)
        Input columns of the rows that bands and golden rows refer to.
    now : datetime
        Becomes part of the version.
    **told
        The fields of the manifest that depend on what the model learnt from.
    """
    content = model_bytes(model)
    created = now.astimezone(UTC)
    manifest = Manifest(
        model_version=f"{created:%Y-%m-%dT%H-%M-%SZ}-{hashlib.sha256(content).hexdigest()[:4]}",
        created_at=created.isoformat(timespec="seconds"),
        files={},
        horizon_days=settings.problem.horizon_days,
        lead_time_days=settings.problem.lead_time_days,
        inactivity_days=settings.problem.inactivity_days,
        observation_window_days=settings.problem.observation_window_days,
        minimum_features=min(MINIMUM_FEATURES, len(model.schema)),
        thresholds=thresholds(predict(model, X)),
        currency=settings.business.currency,
        libraries={"python": platform.python_version()} | {lib: version(lib) for lib in LIBRARIES},
        **told,
    )
    golden = golden_bytes(model, _golden_rows(X, settings.training.seed))
    return manifest, {MODEL: content, GOLDEN: golden}


def thresholds(probability: Floats) -> Thresholds:
    """Bands that put a fifth of these customers in high and the next three tenths in medium."""
    medium, high = np.quantile(probability, [1 - HIGH_SHARE - MEDIUM_SHARE, 1 - HIGH_SHARE])
    return Thresholds(medium=float(medium), high=float(high))


def own_entries(schema: Schema, X: Floats) -> list[FeatureEntry]:
    """The user's own columns, with their values among rows of input columns (n, n_inputs)."""
    return [
        _own_entry(column, X[:, schema.first_extra + at]) for at, column in enumerate(schema.extras)
    ]


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


def _golden_rows(X: Floats, seed: int) -> Floats:
    chosen = np.random.default_rng(seed).permutation(len(X))[:GOLDEN_ROWS]
    return X[np.sort(chosen)]
