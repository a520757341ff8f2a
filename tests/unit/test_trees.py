import itertools
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn import tree_kernel as kernel
from churn.compiled import plain
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.tree_block import ROWS, explain_blocks
from churn.tree_layout import RUN_COLUMNS
from churn.tree_parts import DIRECT, JOINED, LIMITS, WORD, Limits, Shape, divided
from churn.tree_program import Program, as_lists, program
from churn.trees import FEW, FlatTrees

FIXED = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 5, "min_data_in_leaf": 2}


def booster(
    X: np.ndarray, y: np.ndarray, trees: int = 8, data: dict[str, Any] | None = None, **more: Any
) -> lgb.Booster:
    parameters = {"objective": "binary", "num_leaves": 8, **FIXED, **more}
    return lgb.train(parameters, lgb.Dataset(X, y, **(data or {})), num_boost_round=trees)


def table(
    seed: int, rows: int = 120, features: int = 5, missing: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, features)).round(1)  # ties, and exact zeros
    y = (np.nan_to_num(X).sum(axis=1) + rng.normal(size=rows) > 0).astype(float)
    X[rng.random(X.shape) < missing] = np.nan
    return X, y


ODD_CODES = [np.nan, -1.0, -0.5, -3.0, 0.4, 2.9, 63.0, 64.0, 1e6, 2.0**31, 2.0**40, np.inf, -np.inf]


