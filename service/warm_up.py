"""Compiles every loop that serving runs, before there is a model: `python -m service.warm_up`.

An image's build has no model yet, and the first start should not take half a minute, least of all
where the root is read-only and nothing that is compiled could be kept. So bundles are made of a
tree and a few numbers and loaded as the service loads any other. What is compiled depends on the
kinds of numbers a model holds, not on how many.
"""

import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from churn.bundle import GOLDEN, MODEL, golden_bytes, model_bytes
from churn.calibration import Calibration
from churn.columns import Column
from churn.compiled import KEPT_IN, Floats, Integers
from churn.curve import RiskCurve
from churn.events import FEED_KINDS
from churn.features import FEATURES
from churn.linear import Linear
from churn.loss import LossRules
from churn.manifest import FeatureEntry, Manifest, Reference, Thresholds
from churn.model import Model
from churn.population import Population
from churn.registry import Registry
from churn.reliability import Reliability
from churn.schema import Schema
from churn.tree_dump import UP_TO
from churn.trees import FEW, FlatTrees
from churn.value import PARTS, CustomerValue
from service import models

HORIZON_DAYS = 60
CALLS = Column("calls", "numeric", "calls", "calls", {"en": "calls", "ru": "звонки"})
PLAN = Column(
    "plan", "categorical", "plan", "category", {"en": "plan", "ru": "тариф"},
    categories=("basic", "gold"), codes=(1, 2),
)  # fmt: skip
SCHEMAS: Mapping[str, Schema] = {
    "events": Schema(),
    "columns-of-your-own": Schema((CALLS, PLAN)),
    "ready-table": Schema((CALLS, PLAN), loop=False),
}
"""Of each kind of model one."""

_UNKNOWN = Reference(minimum=None, p01=None, p50=None, p99=None, maximum=None, missing_share=1.0)
_LOOP_FEATURES = tuple(
    FeatureEntry(
        name=feature.name,
        unit=feature.unit,
        family=feature.family,
        feed=feature.feed,
        reference=_UNKNOWN,
    )
    for feature in FEATURES
)


def warm_up() -> None:
    """Load a made-up model of each kind; Numba keeps the code where `churn.compiled` says."""
    with tempfile.TemporaryDirectory(prefix="keepwell-warm-up-") as folder:
        registry = Registry(Path(folder))
        for name, schema in SCHEMAS.items():
            models.load(registry.publish(*made_up(name, schema)))


def made_up(name: str, schema: Schema) -> tuple[Manifest, dict[str, bytes]]:
    """A bundle with every part that a model of such columns may have, as `Registry.publish` asks.

    Parameters
    ----------
    name : str
        Its version.
    schema : Schema
        Its columns.
    """
    X = np.ones((FEW, len(schema)))
    model = _model(schema, X)
    manifest = Manifest(
        model_version=name,
        created_at=datetime.now(UTC).isoformat(),
        files={},
        features=[*(_LOOP_FEATURES if schema.loop else ()), *map(_feature, schema.extras)],
        feeds=sorted(FEED_KINDS) if schema.loop else [],
        horizon_days=HORIZON_DAYS,
        lead_time_days=0,
        inactivity_days=180,
        observation_window_days=730,
        minimum_features=1,
        thresholds=Thresholds(medium=0.3, high=0.6),
        currency="EUR",
        metrics={},
        libraries={},
        data_fingerprint="made up",
        training={},
    )
    return manifest, {MODEL: model_bytes(model), GOLDEN: golden_bytes(model, X)}


def _feature(column: Column) -> FeatureEntry:
    return FeatureEntry(
        name=column.name,
        unit=column.unit,
        family=column.family,
        feed=None,
        kind=column.kind,
        categories=list(column.categories) or None,
        reference=_UNKNOWN,
    )


def _model(schema: Schema, X: Floats) -> Model:
    zero, one, three = np.zeros(1), np.ones(1), np.zeros(len(PARTS))
    first = np.zeros(1, dtype=np.int64)
    value = CustomerValue(
        days=365, column=first, center=zero, scale=one, missing=zero,
        weight=np.zeros((len(PARTS), 1)), intercept=three, low=three, high=three,
        margin_rate=0.3, cheque=50.0, cheque_weight=1.0, limits=np.array([100.0, 10.0]),
    )  # fmt: skip
    return Model(
        lightgbm_text="",
        trees=_tree(schema),
        population=Population.fit(X, float(HORIZON_DAYS), schema.ranked) if schema.loop else None,
        calibration=Calibration("beta", 1.0, 0.9, 0.1),
        curve=RiskCurve.flat(HORIZON_DAYS),
        reliability=Reliability(0.1, 0.1),
        schema=schema,
        linear=Linear(0.5, first, zero, one, zero, zero, one, 0.0),
        usual=np.zeros(len(schema.families)),
        value=value if schema.loop else None,
        loss=LossRules(2.0, 100.0, 3.0) if schema.loop else None,
    )


def _tree(schema: Schema) -> FlatTrees:
    """One tree with one split, of the first column."""

    def places(*numbers: int) -> Integers:
        return np.array(numbers, dtype=np.int64)

    return FlatTrees(
        families=places(*schema.model_families),
        n_families=len(schema.families),
        node_start=places(0, 1),
        leaf_start=places(0, 2),
        feature=places(0),
        decision=places(UP_TO),
        threshold=np.array([0.5]),
        default_left=np.array([True]),
        left=places(-1),
        right=places(-2),
        node_count=np.array([2.0]),
        leaf_count=np.array([1.0, 1.0]),
        leaf_value=np.array([-1.0, 1.0]),
        set_start=places(0),
        set_words=places(),
    )


def main() -> int:
    """Compile, and say where the code is kept; 1 where it is not, for then it was in vain."""
    if KEPT_IN is None:
        sys.stderr.write(
            "nothing would be kept: name a folder that can be written in NUMBA_CACHE_DIR, "
            "and leave Numba on\n"
        )
        return 1
    warm_up()
    sys.stdout.write(f"every loop that serving runs is compiled, in {KEPT_IN}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
