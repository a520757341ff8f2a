"""A plan gives what is owed first, keeps its limits, holds out and says why of everybody else."""

import math
from typing import Any

import numpy as np
import pytest

from service.plan.making import Plan, make
from service.plan.options import CODE, NOBODY, WHY, Options, joined
from service.plan.words import REASONS, prices, shadow_prices

NONE = -np.inf


def options(
    value: Any,
    cost: Any = 1.0,
    *,
    owed: Any = None,
    stake: Any = None,
    held_out: Any = None,
) -> Options:
    """Options of as many customers as `value` has rows, with the actions a, b, ...; one service."""
    value = np.asarray(value, dtype=float)
    n, k = value.shape
    owed = np.full(n, NOBODY) if owed is None else np.asarray(owed)
    is_owed = owed != NOBODY
    return Options(
        codes=tuple("abcdefgh"[:k]),
        value=value,
        cost=np.broadcast_to(np.asarray(cost, dtype=float), (n, k)).copy(),
        services=("serve",),
        owed=owed,
        owed_value=np.where(is_owed, 5.0, np.nan),
        owed_cost=np.where(is_owed, 40.0, np.nan),
        stake=np.zeros(n) if stake is None else np.asarray(stake, dtype=float),
        held_out=np.zeros(n, dtype=bool) if held_out is None else np.asarray(held_out),
        situation=np.zeros(n, dtype=np.int8),
        why=np.where(is_owed | (value > 0.0).any(axis=1), NOBODY, CODE["nothing_pays"]).astype(
            np.int8
        ),
    )


def given(plan: Plan) -> list[str | None]:
    return [None if at == NOBODY else plan.codes[at] for at in plan.action.tolist()]


def why(plan: Plan) -> list[str | None]:
    return [None if at == NOBODY else WHY[at] for at in plan.why.tolist()]


def test_without_limits_everybody_gets_what_is_best() -> None:
    plan = make(options([[1.0, 2.0], [NONE, NONE], [4.0, NONE]]), capacity={})
    assert given(plan) == ["b", None, "a"]
    assert why(plan) == [None, "nothing_pays", None]
    assert (plan.value, plan.spent, plan.upper_bound) == (6.0, 2.0, 6.0)
    assert list(prices(plan, None, "RUB")) == []


def test_a_place_goes_to_whom_it_brings_most_and_the_toll_says_what_another_would() -> None:
    plan = make(options([[10.0, 1.0], [7.0, 3.0], [5.0, 4.0]]), capacity={"a": 1})
    assert given(plan) == ["a", "b", "b"]
    assert plan.value == 17.0
    assert plan.tolls["a"] == pytest.approx(4.0, abs=1.0)
    more = make(options([[10.0, 1.0], [7.0, 3.0], [5.0, 4.0]]), capacity={"a": 2})
    assert more.value - plan.value == pytest.approx(4.0)


def test_who_gives_way_is_told_so() -> None:
    plan = make(options([[5.0], [4.0], [3.0]]), budget=2.0, capacity={})
    assert given(plan) == ["a", "a", None]
    assert why(plan) == [None, None, "limits"]
    assert plan.spent == 2.0
    assert 3.0 <= plan.budget_price <= 4.0
    (said,) = prices(plan, 2.0, "RUB")
    assert said.startswith("one more RUB of budget is worth ")


def test_what_is_owed_takes_the_places_first_and_no_budget() -> None:
    some = options(
        [[9.0], [9.0], [9.0], [9.0]], owed=[0, NOBODY, 0, 0], stake=[1.0, 99.0, 3.0, 2.0]
    )
    plan = make(some, budget=1.0, capacity={"serve": 2})
    assert given(plan) == [None, "a", "serve", "serve"]
    assert why(plan) == ["no_place", None, None, None]
    assert plan.owed.tolist() == [False, False, True, True]
    assert (plan.value, plan.spent, plan.service_cost) == (9.0, 1.0, 80.0)


def test_who_is_held_out_takes_nothing_and_is_noted_for_what_it_would_have_been() -> None:
    some = options([[9.0], [8.0], [7.0], [1.0]], held_out=[True, False, False, True])
    plan = make(some, capacity={"a": 1})
    assert given(plan) == ["a", "a", None, None]
    assert plan.withheld.tolist() == [True, False, False, False]
    assert why(plan) == [None, None, "limits", "limits"]
    assert (plan.value, plan.spent) == (8.0, 1.0)


