import math
from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURES, POSITION
from training.calendar import Calendar
from training.value.fit import FEWEST_DATES, LEAST_LATER_DAYS, Window
from training.value.learn import MIN_ROWS, learn_value
from training.value.loss import fit_loss
from training.value.rows import ValueRows

HOW = {"days": 365, "horizon_days": 60, "window_days": 212, "margin_rate": 0.25}


def shop(n: int = 15_000, seed: int = 1) -> ValueRows:
    """Customers who order at a rate of their own until they leave, each with cheques of their own.

    A row is a customer after 300 days; whoever is not lost buys within 60 days by their rate.
    """
    rng = np.random.default_rng(seed)
    rate = rng.gamma(1.5, 1 / 60.0, n)  # orders a day
    orders = 1.0 + rng.poisson(300.0 * rate)
    stays = rng.random(n) < 0.6
    silence = np.where(stays, rng.exponential(1 / rate), rng.uniform(60, 180, n)).clip(0, 180)
    level = rng.lognormal(3.0, 0.5, n)
    within = np.where(stays, rng.poisson(60.0 * rate), 0.0)
    later = np.where(stays, rng.poisson(152.0 * rate), 0.0)
    X = np.full((n, len(FEATURES)), np.nan)
    for name, column in {
        "days_since_last_purchase": silence,
        "tenure_days": np.full(n, 300.0),
        "purchases_total": orders,
        "purchases_90d": rng.binomial(orders.astype(np.int64), 0.3).astype(np.float64),
        "purchases_365d": orders,
        "purchases_per_month": orders / 10.0,
        "purchase_days_total": orders,
        "is_one_time_buyer": (orders == 1.0).astype(np.float64),
        "silence_over_own_gap": np.where(orders > 1.0, silence * orders / 300.0, np.nan),
        "average_cheque": level * rng.gamma(4.0 * orders) / (4.0 * orders),
        "spend_total": orders * level,
    }.items():
        X[:, POSITION[name]] = column

    def spent(count: np.ndarray) -> np.ndarray:
        return level * rng.gamma(np.maximum(4.0 * count, 1e-9)) / 4.0 * (count > 0)

    ids = np.array([f"c{k}" for k in range(n)], dtype=object)
    as_of = np.full(n, 300 * DAY)
    last = rng.binomial(later.astype(np.int64), 0.5).astype(np.float64)
    return ValueRows(X, as_of, within, spent(within), later, spent(later), last, ids)


def part(rows: ValueRows, chosen: np.ndarray) -> ValueRows:
    return ValueRows(*(getattr(rows, name)[chosen] for name in rows.__dataclass_fields__))


@pytest.fixture(scope="module")
def rows() -> ValueRows:
    return shop()


def test_each_part_expects_as_many_orders_as_came(rows: ValueRows) -> None:
    learnt = part(rows, np.arange(len(rows)) % 2 == 0)
    asked = part(rows, np.arange(len(rows)) % 2 == 1)
    model = learn_value(learnt, learnt.X, **HOW)
    assert model is not None
    within, back, gone = model.orders(asked.X).T
    later = asked.later_orders * (365 - 60) / (212 - 60)
    came = asked.came_back
    for expected, realised, whom in (
        (within, asked.within_orders, came),
        (back, later, came),
        (gone, later, ~came),
    ):
        order = np.argsort(expected[whom])
        assert expected[whom].mean() == pytest.approx(realised[whom].mean(), rel=0.12)
        if whom is not came:
            continue  # straight lines are too simple for those of this shop who are lost or not
        fifths = [realised[whom][fifth].mean() for fifth in np.array_split(order, 5)]
        assert fifths == sorted(fifths)
        assert fifths[-1] > 1.5 * fifths[0]


def test_the_cheque_is_drawn_towards_the_population_as_far_as_it_should(rows: ValueRows) -> None:
    model = learn_value(rows, rows.X, **HOW)
    assert model is not None
    told = rows.orders > 0
    own = rows.X[told, POSITION["average_cheque"]]
    later = rows.spend[told] / rows.orders[told]
    n = rows.X[told, POSITION["purchases_total"]]
    expected = model.cheques(rows.X[told])
    for whom in (n <= 2, (n > 2) & (n < 8), n >= 8):
        for high in (own > np.median(own), own <= np.median(own)):
            group = whom & high
            assert later[group].mean() == pytest.approx(expected[group].mean(), rel=0.12)
    few = n <= 1
    assert np.corrcoef(np.log(expected[few]), np.log(later[few]))[0, 1] > 0.2
    assert expected[few].std() < own[few].std()


