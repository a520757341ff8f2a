"""Who gets which action where there is not enough for everybody: the two loops over customers.

Each customer gets at most one action. With a price on money and a toll on each scarce action,
everybody simply takes what is best for them; the right prices are those at which this fits the
limits (`service.plan` finds them). What is taken at given prices also bounds from above what any
plan can earn (the Lagrangian dual; for one choice per customer it equals the linear relaxation's).

Who is set aside takes nothing. When actions are given out they are asked at their turn all the
same: what is noted for them is what they would have got then.
"""

import numpy as np

from churn.compiled import Booleans, Floats, Integers, compiled

NOBODY = -1
"""The choice of who gets no action."""


@compiled
def take_best(
    value: Floats, cost: Floats, aside: Booleans, price: float, toll: Floats, taken: Integers
) -> tuple[float, float]:
    """Count what is taken where everybody takes what is best for them at given prices.

    Parameters
    ----------
    value : ndarray of float64, shape (n, k)
        Expected value of each action for each customer, its cost taken off; -inf: not allowed.
    cost : ndarray of float64, shape (n, k)
        What each would spend of the budget.
    aside : ndarray of bool, shape (n,)
        Who takes nothing.
    price : float
        Of one unit of the budget.
    toll : ndarray of float64, shape (k,)
        Of one place in each action.
    taken : ndarray of int64, shape (k,)
        Filled with how often each action was taken. Of equals the cheaper is.

    Returns
    -------
    surplus, spent : float
        Sum of values less prices and tolls; and of costs.
    """
    surplus = 0.0
    spent = 0.0
    taken[:] = 0
    for i in range(len(value)):
        if aside[i]:
            continue
        best = 0.0
        pick = -1
        for a in range(value.shape[1]):
            left = value[i, a] - price * cost[i, a] - toll[a]
            if left > best or (left == best and pick >= 0 and cost[i, a] < cost[i, pick]):
                best = left
                pick = a
        if pick >= 0:
            surplus += best
            spent += cost[i, pick]
            taken[pick] += 1
    return surplus, spent


@compiled
def fill(
    order: Integers,
    value: Floats,
    cost: Floats,
    aside: Booleans,
    budget: float,
    room: Integers,
    chosen: Integers,
) -> float:
    """Give actions out in a given order for as long as the limits allow.

    Parameters
    ----------
    order : ndarray of int64, shape (n * k,)
        Positions in the flattened `value`: who is served with what, first to last.
    value, cost
        As in `take_best`; what has no positive value is given to nobody.
    aside : ndarray of bool, shape (n,)
        Who is noted for what there is at their turn, and takes nothing of it.
    budget : float
        What may be spent.
    room : ndarray of int64, shape (k,)
        How often each action may be given; counted down.
    chosen : ndarray of int64, shape (n,)
        Filled.

    Returns
    -------
    float
        What was spent.
    """
    k = value.shape[1]
    spent = 0.0
    chosen[:] = -1
    for at in order:
        i, a = at // k, at % k
        if chosen[i] >= 0 or not value[i, a] > 0.0 or room[a] <= 0:
            continue
        if spent + cost[i, a] > budget:
            continue
        chosen[i] = a
        if aside[i]:
            continue
        room[a] -= 1
        spent += cost[i, a]
    return spent


def order_of_service(value: Floats, cost: Floats, price: float, toll: Floats) -> Integers:
    """In which order to give actions out, at prices that nearly fit the limits.

    First everybody's best, and of these whoever would lose most by anything else; then what is
    nearly as good.

    Returns
    -------
    ndarray of int64, shape (m,)
        Positions in the flattened `value`, of what has a positive value.
    """
    left = value - price * cost - toll
    best = np.maximum(left.max(axis=1, initial=0.0), 0.0)
    second = np.zeros(len(left))
    if left.shape[1] > 1:
        second = np.maximum(np.partition(left, -2, axis=1)[:, -2], 0.0)
    possible = np.flatnonzero(value > 0.0)
    customer = possible // value.shape[1]
    regret = best[customer] - left.ravel()[possible]
    # What rounding alone sets apart is equal.
    regret[regret <= 1e-12 * best.max(initial=0.0)] = 0.0
    lead = best[customer] - second[customer]
    order: Integers = possible[np.lexsort((-lead, regret))]
    return order
