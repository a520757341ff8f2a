import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from churn.errors import BundleCorrupt
from churn.linear import Linear
from training.linear import RESTRAINT, SHARE, fit_linear

FAMILY = np.array([0, 1, 1, 0], dtype=np.int64)
RNG = np.random.default_rng(4)


def columns(n: int = 4000) -> np.ndarray:
    X = np.random.default_rng(4).gamma(2.0, 8.0, size=(n, 4))
    X[:, 1] -= 20.0
    X[::5, 2] = np.nan
    return X


def labels(X: np.ndarray) -> np.ndarray:
    margin = np.log1p(X[:, 0]) - 0.05 * X[:, 1] - 2.5
    draws = np.random.default_rng(5).random(len(X))
    return np.asarray(draws < 1 / (1 + np.exp(-margin)))


@pytest.fixture(scope="module")
def linear() -> Linear:
    X = columns()
    return fit_linear(X, np.array([0, 1, 2]), np.array([0, 1, 2, 3]), labels(X), seed=7)


def test_it_is_the_regression_of_standardised_logarithms(linear: Linear) -> None:
    X = columns()[:, :3]
    logs = np.sign(X) * np.log1p(np.abs(X))
    logs[::5, 2] = np.nanmedian(logs[:, 2])
    z = np.clip((logs - logs.mean(axis=0)) / logs.std(axis=0), -5, 5)
    model = LogisticRegression(C=RESTRAINT, max_iter=200).fit(z, labels(columns()))
    trees = np.linspace(-2.0, 2.0, len(X))
    expected = (1 - SHARE) * trees + SHARE * model.decision_function(z)
    assert linear.blend(columns(), trees) == pytest.approx(expected, abs=1e-6)


def test_contributions_add_up_to_the_margin(linear: Linear) -> None:
    X = columns(500)
    of_trees = RNG.normal(size=(500, 2))
    contributions = of_trees.copy()
    linear.contribute(X, contributions, FAMILY)
    margin = linear.blend(X, 0.3 + of_trees.sum(axis=1))
    expected_margin = (1 - SHARE) * 0.3 + SHARE * linear.expected
    assert expected_margin + contributions.sum(axis=1) == pytest.approx(margin, abs=1e-12)


def test_a_family_gets_what_its_own_columns_add(linear: Linear) -> None:
    X = columns(1)
    before, after = np.zeros((1, 2)), np.zeros((1, 2))
    linear.contribute(X, before, FAMILY)
    X[0, 1] += 3.0
    linear.contribute(X, after, FAMILY)
    assert after[0, 0] == before[0, 0]
    assert after[0, 1] < before[0, 1]  # more of it kept customers


def test_the_average_row_learnt_from_is_expected(linear: Linear) -> None:
    X = columns()
    own = (linear.blend(X, np.zeros(len(X))) / SHARE).mean()
    assert own == pytest.approx(linear.expected, abs=1e-9)


def test_a_column_that_it_does_not_read_changes_nothing(linear: Linear) -> None:
    X = columns(10)
    before = linear.blend(X, np.zeros(10))
    X[:, 3] = np.nan
    assert np.array_equal(linear.blend(X, np.zeros(10)), before)


def test_an_enormous_value_counts_as_five_deviations(linear: Linear) -> None:
    X = np.array([[1e300, 0.0, 5.0, 0.0], [1e9, 0.0, 5.0, 0.0]])
    first, second = linear.blend(X, np.zeros(2))
    assert first == second
    assert math.isfinite(first)


def test_a_column_without_any_value_is_left_out() -> None:
    X = columns()
    X[:, 2] = np.nan
    found = fit_linear(X, np.array([0, 1, 2]), np.array([10, 11, 12, 13]), labels(X), seed=7)
    assert found.column.tolist() == [10, 11]


def test_a_constant_column_says_nothing() -> None:
    X = columns()
    X[:, 2] = 4.0
    found = fit_linear(X, np.array([0, 1, 2]), np.array([0, 1, 2, 3]), labels(X), seed=7)
    assert found.weight[2] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"share": 1.5},
        {"share": 0.0},
        {"scale": np.zeros(3)},
        {"weight": np.array([0.0, np.nan, 1.0])},
        {"weight": np.zeros(2)},
        {"column": np.array([-1, 0, 1])},
        {"column": np.array([0.0, 1.0, 2.0])},
        {"intercept": math.inf},
        {"center": [0.0, 0.0, 0.0]},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_damaged_parts_are_refused(linear: Linear, wrong: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt, match="linear part is damaged"):
        replace(linear, **wrong)


def test_plain_values_restore_it(linear: Linear) -> None:
    again = Linear(**linear.to_dict())
    X = columns(20)
    assert np.array_equal(again.blend(X, np.zeros(20)), linear.blend(X, np.zeros(20)))
