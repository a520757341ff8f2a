"""A few rows have the bits that they have in a block, whatever the model is made of."""

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from churn.bundle import Bundle, load
from churn.calibration import Calibration
from churn.columns import Column
from churn.compiled import HAS_NUMBA, Floats
from churn.curve import RiskCurve
from churn.events import Feed
from churn.features import POSITION, absent_features, mask_absent_feeds
from churn.few_rows import RowScorer
from churn.linear import Linear
from churn.model import Model
from churn.population import Population
from churn.registry import Registry
from churn.reliability import Reliability
from churn.schema import Schema
from churn.trees import FEW, FlatTrees

pytestmark = pytest.mark.skipif(not HAS_NUMBA, reason="rows are scored here only with Numba")

PLAN = Column(
    "plan", "categorical", "plan", "category", {"en": "plan of the customer", "ru": "тариф"},
    categories=("basic", "gold"), codes=(1, 2),
)  # fmt: skip
CALLS = Column("calls", "numeric", "calls", "calls", {"en": "calls", "ru": "звонки"})
N = 300
CURVE = RiskCurve(
    np.array([30, 60, 90]), 1, np.array([0.01, 0.0, 0.02]), np.array([0.3, 0.0, -0.2]),
    np.array([1.0, 0.0, -1.0]), -3.0, 3.0,
)  # fmt: skip
SILENT = (0.5, 0.9, 0.1)


@pytest.fixture(scope="module")
def bundle(published: Path) -> Bundle:
    registry = Registry(published)
    return load(registry.path(registry.current() or ""))


def made(schema: Schema) -> tuple[Model, Floats]:
    """A model of a schema, with much missing, and its customers."""
    rng = np.random.default_rng(2)
    X = np.round(rng.gamma(2.0, 10.0, (N, len(schema))), 1)
    X[rng.random(X.shape) < 0.2] = np.nan
    for at in schema.coded:
        X[:, at] = rng.choice([0.0, 1.0, 2.0, np.nan], N)
    if schema.loop:
        X[:, POSITION["is_one_time_buyer"]] = rng.integers(0, 2, N)
    population = Population.fit(X, 60.0, schema.ranked) if schema.loop else None
    settled = schema.settled(X)
    columns = settled if population is None else population.transform(settled)
    y = rng.random(N) < 1 / (1 + np.exp(-np.nan_to_num(X[:, 0] - 20) / 10))
    parameters = {"objective": "binary", "num_leaves": 7, "verbosity": -1, "min_data_in_leaf": 5}
    booster = lightgbm.train(parameters, lightgbm.Dataset(columns, y), 20)
    model = Model(
        lightgbm_text="",
        trees=FlatTrees.from_booster(booster, schema.model_families),
        population=population,
        calibration=Calibration("beta", 0.9, 1.1, 0.2),
        curve=CURVE,
        reliability=Reliability(0.5, 0.2),
        schema=schema,
    )
    return model, X


def with_all_parts(model: Model) -> Model:
    """The model averaged with a linear one, contributions counted from the average customer."""
    rng = np.random.default_rng(3)
    width = min(6, len(model.schema.model_columns))
    numbers = [rng.uniform(0.1, 2.0, width) for _ in range(5)]
    column = np.arange(width, dtype=np.int64)
    usual = rng.normal(0.0, 0.1, len(model.schema.families))
    return replace(model, linear=Linear(0.3, column, *numbers, -0.4), usual=usual)


@pytest.mark.parametrize("parts", ["trees alone", "all parts"])
@pytest.mark.parametrize(
    "schema",
    [Schema(), Schema((PLAN, CALLS)), Schema((PLAN, CALLS), loop=False)],
    ids=["events", "events and own columns", "a table"],
)
@pytest.mark.parametrize("absent", [None, Feed.VISITS], ids=["every feed", "no visits"])
def test_few_rows_have_the_bits_that_they_have_in_a_block(
    bundle: Bundle, schema: Schema, parts: str, absent: Feed | None
) -> None:
    model, X = made(schema)
    if parts == "all parts":
        model = with_all_parts(model)
    missing = np.empty(0, dtype=np.int64)
    silenced = np.empty(0, dtype=np.int64)
    known = X.copy()
    if absent is not None and schema.loop:
        present = frozenset(Feed) - {absent}
        missing = absent_features(present)
        silenced = np.flatnonzero([feed == absent for feed in schema.feeds])
        mask_absent_feeds(known, present)
        assert len(missing)
        assert len(silenced)
    margin, contributions = model.explain(model.columns(known))
    contributions[:, silenced] = 0.0
    probability = model.calibration.apply(margin)
    curve = model.curve.probabilities(margin, probability)
    one_time = (
        known[:, POSITION["is_one_time_buyer"]] == 1.0 if schema.loop else np.zeros(N, np.bool_)
    )
    together = np.column_stack(
        [
            probability,
            model.reliability.interval(probability, one_time),
            curve,
            model.curve.days_until(curve, *SILENT),
            contributions,
        ]
    )
    scorer = RowScorer(replace(bundle, model=model), SILENT)
    for n in (1, FEW - 1, FEW, 100):
        for first in range(0, N, n):
            given = X[first : first + n].copy()
            found = scorer.score(given, missing, silenced)
            numbers = [
                [one.probability, *one.interval, *one.curve, *one.until, *one.contributions]
                for one in found
            ]
            assert np.array(numbers).tobytes() == together[first : first + n].tobytes()
            assert given.tobytes() == X[first : first + n].tobytes()


def test_steps_of_an_isotonic_calibration_are_left_to_the_loops_over_rows(bundle: Bundle) -> None:
    steps = Calibration("isotonic", margins=(-1.0, 1.0), log_odds=(-0.5, 0.5))
    assert RowScorer.is_for(replace(bundle, model=replace(bundle.model, calibration=Calibration())))
    assert not RowScorer.is_for(replace(bundle, model=replace(bundle.model, calibration=steps)))
