import os
from pathlib import Path

import numpy as np
import pytest

from training import bgnbd
from training.bgnbd import BgNbd

# Fader, Hardie & Lee (2005), table 2: CDNOW, a sample of 2,357 customers, time in weeks.
PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


def one(value):
    return np.array([value], dtype=float)


def histories(model, n, age, seed):
    """Simulate the paper's story, purchase by purchase: x, t_x, and each one's next purchase."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(model.r, 1 / model.alpha, n)
    quit_chance = rng.beta(model.a, model.b, n)
    x, t_x, following = np.zeros(n), np.zeros(n), np.full(n, np.inf)
    active = np.ones(n, dtype=bool)
    while active.any():
        upcoming = t_x[active] + rng.exponential(1 / np.maximum(rate[active], 1e-300))
        who = np.flatnonzero(active)
        late = upcoming >= age
        following[who[late]] = upcoming[late]
        who, upcoming = who[~late], upcoming[~late]
        x[who] += 1
        t_x[who] = upcoming
        active[:] = False
        active[who] = rng.random(len(who)) >= quit_chance[who]
    return x, t_x, following


def lives(model, n, age, end, seed):
    """The same story beyond `age`: x and t_x at that time, and purchases from there to `end`."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(model.r, 1 / model.alpha, n)
    quit_chance = rng.beta(model.a, model.b, n)
    x, t_x, later, now = np.zeros((4, n))
    active = np.arange(n)
    while len(active):
        now[active] += rng.exponential(1 / np.maximum(rate[active], 1e-300))
        active = active[now[active] < end]
        before = active[now[active] < age]
        x[before] += 1
        t_x[before] = now[before]
        later[active[now[active] >= age]] += 1
        active = active[rng.random(len(active)) >= quit_chance[active]]
    return x, t_x, later


def test_the_published_customers_expected_purchases_come_out():
    # Fader & Hardie's spreadsheet note: x=2, t_x=30.43, T=38.86 gives 1.226 in 39 more weeks.
    got = PUBLISHED.expected_purchases(one(2), one(30.43), one(38.86), 39.0)
    assert got == pytest.approx(1.226, abs=5e-4)


def test_expected_purchases_are_as_many_as_in_a_simulated_shop():
    model, age, horizon = BgNbd(0.8, 4.0, 1.8, 2.4), 30.0, 12.0
    x, t_x, later = lives(model, 100_000, age, age + horizon, seed=4)
    predicted = model.expected_purchases(x, t_x, np.full(len(x), age), horizon)
    for group in (x == 0, (x >= 1) & (x < 4), x >= 4):
        error = later[group].std() / np.sqrt(group.sum())
        assert later[group].mean() == pytest.approx(predicted[group].mean(), abs=4 * error)


def test_no_purchase_comes_as_often_as_in_a_simulated_shop():
    model, age, horizon = BgNbd(0.8, 4.0, 0.8, 2.4), 30.0, 6.0
    x, t_x, following = histories(model, 200_000, age, seed=1)
    none = following >= age + horizon
    predicted = model.probability_of_no_purchase(x, t_x, np.full(len(x), age), horizon)
    for group in (x == 0, (x >= 1) & (t_x < 15), (x >= 1) & (t_x >= 15), x >= 6):
        error = np.sqrt(0.25 / group.sum())
        assert none[group].mean() == pytest.approx(predicted[group].mean(), abs=4 * error)


def test_a_new_customers_empty_horizon_has_the_papers_closed_form():
    # P(X(t) = 0) = (alpha / (alpha + t)) ** r.
    got = PUBLISHED.probability_of_no_purchase(one(0), one(0), one(0), 10.0)
    assert got == pytest.approx((4.414 / 14.414) ** 0.243)


def test_a_fit_recovers_the_parameters_of_a_simulated_shop():
    true = BgNbd(0.8, 4.0, 0.8, 2.4)
    x, t_x, _ = histories(true, 20_000, 40.0, seed=2)
    age = np.full(len(x), 40.0)
    found = bgnbd.fit(x, t_x, age)
    assert (found.r, found.alpha) == pytest.approx((true.r, true.alpha), rel=0.1)
    assert found.a / (found.a + found.b) == pytest.approx(0.25, rel=0.1)
    best, truth = (m.log_likelihood(x, t_x, age).sum() for m in (found, true))
    assert truth <= best <= truth + 10


def test_a_fit_does_not_depend_on_the_unit_of_time():
    x, t_x, _ = histories(PUBLISHED, 5_000, 39.0, seed=3)
    age = np.full(len(x), 39.0)
    weeks, days = bgnbd.fit(x, t_x, age), bgnbd.fit(x, 7 * t_x, 7 * age)
    assert (days.r, days.alpha / 7, days.a, days.b) == pytest.approx(
        (weeks.r, weeks.alpha, weeks.a, weeks.b), rel=1e-3
    )


def test_nobody_has_come_back_yet_and_still_there_is_an_answer():
    nothing, age = np.zeros(50), np.full(50, 30.0)
    model = bgnbd.fit(nothing, nothing, age)
    empty = model.probability_of_no_purchase(nothing, nothing, age, 60.0)
    assert ((empty > 0.5) & (empty <= 1)).all()


def test_very_active_customers_do_not_overflow():
    got = PUBLISHED.probability_of_no_purchase(one(2_000), one(10.0), one(5_000.0), 60.0)
    assert got == pytest.approx(1.0)


@pytest.mark.skipif("KEEPWELL_EVAL_DATA" not in os.environ, reason="needs KEEPWELL_EVAL_DATA")
def test_the_published_fit_lies_among_those_of_ten_disjoint_tenths_of_cdnow():
    duckdb = pytest.importorskip("duckdb")
    path = Path(os.environ["KEEPWELL_EVAL_DATA"]) / "cdnow.parquet"
    rows = duckdb.sql(f"""
        SELECT customer_id, (count(DISTINCT date::date) - 1)::DOUBLE AS x,
               (max(date::date) - min(date::date)) / 7.0::DOUBLE AS t_x,
               (DATE '1997-09-30' - min(date::date)) / 7.0::DOUBLE AS age
        FROM '{path}' WHERE date < '1997-10-01' GROUP BY customer_id""").fetchnumpy()
    assert len(rows["x"]) == 23_570
    fits, likelihoods = [], []
    for tenth in range(10):
        chosen = rows["customer_id"] % 10 == tenth
        history = [rows[name][chosen].astype(float) for name in ("x", "t_x", "age")]
        fits.append(bgnbd.fit(*history))
        likelihoods.append(fits[-1].log_likelihood(*history).sum())
        assert 0 <= likelihoods[-1] - PUBLISHED.log_likelihood(*history).sum() < 20
    for name in ("r", "alpha", "a", "b"):
        values = [getattr(model, name) for model in fits]
        assert min(values) < getattr(PUBLISHED, name) < max(values)
    # Table 2 again: a log likelihood of -9,582.4.
    assert min(likelihoods) < -9_582.4 < max(likelihoods)