def test_segments_hold_a_fifth_and_three_tenths_of_the_customers(rows: ValueRows) -> None:
    model = learn_value(rows, rows.X, **HOW)
    assert model is not None
    value, segment = model.value(rows.X)
    shares = np.bincount(segment, minlength=3) / len(segment)
    assert shares == pytest.approx([0.2, 0.3, 0.5], abs=0.002)
    assert value[segment == 0].min() >= value[segment == 1].max()
    assert value[segment == 1].min() >= value[segment == 2].max()


def test_value_is_margin_not_revenue(rows: ValueRows) -> None:
    model, double = (
        learn_value(rows, rows.X, **(HOW | {"margin_rate": rate})) for rate in (0.25, 0.5)
    )
    assert model is not None
    assert double is not None
    assert double.value(rows.X)[0] == pytest.approx(2.0 * model.value(rows.X)[0])


def test_where_no_longer_window_tells_value_is_counted_over_the_horizon(rows: ValueRows) -> None:
    none = np.zeros(len(rows))
    short = replace(rows, later_orders=none, later_spend=none)
    model = learn_value(short, rows.X, **(HOW | {"window_days": 60}))
    assert model is not None
    assert model.days == 60
    within, back, gone = model.orders(rows.X).T
    assert max(back.max(), gone.max()) < 1e-6
    expected = 0.25 * model.cheques(rows.X) * within
    assert model.value(rows.X)[0] == pytest.approx(expected)


def test_beyond_the_days_seen_a_falling_rate_goes_on_falling(rows: ValueRows) -> None:
    n = int(rows.came_back.sum())
    first, last = 40_000 * np.array([1.0, 0.6])
    there = rows.came_back / n
    falling = replace(rows, later_orders=(first + last) * there, last_orders=last * there)
    model = learn_value(falling, rows.X, **(HOW | {"days": 60 + 3 * 76}))
    assert model is not None
    back = model.orders(rows.X[rows.came_back])[:, 1].sum()
    # 76 days are half of those seen after the horizon: 1, .6, and then .36.
    assert back == pytest.approx(40_000 * (1.0 + 0.6 + 0.36), rel=0.01)


def test_nobody_who_orders_twice_within_the_horizon_is_no_trouble(rows: ValueRows) -> None:
    once = replace(rows, within_orders=np.minimum(rows.within_orders, 1.0))
    model = learn_value(once, rows.X, **HOW)
    assert model is not None
    assert model.orders(rows.X)[:, 0] == pytest.approx(1.0, abs=1e-3)


def test_too_few_customers_or_no_cheques_give_no_value(rows: ValueRows) -> None:
    came_back = np.flatnonzero(rows.came_back)
    assert learn_value(part(rows, came_back[: MIN_ROWS - 1]), rows.X, **HOW) is None
    X = rows.X.copy()
    X[:, POSITION["average_cheque"]] = np.nan
    assert learn_value(replace(rows, X=X), rows.X, **HOW) is None
    assert learn_value(rows, X, **HOW) is None


def calendar(days: int) -> Calendar:

    return Calendar(
        first_event=0,
        complete_until=days * DAY,
        window=(60 + 5) * DAY,
        horizon_days=60,
        every_days=30,
        history=60 * DAY,
        zone=UTC,
    )


def test_a_long_log_is_learnt_from_over_the_days_wanted() -> None:
    window = Window.of(calendar(800), 800 * DAY, 365)
    assert window.days == 365
    assert len(window.dates) > FEWEST_DATES
    assert max(window.dates) + (365 + 5) * DAY <= 800 * DAY


def test_a_shorter_log_is_learnt_from_over_the_longest_window_with_dates_enough() -> None:
    made_at = 300 * DAY
    window = Window.of(calendar(300), made_at, 365)
    assert 60 + LEAST_LATER_DAYS <= window.days < 365
    assert len(window.dates) == FEWEST_DATES
    assert window.dates[-1] + (window.days + 5) * DAY == made_at


def test_a_log_of_hardly_more_than_a_horizon_tells_nothing_of_later() -> None:
    window = Window.of(calendar(150), 150 * DAY, 365)
    assert window.days == 60
    assert window.dates


def test_limits_of_the_loss_rules_are_those_of_the_customers(rows: ValueRows) -> None:
    rules = fit_loss(rows.X)
    repeat = rows.X[rows.X[:, POSITION["is_one_time_buyer"]] == 0.0]
    high = rows.X[:, POSITION["average_cheque"]] >= rules.high_cheque
    active = repeat[:, POSITION["purchases_per_month"]] >= rules.active
    assert high.mean() == pytest.approx(0.2, abs=0.01)
    assert active.mean() == pytest.approx(1 / 3, abs=0.1)  # many share the number at the limit
    assert rules.late >= 1.0


def test_nobody_to_learn_limits_from_makes_them_unreachable() -> None:
    rules = fit_loss(np.full((4, len(FEATURES)), np.nan))
    assert (rules.late, rules.high_cheque, rules.active) == (1.0, math.inf, math.inf)
