"""The customer's visible purchases, gathered into orders and purchase days.

Every family of features starts from here. An event is visible at `as_of` when it happened inside
the observation window, before `as_of`, and was known before `as_of`. Consecutive purchase lines
of one `order_id` are one order; a line without an `order_id` is an order by itself.
"""

from churn.compiled import Codes, Floats, Integers, compiled
from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, Kind

PURCHASE = KIND_CODES[Kind.PURCHASE]
DAY = MICROSECONDS_PER_DAY
NEXT_TO_NOTHING = 1e-6
"""Money below this is no norm to measure by: the quotient could be infinite."""


@compiled
def collect(
    time: Integers, known_at: Integers, kind: Codes, amount: Floats, discount: Floats,
    order: Integers, start: int, stop: int, begin: int, as_of: int, order_time: Integers,
    order_amount: Floats, order_discount: Floats, purchase_day: Integers,
) -> tuple[int, int]:  # fmt: skip
    """Fill the scratch columns with the visible orders and days of one customer.

    Returns
    -------
    n_orders, n_days : int
        How many entries of `order_time`, `order_amount` (NaN: no amount known),
        `order_discount` (NaN: no discount known) and of `purchase_day` (days since 1970-01-01,
        distinct, ascending) are filled.
    """
    n_orders = 0
    n_days = 0
    current = -1
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        if kind[i] != PURCHASE or t < begin or known_at[i] >= as_of:
            continue
        if order[i] >= 0 and order[i] == current:
            last = n_orders - 1
            if amount[i] == amount[i]:
                if order_amount[last] == order_amount[last]:
                    order_amount[last] += amount[i]
                else:
                    order_amount[last] = amount[i]
            if discount[i] == discount[i]:
                if order_discount[last] == order_discount[last]:
                    order_discount[last] += discount[i]
                else:
                    order_discount[last] = discount[i]
        else:
            order_time[n_orders] = t
            order_amount[n_orders] = amount[i]
            order_discount[n_orders] = discount[i]
            current = order[i]
            n_orders += 1
        day = t // DAY
        if n_days == 0 or purchase_day[n_days - 1] != day:
            purchase_day[n_days] = day
            n_days += 1
    return n_orders, n_days
