"""A plan keeps its limits, and is the best there is or close to a bound that is proven."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from service.plan import allocation
from service.plan.allocation import Allocation, allocate

NONE = -np.inf


def random_problem(seed: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    rng = np.random.default_rng(seed)
    value = np.round(rng.normal(2.0, 5.0, (n, k)), 1 if seed % 2 else 6)
    value[rng.random((n, k)) < 0.2] = NONE
    cost = np.round(rng.exponential(3.0, (n, k)), 1) * (rng.random(k) < 0.8)
    budget = math.inf if seed % 5 == 0 else float(rng.uniform(0.0, n))
    return value, cost, budget, rng.integers(0, n + 1, k)


def keeps_its_limits(
    plan: Allocation, value: np.ndarray, cost: np.ndarray, budget: float, room: np.ndarray
) -> bool:
    given_to = np.flatnonzero(plan.chosen >= 0)
    at = given_to, plan.chosen[given_to]
    return (
        cost[at].sum() <= budget + 1e-9
        and (np.bincount(plan.chosen[given_to], minlength=len(room)) <= room).all()
        and (value[at] > 0.0).all()
        and plan.value == pytest.approx(value[at].sum())
        and plan.cost == pytest.approx(cost[at].sum())
    )


@given(st.integers(0, 10_000), st.integers(0, 5), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_a_small_plan_is_the_best_of_all(seed: int, n: int, k: int) -> None:
    value, cost, budget, room = random_problem(seed, n, k)
    best = 0.0
    for choice in itertools.product(range(-1, k), repeat=n):
        at = [(i, a) for i, a in enumerate(choice) if a >= 0]
        if sum(cost[one] for one in at) <= budget and all(
            choice.count(a) <= room[a] for a in range(k)
        ):
            best = max(best, sum(value[one] for one in at))
    plan = allocate(value, cost, budget=budget, capacity=room)
    assert plan.value == pytest.approx(best)
    assert plan.upper_bound >= best - 1e-9
    assert keeps_its_limits(plan, value, cost, budget, room)


def linear_bound(value: np.ndarray, cost: np.ndarray, budget: float, room: np.ndarray) -> float:
    n, k = value.shape
    worth = np.where(value > 0.0, value, 0.0)
    rows = [np.kron(np.eye(n), np.ones(k)), np.tile(np.eye(k), n)]
    upper = [*np.ones(n), *room]
    if budget < math.inf:
        rows.append(np.where(value > 0.0, cost, 0.0).reshape(1, -1))
        upper.append(budget)
    found = optimize.linprog(-worth.ravel(), A_ub=np.vstack(rows), b_ub=upper, bounds=(0, 1))
    return -float(found.fun)


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_is_that_of_the_linear_program(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocation, "EXACT_UP_TO", 0)
    value, cost, budget, room = random_problem(seed, 120, 4)
    plan = allocate(value, cost, budget=budget, capacity=room)
    assert plan.upper_bound == pytest.approx(linear_bound(value, cost, budget, room), rel=1e-6)
    assert keeps_its_limits(plan, value, cost, budget, room)


@pytest.mark.parametrize("seed", range(12))
def test_a_large_plan_is_within_a_thousandth_of_the_bound(seed: int) -> None:
    value, cost, budget, room = random_problem(seed, 20_000, 6)
    plan = allocate(value, cost, budget=budget, capacity=room)
    assert 0.0 <= plan.gap < 1e-3
    assert keeps_its_limits(plan, value, cost, budget, room)


def test_customers_who_are_all_alike_share_what_there_is() -> None:
    value, cost = np.full((5_000, 2), (3.0, 2.0)), np.full((5_000, 2), (1.0, 1.0))
    plan = allocate(value, cost, budget=1_000.0, capacity=np.array([300, 5_000]))
    assert np.bincount(plan.chosen + 1).tolist() == [4_000, 300, 700]
    assert plan.price == pytest.approx(2.0)
    assert plan.tolls == pytest.approx([1.0, 0.0])
    assert plan.gap == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_shadow_price_is_what_one_more_place_brings(seed: int) -> None:
    value, cost, _, _ = random_problem(seed, 20_000, 3)
    room = np.array([500, 700, 20_000])
    plan = allocate(value, cost, budget=math.inf, capacity=room)
    more = allocate(value, cost, budget=math.inf, capacity=room + np.array([100, 0, 0]))
    assert (more.value - plan.value) / 100 == pytest.approx(plan.tolls[0], rel=0.05)
    assert plan.tolls[2] == 0.0


def test_without_limits_everybody_gets_what_is_best() -> None:
    value = np.array([[1.0, 2.0], [NONE, -1.0], [5.0, NONE]])
    plan = allocate(value, np.ones((3, 2)))
    assert plan.chosen.tolist() == [1, -1, 0]
    assert (plan.value, plan.upper_bound, plan.price, plan.gap) == (7.0, 7.0, 0.0, 0.0)


def test_no_budget_buys_only_what_is_free() -> None:
    value, cost = np.array([[9.0, 1.0], [9.0, NONE]]), np.array([[1.0, 0.0], [1.0, 1.0]])
    plan = allocate(value, cost, budget=0.0)
    assert plan.chosen.tolist() == [1, -1]


def test_nobody_to_plan_for() -> None:
    plan = allocate(np.empty((0, 3)), np.empty((0, 3)), budget=5.0)
    assert (plan.value, plan.cost, len(plan.chosen)) == (0.0, 0.0, 0)
