"""The expected value of an action: against the house's break-even table, chance, and itself."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from churn.policy.economics import NOTHING, Belief, Economics

HARM = Belief(0.003, 1000.0)
MESSAGE = Economics(1.5, 0.0, Belief(0.03, 50.0), NOTHING, HARM)
POINTS = Economics(1.5, 150.0, Belief(0.06, 50.0), Belief(0.5, 20.0), HARM)
DISCOUNT = Economics(1.5, 300.0, Belief(0.08, 50.0), Belief(0.5, 20.0), HARM)
COMPENSATION = Economics(60.0 + 400.0, 0.0, Belief(0.25, 30.0))  # paid to every complainer
CALL = Economics(250.0, 0.0, Belief(0.15, 30.0), NOTHING, HARM)

SHARE = st.floats(0.0, 1.0)
BELIEF = st.builds(Belief, SHARE, st.floats(2.0, 1000.0))
MONEY = st.floats(0.0, 10_000.0)
ECONOMICS = st.builds(Economics, MONEY, MONEY, BELIEF, BELIEF, BELIEF)


@pytest.mark.parametrize(
    ("action", "medium", "high"),
    [
        (MESSAGE, 217, 89),
        (POINTS, 3566, 1060),
        (DISCOUNT, 5192, 1622),
        (COMPENSATION, 6133, 3067),
        (CALL, 5828, 2815),
    ],
)
def test_it_pays_from_the_published_values_on(
    action: Economics, medium: float, high: float
) -> None:
    assert round(action.break_even(0.3)) == medium
    assert round(action.break_even(0.6)) == high
    assert action.expected_value(0.3, action.break_even(0.3)) == pytest.approx(0.0, abs=1e-9)


@given(ECONOMICS, SHARE, MONEY)
def test_it_is_the_published_formula(action: Economics, p: float, value: float) -> None:
    s, q, h = action.saved.mean, action.redeemed.mean, action.harm.mean
    k, g = action.contact_cost, action.incentive_cost
    published = p * s * value - k - g * ((1 - p) * q + p * s) - (1 - p) * h * value
    assert action.expected_value(p, value) == pytest.approx(published, abs=1e-6)


@given(ECONOMICS, SHARE, MONEY, st.floats(0.01, 100.0))
def test_it_falls_with_cost(action: Economics, p: float, value: float, more: float) -> None:
    before = action.expected_value(p, value)
    dearer = action._replace(contact_cost=action.contact_cost + more)
    assert dearer.expected_value(p, value) < before
    richer = action._replace(incentive_cost=action.incentive_cost + more)
    assert richer.expected_value(p, value) <= before


@given(ECONOMICS, SHARE, MONEY)
def test_it_rises_with_value_exactly_if_it_saves_more_than_it_drives_away(
    action: Economics, p: float, value: float
) -> None:
    gain = p * action.saved.mean - (1 - p) * action.harm.mean
    assume(abs(gain) > 1e-9)
    rises = action.expected_value(p, value + 1000.0) > action.expected_value(p, value)
    assert rises == (gain > 0)


@given(ECONOMICS, SHARE, MONEY)
def test_the_bound_lies_below_the_mean(action: Economics, p: float, value: float) -> None:
    assert action.lower_bound(p, value) <= action.expected_value(p, value) + 1e-6


@pytest.mark.parametrize("action", [MESSAGE, POINTS, DISCOUNT, COMPENSATION, CALL])
@pytest.mark.parametrize(("p", "value"), [(0.2, 2000.0), (0.5, 5000.0), (0.9, 20_000.0)])
def test_nine_in_ten_draws_of_the_beliefs_lie_above_the_bound(
    action: Economics, p: float, value: float
) -> None:
    rng = np.random.default_rng(8)

    def draws(belief: Belief) -> np.ndarray:
        if belief.variance == 0.0:
            return np.full(200_000, belief.mean)
        return rng.beta(belief.alpha, belief.beta, 200_000)

    s, q, h = draws(action.saved), draws(action.redeemed), draws(action.harm)
    k, g = action.contact_cost, action.incentive_cost
    drawn = p * s * value - k - g * ((1 - p) * q + p * s) - (1 - p) * h * value
    above = np.mean(drawn > action.lower_bound(p, value))
    assert above == pytest.approx(0.9, abs=0.02)


def test_many_customers_are_valued_as_one_by_one() -> None:
    p, value = np.array([0.1, 0.5, 0.9]), np.array([100.0, 5000.0, 0.0])
    for at in range(3):
        assert POINTS.expected_value(p, value)[at] == POINTS.expected_value(p[at], value[at])
        assert POINTS.lower_bound(p, value)[at] == POINTS.lower_bound(p[at], value[at])
        assert POINTS.expected_cost(p)[at] == POINTS.expected_cost(p[at])


def test_what_saves_nobody_never_pays() -> None:
    assert Economics(1.0, 0.0, NOTHING).break_even(0.5) == math.inf


@pytest.mark.parametrize("action", [MESSAGE, POINTS, DISCOUNT, COMPENSATION, CALL])
def test_one_customer_has_the_bits_that_many_have(action: Economics) -> None:
    rng = np.random.default_rng(5)
    p = np.concatenate([[0.0, 1.0, 0.5, 0.0], rng.random(500)])
    value = np.concatenate([[0.0, 0.0, action.incentive_cost, 1e9], rng.gamma(0.7, 5_000.0, 500)])
    one = action.for_one()
    found = np.array([one(a, b) for a, b in zip(p.tolist(), value.tolist(), strict=True)])
    assert found[:, 0].tobytes() == action.expected_value(p, value).tobytes()
    assert found[:, 1].tobytes() == action.lower_bound(p, value).tobytes()
    assert found[:, 2].tobytes() == action.expected_cost(p).tobytes()