def coded_table(
    seed: int, rows: int = 200, codes: int = 9, missing: float = 0.1, spread: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Columns 0, 2 and 4 hold codes, `spread` apart, each with a risk of its own."""
    rng = np.random.default_rng(seed)
    X, y = table(seed, rows, missing=missing)
    for column in (0, 2, 4):
        code = rng.integers(0, codes, size=rows)
        y = np.where(rng.random(rows) < 0.4, rng.random(codes)[code] > 0.5, y)
        X[:, column] = code * spread
        X[rng.random(rows) < missing, column] = np.nan
    return X, y.astype(float)


CODED: dict[str, Any] = {
    "data": {"categorical_feature": [0, 2, 4]},
    "min_data_per_group": 2,
    "cat_smooth": 1.0,
    "cat_l2": 0.1,
}


def alone(features: int) -> list[int]:
    """Every feature its own family."""
    return list(range(features))


# Tables so small that other ways of keeping a part are taken: two tables, or none.
FORCED = {
    "whole trees": LIMITS,
    "splits alone": Limits(own=1, direct=8, within=7, above=10),
    "leaves alone": Limits(own=0, direct=8, within=7, above=10),
    "two tables": Limits(own=2, direct=0, within=4, above=10),
    "two small tables": Limits(own=2, direct=2, within=3, above=2),
    "no tables": Limits(own=0, direct=0, within=0, above=0),
}


def prepared(trees: FlatTrees, limits: Limits = LIMITS) -> Program:
    return program(trees, trees._how, trees.families, limits)


def explained(
    trees: FlatTrees, X: np.ndarray, limits: Limits, loop: Any = kernel.explain_rows
) -> tuple[np.ndarray, np.ndarray]:
    """As `FlatTrees.explain`, with tables of other sizes."""
    margin, contributions = np.empty(len(X)), np.zeros((len(X), trees.n_families))
    loop(X, *prepared(trees, limits), margin, contributions)
    return margin, contributions


def shape_of(trees: FlatTrees) -> Shape:
    return Shape(*(getattr(trees, name) for name in Shape._fields))


def kinds(made: Program) -> set[int]:
    """How its parts are kept; 2 for long leaves."""
    found = set(made.runs[:: int(RUN_COLUMNS)].astype(int).tolist())
    return found | ({2} if len(made.long) else set())


@st.composite
def models(draw: st.DrawFn) -> tuple[lgb.Booster, np.ndarray]:
    """A booster and rows to score, with or without missing values in either."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features = draw(st.integers(1, 6))
    rows = draw(st.integers(10, 120))
    X = rng.normal(size=(rows, features)).round(draw(st.integers(0, 3)))
    y = rng.integers(0, 2, size=rows).astype(float)
    if draw(st.booleans()):
        y[:] = draw(st.sampled_from([0.0, 1.0]))
    if draw(st.booleans()):
        X[rng.random(X.shape) < 0.3] = np.nan
    more = {
        "num_leaves": draw(st.integers(2, 16)),
        "use_missing": draw(st.booleans()),
        "zero_as_missing": draw(st.booleans()),
        "boost_from_average": draw(st.booleans()),
        "objective": draw(st.sampled_from(["binary", "regression"])),
        "min_sum_hessian_in_leaf": draw(st.sampled_from([1e-3, 1e6])),  # 1e6: single leaves
    }
    fresh = rng.normal(size=(20, features)).round(1)
    fresh[rng.random(fresh.shape) < 0.3] = np.nan
    return booster(X, y, draw(st.integers(1, 6)), **more), np.vstack([X[:10], fresh])


@st.composite
def coded_models(draw: st.DrawFn) -> tuple[lgb.Booster, np.ndarray]:
    """A booster with sets of codes, and rows to score, with codes never seen or no codes at all."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    X, y = coded_table(
        seed,
        rows=draw(st.integers(20, 200)),
        codes=draw(st.sampled_from([2, 3, 9, 70, 150])),
        missing=draw(st.sampled_from([0.0, 0.2])),
        spread=draw(st.sampled_from([1, 1, 37])),
    )
    more = {
        **CODED,
        "num_leaves": draw(st.integers(2, 16)),
        "max_cat_to_onehot": draw(st.sampled_from([1, 4, 200])),
        "max_cat_threshold": draw(st.sampled_from([1, 8, 64])),
        "use_missing": draw(st.booleans()),
        "zero_as_missing": draw(st.booleans()),
        "objective": draw(st.sampled_from(["binary", "regression"])),
    }
    fresh = X[rng.integers(len(X), size=40)]
    odd = rng.random(fresh.shape) < 0.3
    fresh[odd] = rng.choice([*ODD_CODES, 1.0, 8.0, 69.0], size=int(odd.sum()))
    return booster(X, y, draw(st.integers(1, 6)), **more), np.vstack([X[:10], fresh])


@given(models() | coded_models())
@settings(max_examples=80, deadline=None)
def test_the_margin_is_lightgbms_to_the_last_bit(model: tuple[lgb.Booster, np.ndarray]) -> None:
    trained, X = model
    trees = FlatTrees.from_booster(trained, alone(X.shape[1]))
    expected = trained.predict(X, raw_score=True)
    assert np.array_equal(trees.margin(X), expected)
    assert np.array_equal(trees.explain(X)[0], expected)


@given(models() | coded_models())
@settings(max_examples=80, deadline=None)
def test_every_feature_its_own_family_gives_lightgbms_contributions(
    model: tuple[lgb.Booster, np.ndarray],
) -> None:
    trained, X = model
    trees = FlatTrees.from_booster(trained, alone(X.shape[1]))
    expected = trained.predict(X, pred_contrib=True)
    margin, contributions = trees.explain(X)
    np.testing.assert_allclose(contributions, expected[:, :-1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(trees.expected_margin, expected[:, -1], rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        contributions.sum(axis=1) + trees.expected_margin, margin, rtol=0, atol=1e-9
    )


@given(models() | coded_models(), st.sampled_from(sorted(FORCED)))
@settings(max_examples=120, deadline=None)
def test_each_way_to_keep_a_part_gives_lightgbms_contributions(
    model: tuple[lgb.Booster, np.ndarray], way: str
) -> None:
    trained, X = model
    trees = FlatTrees.from_booster(trained, alone(X.shape[1]))
    expected = trained.predict(X, pred_contrib=True)
    for loop in (kernel.explain_rows, explain_blocks):
        margin, contributions = explained(trees, X, FORCED[way], loop)
        assert np.array_equal(margin, trained.predict(X, raw_score=True))
        np.testing.assert_allclose(contributions, expected[:, :-1], rtol=0, atol=1e-9)


def large(features: int = 40, trees: int = 20, leaves: int = 63) -> tuple[lgb.Booster, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(1500, features))
    y = (X @ rng.normal(size=features) > 0).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    trained = booster(X, y, trees=trees, num_leaves=leaves, feature_fraction_bynode=0.2)
    return trained, X[: 3 * ROWS + 5]


def test_large_trees_use_every_way_and_are_exact() -> None:
    trained, X = large(leaves=128)
    trees = FlatTrees.from_booster(trained, alone(40))
    made = prepared(trees)
    assert kinds(made) == {DIRECT, JOINED, 2}  # else this asks too little
    assert np.diff(trees.node_start).max() > WORD  # several words a tree
    assert made.table.nbytes < 20_000_000
    expected = trained.predict(X, pred_contrib=True)
    margin, contributions = trees.explain(X)
    assert np.array_equal(margin, trained.predict(X, raw_score=True))
    np.testing.assert_allclose(contributions, expected[:, :-1], rtol=0, atol=1e-9)


def test_features_are_explained_on_request() -> None:
    trained, X = large(trees=5)
    trees = FlatTrees.from_booster(trained, [feature % 3 for feature in range(40)])
    margin, contributions = trees.explain_features(X)
    assert contributions.shape == (len(X), 40)
    assert np.array_equal(margin, trees.margin(X))
    expected = trained.predict(X, pred_contrib=True)
    np.testing.assert_allclose(contributions, expected[:, :-1], rtol=0, atol=1e-9)
    assert trees.explain(X)[1].shape == (len(X), 3)  # families stay the normal case


def test_a_leaf_that_no_training_row_reached_is_explained() -> None:
    trained, X = large(trees=3, leaves=31)
    trees = FlatTrees.from_booster(trained, [feature % 6 for feature in range(40)])
    counts = np.array(trees.leaf_count)
    counts[::2] = 0.0
    empty = replace(trees, leaf_count=counts)
    margin, contributions = empty.explain(X[:20])
    np.testing.assert_allclose(
        contributions.sum(axis=1) + empty.expected_margin, margin, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("odd", ODD_CODES)
def test_what_is_no_known_code_goes_where_lightgbm_sends_it(odd: float) -> None:
    X, y = coded_table(20, rows=400, codes=70)
    trained = booster(X, y, trees=20, **CODED)
    trees = FlatTrees.from_booster(trained, alone(5))
    assert (trees.decision == 3).sum() > 20  # else this asks nothing of sets
    X[:, [0, 2, 4]] = odd
    assert np.array_equal(trees.margin(X), trained.predict(X, raw_score=True))


def test_a_split_of_the_missing_from_the_rest_sends_infinity_with_the_rest() -> None:
    X, _ = table(21, missing=0.4)
    trained = booster(X, np.isnan(X[:, 0]).astype(float), num_leaves=2)
    trees = FlatTrees.from_booster(trained, alone(5))
    assert np.inf in trees.threshold  # else this asks nothing
    X[:5, 0] = [np.inf, 1e301, np.nan, -np.inf, 0.0]
    expected = trained.predict(X, raw_score=True)
    assert np.array_equal(trees.margin(X), expected)
    assert np.array_equal(trees.explain(X)[0], expected)
    assert np.array_equal(FlatTrees(**trees.to_dict()).margin(X), expected)


def value_of(trees: FlatTrees, row: np.ndarray, coalition: set[int]) -> float:
    """The margin when only the families of a coalition are known: cover-weighted descent."""

    def descend(tree: int, node: int) -> float:
        if node < 0:
            return float(trees.leaf_value[trees.leaf_start[tree] - 1 - node])
        at = trees.node_start[tree] + node
        left, right = int(trees.left[at]), int(trees.right[at])
        if int(trees.families[trees.feature[at]]) in coalition:
            number = row[trees.feature[at]]
            if trees.decision[at] == 3:
                words = trees.set_words[slice(*trees.set_start[int(trees.threshold[at]) :][:2])]
                bits = sum(int(np.uint64(word)) << (64 * k) for k, word in enumerate(words))
                goes_left = number > -1 and bits >> min(int(number), 10_000) & 1 == 1
            elif math.isnan(number):
                goes_left = bool(trees.default_left[at])
                if trees.decision[at] == 0:
                    goes_left = bool(trees.threshold[at] >= 0.0)
            else:
                goes_left = bool(number <= trees.threshold[at])
            return descend(tree, left if goes_left else right)

        def count(child: int) -> float:
            if child < 0:
                return float(trees.leaf_count[trees.leaf_start[tree] - 1 - child])
            return float(trees.node_count[trees.node_start[tree] + child])

        total = count(left) + count(right)
        return (count(left) * descend(tree, left) + count(right) * descend(tree, right)) / total

    return sum(
        descend(tree, 0 if trees.node_start[tree + 1] > trees.node_start[tree] else -1)
        for tree in range(len(trees.node_start) - 1)
    )


def shapley(trees: FlatTrees, row: np.ndarray, family: int) -> float:
    """The value of a family over all coalitions of the others."""
    n = trees.n_families
    others = [other for other in range(n) if other != family]
    total = 0.0
    for size in range(n):
        weight = math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
        for coalition in itertools.combinations(others, size):
            known = set(coalition)
            gain = value_of(trees, row, known | {family}) - value_of(trees, row, known)
            total += weight * gain
    return total


@pytest.mark.parametrize("families", [[0, 0, 1, 1, 2], [0, 1, 0, 2, 1], [0, 0, 0, 0, 0]])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("leaves", [4, 8, 31])
def test_family_values_are_shapley_values_over_all_coalitions(
    families: list[int], coded: bool, leaves: int
) -> None:
    X, y = coded_table(3, codes=70) if coded else table(3)
    more = {"num_leaves": leaves, **(CODED if coded else {})}
    trees = FlatTrees.from_booster(booster(X, y, trees=4, **more), families)
    assert (trees.decision == 3).any() == coded
    ways = [explained(trees, X[:4], limits)[1] for limits in FORCED.values()]
    for row, *found in zip(X[:4], trees.explain(X[:4])[1], *ways, strict=True):
        expected = [shapley(trees, row, family) for family in range(max(families) + 1)]
        for contributions in found:
            assert contributions == pytest.approx(expected, abs=1e-12)


def test_a_path_of_more_decisions_than_a_word_holds_is_exact() -> None:
    rng = np.random.default_rng(12)
    n = WORD + 20
    chain = FlatTrees(
        families=np.array([0, 1, 2]), n_families=3, node_start=np.array([0, n]),
        leaf_start=np.array([0, n + 1]), feature=rng.integers(0, 3, size=n),
        decision=np.full(n, 2), threshold=rng.normal(size=n) + 1.0,
        default_left=rng.random(n) < 0.5, left=np.append(np.arange(1, n), -n - 1),
        right=-1 - np.arange(n), node_count=np.arange(2.0 * n, 0.0, -2.0) + 1.0,
        leaf_count=np.append(np.full(n, 2.0), 1.0), leaf_value=rng.normal(size=n + 1),
        set_start=np.array([0]), set_words=np.array([], dtype=np.int64),
    )  # fmt: skip
    parts = [part for tree in divided(shape_of(chain), chain.families) for part in tree]
    assert max(len(part.above) for part in parts) > WORD  # else this asks nothing
    X = rng.normal(size=(2 * FEW, 3)) - 2.0
    X[0] = -9.0  # all the way down
    for loop in (kernel.explain_rows, explain_blocks):
        margin, contributions = explained(chain, X, LIMITS, loop)
        assert np.array_equal(margin, chain.margin(X))
        for row, found in zip(X, contributions, strict=True):
            expected = [shapley(chain, row, family) for family in range(3)]
            assert found == pytest.approx(expected, abs=1e-12)


def test_a_family_that_no_split_tests_contributes_exactly_nothing() -> None:
    X, y = table(4)
    X[:, 2] = 1.0
    trees = FlatTrees.from_booster(booster(X, y), alone(5))
    assert (trees.explain(X)[1][:, 2] == 0.0).all()


def test_a_booster_of_no_splits_gives_the_base_rate() -> None:
    X, y = table(5, rows=30)
    trained = booster(X, y, trees=1, min_data_in_leaf=1000)
    trees = FlatTrees.from_booster(trained, alone(5))
    margin, contributions = trees.explain(X)
    assert np.array_equal(margin, trained.predict(X, raw_score=True))
    assert (margin == trees.expected_margin).all()
    assert (contributions == 0.0).all()


def test_no_rows_give_no_results() -> None:
    X, y = table(6)
    margin, contributions = FlatTrees.from_booster(booster(X, y), alone(5)).explain(X[:0])
    assert margin.shape == (0,)
    assert contributions.shape == (0, 5)


@pytest.mark.parametrize("way", FORCED)
def test_the_plain_python_source_gives_the_bits_of_the_compiled(way: str) -> None:
    X, y = coded_table(7, codes=70)
    trees = FlatTrees.from_booster(booster(X, y, **CODED), [0, 1, 2, 0, 1])
    X[: len(ODD_CODES), 2] = ODD_CODES
    margin = np.empty(len(X))
    plain(kernel.margins)(
        X, trees.node_start, trees.leaf_start, trees.feature, trees._how, trees.threshold,
        trees.left, trees.right, trees.leaf_value, trees.set_start, trees.set_words, margin,
    )  # fmt: skip
    assert np.array_equal(margin, trees.margin(X))
    made = prepared(trees, FORCED[way])
    found, contributions = np.empty(len(X)), np.zeros((len(X), 3))
    plain(kernel.explain_rows)(X.tolist(), *as_lists(made), found, contributions)
    assert np.array_equal(found, margin)
    assert np.array_equal(contributions, explained(trees, X, FORCED[way])[1])


def test_a_machine_without_numba_explains_alike(tmp_path: Path) -> None:
    X, y = coded_table(7, codes=70)
    trained = booster(X, y, trees=20, num_leaves=31, **CODED)
    trees = FlatTrees.from_booster(trained, [0, 1, 2, 3, 4])
    np.savez(tmp_path / "trees.npz", X=X[:40], **trees.to_dict())
    script = (
        "import sys, numpy as np; from churn.trees import FlatTrees, HAS_NUMBA\n"
        "d = dict(np.load(sys.argv[1])); X = d.pop('X'); d['n_families'] = int(d['n_families'])\n"
        "t = FlatTrees(**d); m, c = t.explain(X); assert not HAS_NUMBA\n"
        "np.savez(sys.argv[1], m=m, c=c, f=t.explain_features(X)[1], plain=t.margin(X))\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "trees.npz")],
        env=os.environ | {"KEEPWELL_NUMBA": "0"}, check=True,
    )  # fmt: skip
    with np.load(tmp_path / "trees.npz") as there:
        assert np.array_equal(there["m"], trees.margin(X[:40]))
        assert np.array_equal(there["plain"], there["m"])
        # Smaller tables: the same sums in another order.
        for name in ("c", "f"):
            np.testing.assert_allclose(there[name], trees.explain(X[:40])[1], rtol=0, atol=1e-12)


def test_threads_that_share_the_trees_agree() -> None:
    X, y = table(8, rows=400)
    trees = FlatTrees.from_booster(booster(X, y, trees=30), alone(5))
    alone_ = trees.explain(X)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda _: trees.explain(X), range(16)))
    for margin, contributions in together:
        assert np.array_equal(margin, alone_[0])
        assert np.array_equal(contributions, alone_[1])


def test_one_row_has_the_bits_it_has_among_many() -> None:
    trained, X = large()
    trees = FlatTrees.from_booster(trained, alone(40))
    assert kinds(prepared(trees)) >= {DIRECT, JOINED}
    margin, contributions = trees.explain(X)
    for row in range(0, len(X), 9):
        for several in (1, FEW - 1, FEW, ROWS + 1):
            some_margin, some = trees.explain(X[row : row + several])
            assert np.array_equal(some_margin, margin[row : row + several])
            assert np.array_equal(some, contributions[row : row + several])


def test_rows_in_any_memory_layout_are_explained_alike() -> None:
    trained, X = large(trees=5)
    trees = FlatTrees.from_booster(trained, alone(40))
    expected = trees.explain(X)[1]
    assert np.array_equal(trees.explain(np.asfortranarray(X))[1], expected)
    assert np.array_equal(trees.explain(X[::-1])[1][::-1], expected)
    X.flags.writeable = False
    assert np.array_equal(trees.explain(X)[1], expected)


def test_trees_made_ready_have_their_tables_and_every_loop_compiled() -> None:
    X, y = table(11)
    trees = FlatTrees.from_booster(booster(X, y), alone(5))
    assert not trees._programs  # a bundle is loaded without them
    trees.make_ready()
    assert set(trees._programs) == {"families"}
    before = [loop.signatures for loop in (kernel.margins, kernel.explain_rows, explain_blocks)]
    X.flags.writeable = False
    for rows in (X[:1], X, X[::2], np.asfortranarray(X)):
        trees.explain(rows)
        trees.margin(rows)
    after = [loop.signatures for loop in (kernel.margins, kernel.explain_rows, explain_blocks)]
    assert after == before == [[*before[0]][:1], [*before[1]][:1], [*before[2]][:1]]


def test_linear_trees_are_refused() -> None:
    X, y = table(10, missing=0.0)
    with pytest.raises(BundleUnsupported, match="linear"):
        FlatTrees.from_booster(
            booster(X, y, objective="regression", data={"params": {"linear_tree": True}},
                    linear_tree=True), alone(5)
        )  # fmt: skip


def test_several_classes_are_refused() -> None:
    X, _ = table(12)
    trained = booster(X, np.arange(len(X)) % 3, objective="multiclass", num_class=3)
    with pytest.raises(BundleUnsupported, match="classes"):
        FlatTrees.from_booster(trained, alone(5))


def test_averaged_trees_are_refused() -> None:
    X, y = table(13)
    trained = booster(X, y, boosting="rf", bagging_freq=1, bagging_fraction=0.5)
    with pytest.raises(BundleUnsupported, match="averages"):
        FlatTrees.from_booster(trained, alone(5))


@pytest.fixture(scope="module")
def sound() -> FlatTrees:
    X, y = coded_table(14, codes=70)
    return FlatTrees.from_booster(booster(X, y, **CODED), alone(5))


def a_set(trees: FlatTrees) -> int:
    """A node that decides by a set of codes."""
    return int(np.flatnonzero(trees.decision == 3)[0])


def with_entry(array: np.ndarray, at: int, value: Any) -> np.ndarray:
    changed = array.copy()
    changed[at] = value
    return changed


DAMAGE: dict[str, tuple[str, Any]] = {
    "a feature that does not exist": ("feature", lambda t: with_entry(t.feature, 0, 5)),
    "a negative feature": ("feature", lambda t: with_entry(t.feature, 0, -1)),
    "a family that does not exist": ("families", lambda t: with_entry(t.families, 0, 5)),
    "a child out of range": ("left", lambda t: with_entry(t.left, 0, 10_000)),
    "a leaf out of range": ("right", lambda t: with_entry(t.right, 0, -10_000)),
    "a node that is its own child": ("left", lambda t: with_entry(t.left, 0, 0)),
    "two parents": ("left", lambda t: with_entry(t.left, 0, t.right[0])),
    "an unknown kind of decision": ("decision", lambda t: with_entry(t.decision, 0, 4)),
    "an infinite leaf": ("leaf_value", lambda t: with_entry(t.leaf_value, 0, np.inf)),
    "a threshold that is none": ("threshold", lambda t: with_entry(t.threshold, 0, np.nan)),
    "a node no row reached": ("node_count", lambda t: with_entry(t.node_count, 0, 0.0)),
    "a negative count": ("leaf_count", lambda t: with_entry(t.leaf_count, 0, -1.0)),
    "a shorter column": ("default_left", lambda t: t.default_left[:-1]),
    "fewer counts than leaves": ("leaf_count", lambda t: t.leaf_count[:-1]),
    "trees that overlap": ("node_start", lambda t: with_entry(t.node_start, 1, 10_000)),
    "a tree without an end": ("leaf_start", lambda t: t.leaf_start[:-1]),
    "no trees at all": ("node_start", lambda t: t.node_start[:0]),
    "another type": ("threshold", lambda t: t.threshold.astype(np.float32)),
    "a list": ("left", lambda t: t.left.tolist()),
    "a table": ("right", lambda t: t.right.reshape(1, -1)),
    "a set that does not exist": ("threshold", lambda t: with_entry(t.threshold, a_set(t), 1e6)),
    "a set before the first": ("threshold", lambda t: with_entry(t.threshold, a_set(t), -1.0)),
    "half a set": ("threshold", lambda t: with_entry(t.threshold, a_set(t), 0.5)),
    "sets that overlap": ("set_start", lambda t: with_entry(t.set_start, 1, 10_000)),
    "a set without words": ("set_start", lambda t: with_entry(t.set_start, 1, 0)),
    "a set without an end": ("set_start", lambda t: t.set_start[:-1]),
    "sets so far apart that their lengths overflow": (
        "set_start",
        lambda t: with_entry(with_entry(t.set_start, 1, 2**63 - 1), 2, -5),
    ),
    "trees so far apart that their sizes overflow": (
        "node_start",
        lambda t: with_entry(with_entry(t.node_start, 1, 2**63 - 1), 2, -5),
    ),
    "sets without a start": ("set_start", lambda t: with_entry(t.set_start, 0, -1)),
    "no sets at all": ("set_start", lambda t: t.set_start[:0]),
    "fewer words than the sets have": ("set_words", lambda t: t.set_words[:-1]),
    "words of another type": ("set_words", lambda t: t.set_words.astype(np.int32)),
    "families without a number": ("n_families", lambda t: 2.5),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_arrays_that_are_no_trees_are_refused_by_name(sound: FlatTrees, damage: str) -> None:
    name, make = DAMAGE[damage]
    with pytest.raises(BundleCorrupt, match=r"the model's trees are damaged: .+; publish"):
        replace(sound, **{name: make(sound)})


def test_sound_arrays_are_restored_from_their_dictionary(sound: FlatTrees) -> None:
    X, _ = coded_table(15, codes=80)
    assert np.array_equal(FlatTrees(**sound.to_dict()).margin(X), sound.margin(X))


def test_nodes_that_are_each_others_children_are_refused() -> None:
    X, y = table(16)
    trees = FlatTrees.from_booster(booster(X, y, trees=1, num_leaves=4), alone(5))
    assert len(trees.left) == 3
    with pytest.raises(BundleCorrupt, match="before its parent"):
        replace(trees, left=np.array([-1, 2, 1]), right=np.array([-2, -3, -4]))
