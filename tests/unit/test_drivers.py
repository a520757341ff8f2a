import lightgbm as lgb
import numpy as np
import pytest

from churn.bundle import Model
from churn.calibration import Calibration
from churn.columns import Column
from churn.curve import RiskCurve
from churn.features import FEATURES, POSITION
from churn.population import Population
from churn.reliability import Reliability
from churn.schema import Schema
from churn.trees import FlatTrees
from training.drivers import RHYTHM_WORDS, drivers, family_shares

PLAN = Column(
    "plan", "categorical", "plan", "category", {"en": "plan of the customer", "ru": "тариф"},
    categories=("basic", "gold"), codes=(1, 2),
)  # fmt: skip
N = 800


@pytest.fixture(scope="module")
def made():
    """A model of silence (by value and by rank), of orders and of the plan, and its customers."""
    rng = np.random.default_rng(2)
    schema = Schema((PLAN,))
    X = np.full((N, len(schema)), np.nan)
    X[:, POSITION["days_since_last_purchase"]] = rng.uniform(0, 100, N)
    X[:, POSITION["purchase_days_total"]] = rng.integers(1, 9, N)
    X[:, -1] = rng.choice([0.0, 1.0, 2.0, np.nan], N)
    population = Population.fit(X, 60.0, schema.ranked)
    settled = population.transform(schema.settled(X))
    silence = X[:, POSITION["days_since_last_purchase"]]
    y = rng.random(N) < 1 / (1 + np.exp(-(silence - 50) / 10 - 2 * (X[:, -1] == 2)))
    booster = lgb.train(
        {"objective": "binary", "num_leaves": 7, "verbosity": -1, "feature_fraction": 0.5},
        lgb.Dataset(settled, y),
        30,
    )
    trees = FlatTrees.from_booster(booster, schema.model_families)
    model = Model(
        lightgbm_text=booster.model_to_string(),
        trees=trees,
        population=population,
        calibration=Calibration(),
        curve=RiskCurve.flat(60),
        reliability=Reliability(),
        schema=schema,
    )
    return model, X


def test_a_feature_and_its_rank_are_one_driver_and_all_sum_to_the_margin(made):
    model, X = made
    found = drivers(model, X, 7)
    names = [driver.name for driver in found]
    assert len(names) == len(set(names))
    assert not any(name.endswith("_rank") for name in names)
    total = np.sum([driver.contribution for driver in found], axis=0)
    margin = model.trees.margin(model.columns(X))
    assert np.allclose(total, margin - margin.mean(), atol=0.05)


def test_drivers_come_in_order_with_their_own_words_units_and_values(made):
    model, X = made
    found = drivers(model, X, 7)
    assert [d.importance for d in found] == sorted((d.importance for d in found), reverse=True)
    assert all(driver.importance > 0 for driver in found)
    by_name = {driver.name: driver for driver in found}
    silence = by_name["days_since_last_purchase"]
    assert (silence.words, silence.unit) == ("days since the last purchase", "days")
    assert np.array_equal(silence.values, X[:, POSITION["days_since_last_purchase"]])
    plan = by_name["plan"]
    assert (plan.words, plan.family, plan.unit) == ("plan of the customer", "plan", "category")
    assert set(plan.values) == {"basic", "gold", "unseen", ""}


def test_only_some_rows_are_explained_where_there_are_many(made, monkeypatch):
    monkeypatch.setattr("training.drivers.MOST_ROWS", 100)
    model, X = made
    assert np.isfinite(drivers(model, X, 7)[0].contribution).sum() == 100


def test_each_kind_of_reason_moves_risk_by_its_own_share(made):
    model, X = made
    moved = np.abs(model.trees.explain(model.columns(X))[1]).mean(axis=0)
    shares = family_shares(model, X, 7)
    assert {"silence", "plan"} <= shares.keys()
    for family, share in zip(model.schema.families, moved, strict=True):
        assert shares.get(family, 0.0) == pytest.approx(share)


def test_kinds_of_reasons_are_told_by_some_rows_where_there_are_many(made, monkeypatch):
    model, X = made
    every = family_shares(model, X, 7)
    monkeypatch.setattr("training.drivers.MOST_ROWS", 400)
    some = family_shares(model, X, 7)
    assert some != every
    assert some == pytest.approx(every, rel=0.2)


def test_every_rhythm_column_has_words_and_no_feature_shares_them():
    words = [words for words, _ in RHYTHM_WORDS.values()]
    assert len(set(words)) == len(words)
    assert not set(words) & {feature.en for feature in FEATURES}
