import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from training.separation import Rates, added_separation, separation, standard_error

N = 4000


def auc(column: np.ndarray, label: np.ndarray) -> float:
    told = separation(None, column, label)
    assert told is not None
    return told.auc


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_rising_relation_has_the_roc_auc_of_the_column_itself(rng):
    column = rng.normal(size=N)
    label = rng.random(N) < 1 / (1 + np.exp(-column))
    assert auc(column, label) == pytest.approx(roc_auc_score(label, column), abs=0.01)


def test_a_relation_that_rises_and_falls_is_seen(rng):
    column = rng.normal(size=N)
    label = np.abs(column) < 0.5
    assert roc_auc_score(label, column) == pytest.approx(0.5, abs=0.03)
    assert auc(column, label) > 0.95


def test_what_is_missing_counts_as_a_value(rng):
    label = rng.random(N) < 0.5
    column = np.where(label & (rng.random(N) < 0.6), np.nan, rng.normal(size=N))
    assert auc(column, label) == pytest.approx(0.8, abs=0.03)


def test_a_rare_flag_is_not_lost_between_quantiles(rng):
    label = rng.random(N) < 0.5
    flag = (label & (rng.random(N) < 0.02)).astype(float)
    told = auc(flag, label)
    assert told == pytest.approx(roc_auc_score(label, flag), abs=0.005)
    assert told > 0.5


def test_categories_as_codes_need_no_order(rng):
    label = rng.random(N) < 0.5
    code = np.where(label, rng.choice([1.0, 3.0, 5.0], N), rng.choice([2.0, 4.0, 6.0], N))
    assert auc(code, label) > 0.99


def test_noise_of_any_kind_tells_nothing(rng):
    label = rng.random(N) < 0.3
    for noise in (rng.normal(size=N), rng.integers(0, 900, N), rng.integers(0, 2, N)):
        assert auc(noise.astype(float), label) == pytest.approx(0.5, abs=0.03)
    assert auc(np.full(N, np.nan), label) == 0.5


def test_what_was_learnt_on_earlier_rows_counts_where_it_still_holds(rng):
    label = rng.random(80) < 0.5
    column = label + rng.normal(0, 1, 80)
    past_label = rng.random(N) < 0.5
    past = past_label + rng.normal(0, 1, N)
    alone, with_past = (
        separation(None, column, label),
        separation(Rates.of(past, past_label), column, label),
    )
    assert alone is not None
    assert with_past is not None
    assert with_past.auc > alone.auc


def test_too_few_of_a_kind_give_no_figure(rng):
    label = np.arange(100) < 29
    assert separation(None, rng.normal(size=100), label) is None
    assert added_separation(rng.normal(size=100), label, rng.random(100)) is None


def test_the_standard_error_is_that_of_repeated_draws(rng):
    drawn = []
    for _ in range(400):
        label = np.arange(300) < 100
        drawn.append(roc_auc_score(label, label * 1.0 + rng.normal(size=300)))
    # Hanley and McNeil's formula is slightly too large, never too small, for normal scores.
    assert standard_error(float(np.mean(drawn)), 100, 200) == pytest.approx(np.std(drawn), rel=0.2)


def test_an_echo_of_the_expectation_adds_nothing(rng):
    expected = rng.uniform(0.05, 0.95, N)
    label = rng.random(N) < expected
    echo = np.log(expected) + rng.normal(0, 0.05, N)
    assert auc(echo, label) > 0.75
    added = added_separation(echo, label, expected)
    assert added is not None
    assert added.auc < 0.56


def test_news_adds_to_the_expectation_whatever_the_column_looks_like(rng):
    expected = rng.uniform(0.05, 0.95, N)
    label = rng.random(N) < expected
    for news in (
        np.where(rng.random(N) < 0.3, ~label, label).astype(float),
        np.where(label & (rng.random(N) < 0.4), np.nan, 1.0),
    ):
        added = added_separation(news, label, expected)
        assert added is not None
        assert added.auc == pytest.approx(0.7, abs=0.03)
