"""Drift: bins that are counted right, an index that chance alone does not move."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from churn.columns import Column
from churn.drift import PROBABILITY, Binning, Reference, Sorting, psi_beyond_chance
from churn.errors import BundleCorrupt
from churn.manifest import Bins, DriftEntry
from churn.schema import Schema
from tests.support import small_model
from training.reference import reference

WORDS = {"en": "x", "ru": "x"}
SCHEMA = Schema(
    (
        Column("age", "numeric", "age", "years", WORDS),
        Column("plan", "categorical", "plan", "category", WORDS,
               categories=("basic", "gold", "old"), codes=(1, 2, 4)),
    ),
    loop=False,
)  # fmt: skip
SEED = 20261122


def table(*rows: tuple[float | None, float | None]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_a_customer_is_counted_in_the_bin_of_each_value() -> None:
    binning = Binning(
        SCHEMA,
        {"age": Sorting((10.0, 20.0)), "plan": Sorting(codes=(1.0, 4.0))},
        Sorting((0.5,)),
    )
    X = table((10.0, 1.0), (10.1, 4.0), (21.0, 2.0), (None, 7.0), (-5.0, None))
    counted = binning.count(X, np.array([0.1, 0.5, 0.51, 0.9, 0.2]))
    assert counted[0].tolist() == [2, 1, 1, 1]  # at most 10, at most 20, above, missing
    assert counted[1].tolist() == [1, 1, 2, 1]  # basic, old, all others and the unseen, missing
    assert counted[2].tolist() == [3, 2, 0, 0]


def test_where_every_category_is_rare_all_are_others() -> None:
    binning = Binning(SCHEMA, {"plan": Sorting(codes=())}, Sorting((0.5,)))
    counted = binning.count(table((1.0, 1.0), (1.0, 7.0), (1.0, None)), np.full(3, 0.1))
    assert counted[0].tolist() == [2, 0, 1]
    rare = np.column_stack([np.arange(30.0), np.full(30, 7.0)])
    none = Schema((SCHEMA.extras[0], SCHEMA.extras[1].replaced(categories=(), codes=())), False)
    entry = reference(none, none.names, rare, np.linspace(0.1, 0.9, 30), None)
    assert entry.features["plan"] == Bins(categories=[], counts=[30], missing=0)
    held = Reference(none, entry)
    assert held.drift(held.binning.count(rare, np.full(30, 0.5)))["plan"] == 0.0


def test_many_customers_are_counted_as_few_at_a_time_would_be() -> None:
    rng = np.random.default_rng(SEED)
    X = np.column_stack([rng.normal(size=1000), rng.integers(0, 6, 1000)])
    X[rng.random(X.shape) < 0.1] = np.nan
    p = rng.random(1000)
    binning = Binning(
        SCHEMA,
        {"age": Sorting((-1.0, 0.0, 1.0)), "plan": Sorting(codes=(1.0, 2.0))},
        Sorting((0.2, 0.4)),
    )
    whole = binning.count(X, p)
    parts = sum(binning.count(X[at : at + 7], p[at : at + 7]) for at in range(0, 1000, 7))
    assert np.array_equal(whole, parts)
    assert whole.sum(axis=1).tolist() == [1000] * 3


def test_the_index_is_the_published_one_less_what_chance_gives() -> None:
    then, now = np.array([[4000, 3000, 3000, 0]]), np.array([[2000, 3000, 5000, 0]])
    shares = [(0.4, 0.2), (0.3, 0.3), (0.3, 0.5)]
    psi = sum((after - before) * math.log(after / before) for before, after in shares)
    chance = 2 * (1 / 10_000 + 1 / 10_000)
    found = psi_beyond_chance(then, now, np.array([[True, True, True, False]]))
    assert found[0] == pytest.approx(psi - chance, abs=1e-3)


@pytest.mark.parametrize("n", [200, 1000, 20_000])
def test_chance_alone_gives_about_nothing_however_many_customers(n: int) -> None:
    rng = np.random.default_rng(SEED)
    shares = np.array([0.3, *[0.07] * 10])
    exists = np.ones((1, 11), dtype=bool)
    then = rng.multinomial(5000, shares)[None]
    found = [
        psi_beyond_chance(then, rng.multinomial(n, shares)[None], exists)[0] for _ in range(500)
    ]
    assert np.mean(found) < 0.012
    assert max(found) < 0.1
    moved = np.array([0.1, *[0.09] * 10])
    shifted = [
        psi_beyond_chance(then, rng.multinomial(n, moved)[None], exists)[0] for _ in range(100)
    ]
    assert np.mean(shifted) == pytest.approx(0.27, abs=0.03)


def test_a_value_that_everybody_had_is_missed_when_it_changes() -> None:
    X = table(*[(3.0, 1.0)] * 500)
    entry = reference(SCHEMA, SCHEMA.names, X, np.linspace(0.1, 0.9, 500), None)
    held = Reference(SCHEMA, entry)
    p = np.linspace(0.1, 0.9, 500)
    assert held.drift(held.binning.count(X, p)) == {"age": 0.0, "plan": 0.0, PROBABILITY: 0.0}
    for changed in (2.0, 4.0, np.nan):
        X[:, 0] = changed
        assert held.drift(held.binning.count(X, p))["age"] > 5.0


def test_bins_hold_about_as_many_customers_each_and_repeated_values_share_one() -> None:
    rng = np.random.default_rng(SEED)
    ages = np.where(rng.random(2000) < 0.6, 0.0, rng.normal(50.0, 10.0, 2000))
    ages[:100] = np.nan
    plans = rng.choice([1.0, 2.0, 4.0, 9.0], 2000)
    X = np.column_stack([ages, plans])
    entry = reference(SCHEMA, SCHEMA.names, X, rng.random(2000), "2026-11-01")
    age, plan = entry.features["age"], entry.features["plan"]
    assert age.missing == 100
    assert 0.0 in age.edges
    assert age.counts[0] == np.count_nonzero(ages == 0.0)
    assert min(age.counts) >= 95
    assert plan.categories == ["basic", "gold", "old"]
    assert plan.counts[-1] == np.count_nonzero(plans == 9.0)
    assert len(entry.probability.counts) == 10
    assert entry.probability.customers == plan.customers == 2000


def test_a_bundle_tells_of_the_customers_whom_it_was_made_for() -> None:
    manifest = small_model()[0]
    drift = manifest.drift
    assert drift is not None
    assert drift.as_of == "2024-11-01"
    assert [*drift.features] == [entry.name for entry in manifest.features]
    for entry in manifest.features:
        bins, limits = drift.features[entry.name], entry.reference
        assert bins.missing / bins.customers == pytest.approx(limits.missing_share)
        if limits.minimum is not None and limits.minimum < (limits.maximum or 0.0):
            assert limits.minimum <= bins.edges[0] <= bins.edges[-1] <= (limits.maximum or 0.0)
    # A fifth of these very customers is at high risk.
    upto = sum(edge < manifest.thresholds.high for edge in drift.probability.edges)
    assert sum(drift.probability.counts[:upto]) == pytest.approx(
        0.75 * drift.probability.customers, abs=0.1 * drift.probability.customers
    )


def test_bins_that_cannot_be_are_refused() -> None:
    good = {"edges": [1.0, 2.0], "counts": [1, 2, 3], "missing": 0}
    assert Bins(**good).customers == 6
    for change in (
        {"counts": [1, 2]},
        {"counts": [1, 2, -3]},
        {"edges": [2.0, 1.0]},
        {"edges": [1.0, 1.0]},
        {"categories": ["a", "b"]},
        {"edges": [float(at) for at in range(20)], "counts": [6, *[0] * 20]},
        {"counts": [1, 2, 10**13]},
        {"missing": 10**13},
    ):
        with pytest.raises(ValidationError):
            Bins(**(good | change))
    with pytest.raises(ValidationError, match="same customers"):
        DriftEntry(
            as_of=None, features={"age": Bins(**good)}, probability=Bins(counts=[5], missing=0)
        )


def test_bins_of_other_columns_than_the_model_has_are_refused() -> None:
    for name, bins in (
        ("income", Bins(counts=[5], missing=0)),
        ("income", Bins(categories=["a"], counts=[5, 0], missing=0)),
        ("age", Bins(categories=["basic"], counts=[5, 0], missing=0)),
        ("plan", Bins(categories=["silver"], counts=[5, 0], missing=0)),
        ("plan", Bins(counts=[5], missing=0)),
    ):
        entry = DriftEntry(
            as_of=None, features={name: bins}, probability=Bins(counts=[5], missing=0)
        )
        with pytest.raises(BundleCorrupt, match=name):
            Reference(SCHEMA, entry)
