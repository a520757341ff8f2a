"""Who gets what under a budget and so many places in each action.

What is owed comes first: it takes places, in the order of what is at stake, and is not weighed
against its cost, so it is paid from no budget. Everybody else gets at most one action, so that all
together are worth as much as the limits allow (`service.plan.allocation`). Who is held out takes
neither places nor money: they are noted for what there was at their turn, for they are the ones
whom the others are compared with.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Codes, Floats, Integers
from service.plan.allocation import allocate
from service.plan.options import CODE, NOBODY, Options


class Plan(NamedTuple):
    """Who gets what, of n customers, and what the limits are worth.

    Attributes
    ----------
    codes : tuple of str
        Actions.
    action : ndarray of int64, shape (n,)
        Position in `codes`, -1 for nothing.
    expected_value, cost : ndarray of float64, shape (n,)
        Of it, in currency; NaN where nothing is claimed, or chosen.
    owed, withheld : ndarray of bool, shape (n,)
        It is service; it is not to be carried out.
    why : ndarray of int8, shape (n,)
        Position in `service.plan.options.WHY` of why there is none; -1 where there is.
    value, spent : float
        Sums of what is weighed and given.
    service_cost : float
        What is owed is expected to cost, beside the budget.
    upper_bound : float
        No plan within the limits is worth more.
    budget_price : float
        What one more unit of the budget would bring, beyond itself.
    tolls : dict of str to float
        What one more place would bring, of each action whose places are limited.
    """

    codes: tuple[str, ...]
    action: Integers
    expected_value: Floats
    cost: Floats
    owed: Booleans
    withheld: Booleans
    why: Codes
    value: float
    spent: float
    service_cost: float
    upper_bound: float
    budget_price: float
    tolls: dict[str, float]


def make(options: Options, *, budget: float = math.inf, capacity: Mapping[str, int]) -> Plan:
    """Find the plan of the greatest expected value.

    Parameters
    ----------
    options : Options
        What may be done about each.
    budget : float, optional
        What all that is weighed may be expected to cost together.
    capacity : mapping of str to int
        How many customers may get an action; any number of one that is not named.

    Raises
    ------
    ConfigError
        SciPy is needed and not installed.
    """
    n = options.n
    codes = (*options.codes, *options.services)
    plan = Plan(
        codes=codes,
        action=np.full(n, NOBODY, dtype=np.int64),
        expected_value=np.full(n, np.nan),
        cost=np.full(n, np.nan),
        owed=np.zeros(n, dtype=np.bool_),
        withheld=np.zeros(n, dtype=np.bool_),
        why=options.why.copy(),
        value=0.0,
        spent=0.0,
        service_cost=0.0,
        upper_bound=0.0,
        budget_price=0.0,
        tolls={},
    )
    _serve(options, capacity, plan)
    rows = np.flatnonzero((options.why == NOBODY) & (options.owed == NOBODY))
    room = np.array([capacity.get(code, n) for code in options.codes], dtype=np.int64)
    held = options.held_out[rows]
    found = allocate(
        options.value[rows], options.cost[rows], budget=budget, capacity=room, aside=held
    )
    _give(options, plan, rows, found.chosen)
    plan.withheld[rows] = held & (found.chosen != NOBODY)
    return plan._replace(
        value=found.value,
        spent=found.cost,
        service_cost=math.fsum(np.nan_to_num(plan.cost[plan.owed])),
        upper_bound=found.upper_bound,
        budget_price=found.price,
        tolls={
            code: float(found.tolls[at])
            for at, code in enumerate(options.codes)
            if code in capacity
        },
    )


def _serve(options: Options, capacity: Mapping[str, int], plan: Plan) -> None:
    """Give what is owed, to whom most is at stake first where there is not enough."""
    for at, code in enumerate(options.services):
        rows = np.flatnonzero(options.owed == at)
        rows = rows[np.argsort(-options.stake[rows], kind="stable")]
        most = capacity.get(code, len(rows))
        plan.why[rows[most:]] = CODE["no_place"]
        rows = rows[:most]
        plan.action[rows] = len(options.codes) + at
        plan.owed[rows] = True
        plan.expected_value[rows] = options.owed_value[rows]
        plan.cost[rows] = options.owed_cost[rows]


def _give(options: Options, plan: Plan, rows: Integers, chosen: Integers) -> None:
    """Give each of these customers what was chosen; who gets nothing gave way to others."""
    some = chosen != NOBODY
    plan.why[rows[~some]] = CODE["limits"]
    given = rows[some]
    plan.action[given] = chosen[some]
    plan.expected_value[given] = options.value[given, chosen[some]]
    plan.cost[given] = options.cost[given, chosen[some]]
