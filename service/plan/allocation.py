"""The best plan under a budget and capacities, and how far from the best it can be at most.

With prices on the limits everybody takes what is best for them (`churn.allocation`). The sum is an
upper bound on any plan, convex in the prices, and least where the prices are right: found by
cutting planes, each a linear program of as many unknowns as there are limits, solved by HiGHS. The
plan is then given out in the order of those prices. For one choice per customer the bound is that
of the linear relaxation, and a plan misses it by a customer or so for each limit.

Who is set aside takes nothing, and is noted for what they would have got: what there was at their
turn, or, where the plan is solved to the end, what is worth more than the others would lose by it.

References
----------
Kelley (1960), "The cutting-plane method for solving convex programs"; Geoffrion (1974),
"Lagrangean relaxation for integer programming".
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from churn.allocation import NOBODY, fill, order_of_service, take_best
from churn.compiled import Booleans, Floats, Integers
from churn.errors import ConfigError

GAP = 1e-8
MOST_CUTS = 200
EXACT_UP_TO = 2_000
"""Pairs of customer and action up to which the plan is solved to the end."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A plan.

    Attributes
    ----------
    chosen : ndarray of int64, shape (n,)
        Position of each customer's action, -1 for none; of who is set aside, what is noted.
    value, cost : float
        Sums over what is taken.
    upper_bound : float
        No plan within the limits is worth more.
    price : float
        What one more unit of the budget would be worth.
    tolls : ndarray of float64, shape (k,)
        What one more place in each action would be worth.
    """

    chosen: Integers
    value: float
    cost: float
    upper_bound: float
    price: float
    tolls: Floats

    @property
    def gap(self) -> float:
        """How far below the bound it is, as a share of the bound."""
        if self.upper_bound <= 0.0:
            return 0.0
        return (self.upper_bound - self.value) / self.upper_bound


def allocate(
    value: Floats,
    cost: Floats,
    *,
    budget: float = math.inf,
    capacity: Integers | None = None,
    aside: Booleans | None = None,
) -> Allocation:
    """Find the plan of the greatest value.

    Parameters
    ----------
    value : ndarray of float64, shape (n, k)
        Expected value of each action for each customer, its cost taken off; -inf: not allowed.
    cost : ndarray of float64, shape (n, k)
        What each would spend of the budget, at least 0.
    budget : float, optional
        What all may spend together.
    capacity : ndarray of int64, shape (k,), optional
        How many customers may get each action; by default any number.
    aside : ndarray of bool, shape (n,), optional
        Who takes nothing; by default nobody.

    Raises
    ------
    ConfigError
        SciPy, which solves it, is not installed.
    """
    n, k = value.shape
    room = np.full(k, n, dtype=np.int64) if capacity is None else np.minimum(capacity, n)
    if aside is None:
        aside = np.zeros(n, dtype=np.bool_)
    value, cost = np.ascontiguousarray(value), np.ascontiguousarray(cost)
    problem = _Problem(value, cost, aside, budget, room)
    bound, price, tolls = _prices(problem)
    order = order_of_service(value, cost, price, tolls)
    chosen = np.empty(n, dtype=np.int64)
    fill(order, value, cost, aside, budget, room.copy(), chosen)
    if n * k <= EXACT_UP_TO and (price > 0.0 or tolls.any()):
        best = _exact(problem)
        chosen = np.where(aside, _noted(problem, best, price), best)
    return problem.plan(chosen, bound, price, tolls)


@dataclass(frozen=True, slots=True)
class _Problem:
    value: Floats
    cost: Floats
    aside: Booleans
    budget: float
    room: Integers

    def take(self, price: float, tolls: Floats) -> tuple[float, float, Integers]:
        """What is gained and spent, and how often each action is taken, at given prices."""
        taken = np.empty(len(self.room), dtype=np.int64)
        surplus, spent = take_best(self.value, self.cost, self.aside, price, tolls, taken)
        return surplus, spent, taken

    def limits(self) -> tuple[Floats, Integers]:
        """The limits that could bind, and where each stands: 0 the budget, 1 + a an action."""
        k = len(self.room)
        _, spent, taken = self.take(0.0, np.zeros(k))
        at = [0] if spent > self.budget else []
        # A full action sends its customers elsewhere: every capacity below the number of those
        # for whom the action pays may come to bind.
        pays = np.count_nonzero((self.value > 0.0) & ~self.aside[:, None], axis=0)
        if at or (taken > self.room).any():
            at = [0] if self.budget < math.inf else []
            at += [1 + a for a in range(k) if pays[a] > self.room[a]]
        limits = np.array([self.budget if one == 0 else float(self.room[one - 1]) for one in at])
        return limits, np.array(at, dtype=np.int64)

    def plan(self, chosen: Integers, bound: float, price: float, tolls: Floats) -> Allocation:
        """Sum a plan up."""
        given = np.flatnonzero((chosen != NOBODY) & ~self.aside)
        at = given, chosen[given]
        value, cost = math.fsum(self.value[at]), math.fsum(self.cost[at])
        return Allocation(chosen, value, cost, max(bound, value), price, tolls)


def _prices(problem: _Problem) -> tuple[float, float, Floats]:
    """The least upper bound, and the prices and tolls that give it."""
    k = len(problem.room)
    limits, at = problem.limits()

    def ask(prices: Floats) -> tuple[float, Floats]:
        price, tolls = _spread(prices, at, k)
        surplus, spent, taken = problem.take(price, tolls)
        used = np.array([spent if one == 0 else float(taken[one - 1]) for one in at])
        return surplus + float(prices @ limits), limits - used

    best_prices = np.zeros(len(at))
    best, slope = ask(best_prices)
    cuts = [(best_prices, best, slope)]
    most = _most(problem, at)
    for _ in range(MOST_CUTS if len(at) else 0):
        floor, wanted = _master(cuts, most)
        if best - floor <= GAP * max(abs(best), 1e-9):
            break
        # Half way back towards the best known: the program's corners swing far at first.
        for share in (0.5, 1.0):
            prices = best_prices + share * (wanted - best_prices)
            bound, slope = ask(prices)
            cuts.append((prices, bound, slope))
            if bound < best:
                best, best_prices = bound, prices
    price, tolls = _spread(best_prices, at, k)
    return best, price, tolls


def _spread(prices: Floats, at: Integers, k: int) -> tuple[float, Floats]:
    every = np.zeros(1 + k)
    every[at] = prices
    return float(every[0]), every[1:]


def _most(problem: _Problem, at: Integers) -> Floats:
    """Prices at which nobody takes anything."""
    worth = np.where(problem.aside[:, None], 0.0, np.maximum(problem.value, 0.0))
    per_unit = worth / np.maximum(problem.cost, 1e-9)
    return np.array(
        [
            per_unit.max(initial=0.0) if one == 0 else worth[:, one - 1].max(initial=0.0)
            for one in at
        ]
    )


def _master(cuts: list[tuple[Floats, float, Floats]], most: Floats) -> tuple[float, Floats]:
    """Where the cuts' upper envelope is least: its height there, and the prices."""
    linprog = _scipy().linprog
    scale = np.maximum(most, 1e-12)
    slopes = np.array([slope * scale for _, _, slope in cuts])
    heights = np.array([bound - prices @ slope for prices, bound, slope in cuts])
    unit = max(1.0, float(np.abs(heights).max()))
    found = linprog(
        np.array([*np.zeros(len(most)), 1.0]),
        A_ub=np.column_stack([slopes / unit, -np.ones(len(cuts))]),
        b_ub=-heights / unit,
        bounds=[*((0.0, 1.0) for _ in most), (None, None)],
        method="highs",
    )
    return float(found.x[-1]) * unit, found.x[:-1] * scale


