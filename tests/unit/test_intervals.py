import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from training.intervals import Bootstrap, compare, enough_repeats, intervals


def shop(n, seed=0):
    """Customers with known probabilities, rounded so that ties occur."""
    rng = np.random.default_rng(seed)
    probability = np.clip(rng.beta(2, 2, n).round(2), 0.01, 0.99)
    return rng.random(n) < probability, probability


def test_values_are_scikit_learns():
    y, p = shop(500)
    worse = np.clip(p + 0.2, 0, 1)
    single, pair = intervals(y, p, seed=1), compare(y, p, worse, seed=1)
    assert single["roc_auc"].value == pytest.approx(roc_auc_score(y, p))
    assert single["log_loss"].value == pytest.approx(log_loss(y, p))
    assert pair["log_loss"].value == pytest.approx(log_loss(y, p) - log_loss(y, worse))


def test_a_bootstrap_draw_is_scikit_learns_auc_of_the_resampled_rows():
    y, p = shop(40)
    rows = np.random.default_rng(9).integers(40, size=40)
    got = intervals(y, p, seed=9, repeats=1)["roc_auc"]
    assert got.low == got.high == pytest.approx(roc_auc_score(y[rows], p[rows]))


def test_the_better_model_is_told_from_the_worse_and_signs_say_which():
    y, p = shop(2000)
    noise = np.random.default_rng(1).normal(0, 0.3, len(p))
    found = compare(y, p, np.clip(p + noise, 0.01, 0.99), seed=1)
    assert found["roc_auc"].low > 0
    assert found["log_loss"].high < 0


def test_a_model_against_itself_differs_by_nothing():
    y, p = shop(200)
    found = compare(y, p, p, seed=1, repeats=50)
    assert found["roc_auc"] == (0, 0, 0)
    assert found["log_loss"] == (0, 0, 0)


def test_a_paired_difference_is_surer_than_either_model_alone():
    y, p = shop(1000)
    q = np.clip(p + np.random.default_rng(1).normal(0, 0.02, len(p)), 0.01, 0.99)
    alone, paired = intervals(y, p, seed=1)["roc_auc"], compare(y, p, q, seed=1)["roc_auc"]
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_ninety_five_percent_intervals_hold_the_truth_about_that_often():
    # Equal true probabilities in two groups: the AUC of p is known in closed form.
    rng = np.random.default_rng(2)
    p = np.repeat([0.2, 0.6], 100)
    truth = 0.5 + 0.5 * (0.6 * 0.8 - 0.2 * 0.4) / (0.8 * 1.2)
    held = 0
    for seed in range(100):
        auc = intervals(rng.random(200) < p, p, seed=seed, repeats=200)["roc_auc"]
        held += auc.low <= truth <= auc.high
    assert 88 <= held <= 99


def test_one_class_has_an_interval_of_loss_only():
    found = intervals([0, 0, 0], [0.1, 0.2, 0.3], seed=1, repeats=20)
    assert found["roc_auc"] is None
    assert found["log_loss"].low <= found["log_loss"].value <= found["log_loss"].high


def test_tiny_samples_and_certain_mistakes_stay_finite():
    found = compare([0, 1, 1], [1.0, 0.0, 0.5], [0.5, 0.5, 0.5], seed=1)
    assert np.isfinite([*found["roc_auc"], *found["log_loss"]]).all()


def test_the_same_seed_gives_the_same_interval():
    y, p = shop(100)
    assert intervals(y, p, seed=4) == intervals(y, p, seed=4)
    assert intervals(y, p, seed=4) != intervals(y, p, seed=5)


def test_several_dates_give_the_mean_of_their_figures():
    (y, p), (z, q) = shop(300), shop(500, seed=1)
    both = np.concatenate([y, z]), {"model": np.concatenate([p, q])}
    found = Bootstrap(*both, seed=1, repeats=10, as_of=[1] * 300 + [2] * 500).of("model")
    aucs = roc_auc_score(y, p), roc_auc_score(z, q)
    assert found["roc_auc"].value == pytest.approx(np.mean(aucs))
    assert found["log_loss"].value == pytest.approx((log_loss(y, p) + log_loss(z, q)) / 2)


def test_the_same_customers_seen_again_make_nothing_surer():
    y, p = shop(300)
    twice = np.tile(y, 2), {"model": np.tile(p, 2)}
    dates, people = np.repeat([1, 2], 300), np.tile([f"c{i:03}" for i in range(300)], 2)
    once = intervals(y, p, seed=1)
    again = Bootstrap(*twice, seed=1, customer_id=people, as_of=dates).of("model")
    strangers = Bootstrap(*twice, seed=1, as_of=dates).of("model")
    for metric in ("roc_auc", "log_loss"):
        assert again[metric] == pytest.approx(once[metric])
        assert strangers[metric].high - strangers[metric].low < 0.8 * (
            again[metric].high - again[metric].low
        )


def test_a_large_test_is_resampled_less_often_and_a_small_one_not_more():
    assert [enough_repeats(n) for n in (1, 10_000, 100_000, 10_000_000)] == [1000, 1000, 400, 200]
