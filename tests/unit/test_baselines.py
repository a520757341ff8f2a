from dataclasses import replace

import numpy as np
import pytest

from churn.errors import TooLittleData
from churn.features import FEATURE_NAMES
from training.baselines import BASELINES, RFM, SIMPLE_FEATURES, BaselineData, predict_baselines
from training.metrics import evaluate

NAMES = (*dict.fromkeys((*RFM, *SIMPLE_FEATURES)), "something_else")


def shop(n, seed):
    """Customers whose churn rises with silence and falls with the number of purchases."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, 20.0, (n, len(NAMES)))
    days = rng.poisson(2.0, n) + 1.0
    tenure = rng.uniform(30, 400, n)
    silence = np.where(days == 1, tenure, tenure * rng.random(n))
    for name, column in (
        ("purchase_days_total", days),
        ("tenure_days", tenure),
        ("days_since_last_purchase", silence),
    ):
        X[:, NAMES.index(name)] = column
    odds = 1.5 * np.log1p(silence) - np.log(days) - 5.5
    return BaselineData(X, NAMES, rng.random(n) < 1 / (1 + np.exp(-odds)), everyone=X)


def test_every_baseline_is_named_as_the_backtest_prints_it():
    assert list(BASELINES) == ["recency_lr", "rfm_lr", "bgnbd", "lightgbm_default"]


def test_the_loop_computes_every_feature_that_a_baseline_asks_for():
    assert set(RFM) | set(SIMPLE_FEATURES) <= set(FEATURE_NAMES)


def test_every_baseline_learns_that_silence_is_dangerous():
    train, test = shop(2000, 1), shop(2000, 2)
    for name, probability in predict_baselines(train, test, 60, seed=7).items():
        assert probability.shape == (2000,), name
        assert evaluate(test.is_churn, probability).roc_auc > 0.6, name


def test_no_baseline_looks_at_the_labels_it_is_asked_for():
    train, test = shop(500, 1), shop(300, 2)
    blind = replace(test, is_churn=~test.is_churn)
    one = predict_baselines(train, test, 60, seed=7)
    other = predict_baselines(train, blind, 60, seed=7)
    for name in BASELINES:
        np.testing.assert_array_equal(one[name], other[name])


def test_missing_cheques_and_unused_columns_disturb_nobody():
    train, test = shop(500, 1), shop(300, 2)
    for data in (train, test):
        data.X[::3, NAMES.index("average_cheque")] = np.nan
        data.X[:, NAMES.index("last_cheque")] = np.nan
        data.X[:, NAMES.index("something_else")] = np.nan
    for name, probability in predict_baselines(train, test, 60, seed=7).items():
        assert np.isfinite(probability).all(), name


def test_a_feed_that_nobody_has_is_survived():
    train, test = shop(500, 1), shop(300, 2)
    for data in (train, test):
        data.X[:, NAMES.index("average_cheque")] = np.nan
    assert np.isfinite(predict_baselines(train, test, 60, seed=7)["rfm_lr"]).all()


def test_columns_are_found_by_name_not_by_place():
    train, test = shop(500, 1), shop(300, 2)
    backwards = replace(
        train, X=train.X[:, ::-1], names=NAMES[::-1], everyone=train.everyone[:, ::-1]
    )
    one = predict_baselines(train, test, 60, seed=7)
    other = predict_baselines(backwards, test, 60, seed=7)
    for name in BASELINES:
        np.testing.assert_allclose(one[name], other[name])


def test_bgnbd_learns_from_those_who_left_as_well():
    train, test = shop(3000, 1), shop(300, 2)
    silence = train.X[:, NAMES.index("days_since_last_purchase")]
    active = replace(train, everyone=train.X[silence < 60])
    one, other = (predict_baselines(t, test, 60, seed=7)["bgnbd"] for t in (train, active))
    assert one.mean() > other.mean() + 0.02
    with pytest.raises(ValueError, match="everyone"):
        predict_baselines(replace(train, everyone=None), test, 60, seed=7)


@pytest.mark.parametrize("outcome", [False, True])
def test_one_outcome_only_is_said_in_words(outcome):
    train = shop(50, 1)
    with pytest.raises(TooLittleData, match="same outcome"):
        predict_baselines(replace(train, is_churn=np.full(50, outcome)), train, 60, seed=7)
