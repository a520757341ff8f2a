import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.errors import TooLittleData
from training import metrics
from training.metrics import ece_floor, evaluate, reliability_bins


def test_ranking_agrees_with_scikit_learns_documented_example():
    got = evaluate([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    assert got.roc_auc == 0.75
    assert got.pr_auc == pytest.approx(0.8333, abs=1e-4)


def test_log_loss_agrees_with_scikit_learns_documented_example():
    assert evaluate([1, 0, 0, 1], [0.9, 0.1, 0.2, 0.65]).log_loss == pytest.approx(
        0.21616, abs=1e-5
    )


def test_brier_agrees_with_scikit_learns_documented_example():
    assert evaluate([0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3]).brier == pytest.approx(0.0375)


def test_ece_agrees_with_a_hand_computed_example():
    # Twenty customers, two to a bin; by hand: each bin of a stayer and a churner is off by
    # |.5 - p|, so the mean is (.45+.35+.25+.15+.05) * 2 / 10.
    probability = np.repeat(np.arange(10) / 10 + 0.05, 2) + np.tile([-1e-9, 1e-9], 10)
    assert evaluate(np.tile([0, 1], 10), probability).ece == pytest.approx(0.25)


def test_ece_bins_are_those_of_array_split_when_customers_do_not_divide_by_ten():
    rng = np.random.default_rng(3)
    p = rng.random(37)
    y = rng.random(37) < p**2
    bins = np.array_split(np.argsort(p), 10)
    by_hand = sum(abs(y[b].mean() - p[b].mean()) * len(b) for b in bins) / 37
    assert evaluate(y, p).ece == pytest.approx(by_hand)


def test_top_decile_lift_agrees_with_a_hand_computed_example():
    # The two riskiest of twenty both churn, five of twenty churn: 1 / .25.
    y = np.zeros(20)
    y[[0, 1, 2, 18, 19]] = 1
    assert evaluate(y, np.linspace(0.01, 0.99, 20)).top_decile_lift == pytest.approx(4.0)


def test_a_constant_probability_ranks_nobody_and_is_off_by_the_rate_alone():
    got = evaluate([1] * 3 + [0] * 7, [0.5] * 10)
    assert got.roc_auc == 0.5
    assert got.top_decile_lift == pytest.approx(1.0)
    assert got.ece == pytest.approx(0.2)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.3, 0.3000001, 0.9])),
        min_size=1,
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_no_figure_depends_on_the_order_of_the_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    one = evaluate(*np.array(rows, dtype=float).T).to_dict()
    other = evaluate(*np.array(shuffled, dtype=float).T).to_dict()
    for name, value in one.items():
        assert other[name] == (value if value is None else pytest.approx(value, abs=1e-12))


def test_one_class_has_no_ranking_but_still_a_loss():
    stayed, left = evaluate([0, 0, 0], [0.1, 0.2, 0.3]), evaluate([1, 1], [0.5, 0.75])
    assert (stayed.roc_auc, stayed.pr_auc, stayed.top_decile_lift) == (None, None, None)
    assert stayed.log_loss > 0
    assert (left.roc_auc, left.pr_auc, left.top_decile_lift) == (None, None, 1.0)


def test_one_customer_is_enough_for_what_can_be_said_of_one():
    got = evaluate([1], [0.75])
    assert (got.n, got.churn_rate, got.ece, got.brier) == (1, 1.0, 0.25, 0.0625)


def test_nobody_to_evaluate_is_said_in_words():
    with pytest.raises(TooLittleData, match="no customer"):
        evaluate([], [])


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 1], [0.1]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, 1.5]), ([0, 1], [0.1, np.nan])],
)
def test_what_is_no_label_or_no_probability_is_refused(y, p):
    with pytest.raises(ValueError, match=r"shape|labels|probabilities"):
        evaluate(y, p)


@pytest.mark.parametrize(
    ("churners", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_reliability_intervals_agree_with_newcombe_1998_table_1(churners, n, low, high):
    (only,) = reliability_bins([1] * churners + [0] * (n - churners), [0.3] * n, bins=1)
    assert (only.low, only.high) == pytest.approx((low, high), abs=5e-5)
    assert (only.customers, only.probability) == (n, pytest.approx(0.3))


def test_reliability_bins_never_outnumber_the_customers():
    assert len(reliability_bins([0, 1, 1], [0.2, 0.5, 0.9])) == 3


def test_the_floor_of_ece_matches_a_perfect_models_mean():
    # ECE of a perfect model: the mean of |N(0, p(1-p)/(n/10))|, that is sqrt(2/pi) of its sd.
    p = np.full(3000, 0.3)
    p += np.linspace(0, 1e-9, 3000)
    floor = ece_floor(p, seed=1)
    assert floor.mean == pytest.approx(np.sqrt(2 / np.pi * 0.3 * 0.7 / 300), rel=0.05)
    assert floor.p95 > floor.mean


def test_the_floor_is_the_same_for_the_same_seed_and_any_order():
    p = np.random.default_rng(0).beta(2, 3, 500)
    assert ece_floor(p, seed=5) == ece_floor(p[::-1], seed=5)
    assert ece_floor(p, seed=5) != ece_floor(p, seed=6)


def test_documented_examples_run():
    assert doctest.testmod(metrics).failed == 0


def test_the_floor_of_a_large_test_is_simulated_less_often_and_is_as_right():
    p = np.linspace(0.3, 0.3 + 1e-9, 200_000)
    assert ece_floor(p, seed=1) == ece_floor(p, seed=1, repeats=200)
    assert ece_floor(p, seed=1).mean == pytest.approx(np.sqrt(2 / np.pi * 0.21 / 20_000), rel=0.1)