def _exact(problem: _Problem) -> Integers:
    """The best plan, by branch and bound."""
    scipy = _scipy()
    n, k = problem.value.shape
    allowed = np.flatnonzero((problem.value > 0.0) & ~problem.aside[:, None])
    customer, action = allowed // k, allowed % k
    rows = [(np.arange(n)[:, None] == customer).astype(float)]
    upper = [np.ones(n)]
    if problem.budget < math.inf:
        rows.append(problem.cost.ravel()[None, allowed])
        upper.append(np.array([problem.budget]))
    rows.append((np.arange(k)[:, None] == action).astype(float))
    upper.append(problem.room.astype(float))
    found = scipy.milp(
        -problem.value.ravel()[allowed],
        constraints=scipy.LinearConstraint(np.vstack(rows), ub=np.concatenate(upper)),
        integrality=np.ones(len(allowed)),
        bounds=scipy.Bounds(0.0, 1.0),
    )
    chosen = np.full(n, NOBODY, dtype=np.int64)
    given = found.x > 0.5
    chosen[customer[given]] = action[given]
    return chosen


def _noted(problem: _Problem, best: Integers, price: float) -> Integers:
    """What each who is set aside would have got beside the best plan of the others.

    One place and its money less are what others would lose by it: found by solving once for each
    action, at the cost that is usual for those set aside; what one's own differs by is priced.
    """
    n, k = problem.value.shape
    rows = np.flatnonzero(problem.aside & (problem.value > 0.0).any(axis=1))
    worth = problem.plan(best, 0.0, price, np.zeros(k)).value
    left = np.full((len(rows), k), -math.inf)
    for a in range(k):
        value, cost = problem.value[rows, a], problem.cost[rows, a]
        some = (value > 0.0) & (cost <= problem.budget)
        if not some.any() or not problem.room[a]:
            continue
        usual = float(np.median(cost[some]))
        room = problem.room - (np.arange(k) == a)
        less = replace(problem, budget=problem.budget - usual, room=room)
        lost = worth - less.plan(_exact(less), 0.0, price, np.zeros(k)).value
        left[some, a] = value[some] - lost - price * (cost[some] - usual)
    chosen = np.full(n, NOBODY, dtype=np.int64)
    given = left.max(axis=1, initial=-math.inf) > 0.0
    chosen[rows[given]] = left[given].argmax(axis=1)
    return chosen


def _scipy() -> Any:
    """The solver, loaded when it is first needed: half a second, and an extra of its own."""
    try:
        from scipy import optimize
    except ImportError:
        raise ConfigError(
            "plans need SciPy, which is not installed: pip install 'keepwell[plan]'"
        ) from None
    return optimize