def test_who_is_held_out_is_served_all_the_same() -> None:
    plan = make(options([[9.0]], owed=[0], held_out=[True]), capacity={})
    assert given(plan) == ["serve"]
    assert not plan.withheld.any()


@pytest.mark.parametrize("seed", range(20))
def test_limits_hold_and_everybody_is_accounted_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3_000 if seed % 2 else 200
    value = np.where(rng.random((n, 3)) < 0.3, NONE, rng.normal(3.0, 4.0, (n, 3)))
    value[value <= 0.0] = NONE
    some = options(
        value,
        rng.exponential(2.0, (n, 3)),
        owed=np.where(rng.random(n) < 0.1, 0, NOBODY),
        stake=rng.random(n),
        held_out=rng.random(n) < 0.2,
    )
    capacity = {"a": int(rng.integers(n)), "serve": int(rng.integers(n // 10))}
    budget = float(rng.uniform(0.0, n))
    plan = make(some, budget=budget, capacity=capacity)
    treated = (plan.action != NOBODY) & ~plan.withheld
    counts = np.bincount(plan.action[treated], minlength=4)
    assert counts[0] <= capacity["a"]
    assert counts[3] <= capacity["serve"]
    weighed = treated & ~plan.owed
    assert math.fsum(plan.cost[weighed]) == pytest.approx(plan.spent)
    assert math.fsum(plan.expected_value[weighed]) == pytest.approx(plan.value)
    assert plan.spent <= budget + 1e-6
    assert plan.value <= plan.upper_bound + 1e-6
    assert ((plan.action == NOBODY) == (plan.why != NOBODY)).all()
    assert not (plan.withheld & ~some.held_out).any()
    assert not (plan.withheld & plan.owed).any()
    assert (np.isnan(plan.cost) == (plan.action == NOBODY)).all()


def test_nobody_to_plan_for() -> None:
    plan = make(options(np.empty((0, 2))), budget=3.0, capacity={"a": 1})
    assert (plan.value, plan.spent, len(plan.action)) == (0.0, 0.0, 0)


def test_the_prices_are_told_in_words_and_as_numbers() -> None:
    plan = make(options([[900.0], [312.0], [2.0]]), capacity={"a": 1, "serve": 3})
    plan = plan._replace(tolls={"a": 312.0, "b": 0.0})
    assert list(prices(plan, 50.0, "RUB")) == [
        "more budget would bring nothing: 1.00 RUB of it is spent",
        "one more a slot is worth 312.00 RUB",
        "one more b slot would bring nothing",
    ]
    assert shadow_prices(plan, 50.0) == {"budget": 0.0, "a": 312.0, "b": 0.0}
    assert shadow_prices(plan, None) == {"a": 312.0, "b": 0.0}


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(WHY)


def test_crowds_are_put_behind_one_another() -> None:
    one, two = options([[1.0], [2.0]]), options([[3.0]], owed=[0])
    both = joined([one, two])
    assert both.value.ravel().tolist() == [1.0, 2.0, 3.0]
    assert both.owed.tolist() == [NOBODY, NOBODY, 0]
    assert both.codes == one.codes
    assert both.n == 3


@pytest.mark.parametrize(("n", "draws", "within"), [(700, 8, 0.03), (80, 3, 0.08)])
def test_who_is_held_out_is_noted_as_often_as_the_others_are_given_something(
    n: int, draws: int, within: float
) -> None:
    """Cheap actions take what is left of a budget: that has to show in both groups alike."""
    rng = np.random.default_rng(3)
    p, stake = rng.beta(2.0, 2.0, n), rng.lognormal(8.0, 1.2, n)
    cost = np.array([250.0, 80.0, 1.5])
    value = (p * stake)[:, None] * [0.15, 0.06, 0.03] - cost - (0.003 * (1.0 - p) * stake)[:, None]
    value[value <= 0.0] = NONE
    free = make(options(value, cost), capacity={})
    chosen: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(draws):
        held = rng.random(n) < 0.5
        some = options(value, cost, held_out=held)
        calls = int((free.action == 0).sum() * 0.3)
        plan = make(some, budget=free.spent * 0.2, capacity={"a": calls})
        for group in (True, False):
            chosen[group].append(float((plan.action[held == group] != NOBODY).mean()))
    noted, given_to = (float(np.mean(chosen[group])) for group in (True, False))
    assert 0.5 < given_to < 0.99
    assert noted == pytest.approx(given_to, abs=within)
