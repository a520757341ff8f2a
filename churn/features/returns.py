"""Returns and cancellations: how many, how recent, and how much of what was bought."""

import math

from churn.compiled import Codes, Floats, Integers, compiled
from churn.events import KIND_CODES, Feed, Kind
from churn.features.collect import DAY, NEXT_TO_NOTHING
from churn.features.definition import Family, Feature

RETURN = KIND_CODES[Kind.RETURN]
CANCELLATION = KIND_CODES[Kind.CANCELLATION]


def _returns(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.RETURNS, Feed.RETURNS, direction, en, ru)


FEATURES = (
    _returns("returns_90d", "events", +1, "returns in the last 90 days", "возвратов за последние 90 дней"),
    _returns("returns_365d", "events", +1, "returns in the last 365 days", "возвратов за последние 365 дней"),
    _returns("returns_per_order", "ratio", +1, "returns per order", "возвратов на заказ"),
    _returns("returned_amount_share", "share", +1, "returned and cancelled money over money spent", "возвращённая и отменённая сумма к сумме покупок"),
    _returns("days_since_last_return", "days", -1, "days since the last return", "дней с последнего возврата"),
    _returns("cancellations_90d", "events", +1, "cancellations in the last 90 days", "отмен за последние 90 дней"),
    _returns("cancellations_365d", "events", +1, "cancellations in the last 365 days", "отмен за последние 365 дней"),
    _returns("days_since_last_cancellation", "days", -1, "days since the last cancellation", "дней с последней отмены"),
    _returns("returns_since_last_purchase", "events", +1, "returns and cancellations since the last purchase", "возвратов и отмен после последней покупки"),
)  # fmt: skip


@compiled
def returns(
    time: Integers, known_at: Integers, kind: Codes, amount: Floats, start: int, stop: int,
    begin: int, as_of: int, order_time: Integers, order_amount: Floats, n_orders: int,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`."""
    nan = math.nan
    returns_90d = 0.0
    returns_365d = 0.0
    total = 0.0
    returned_amount = 0.0
    days_since_last_return = nan
    cancellations_90d = 0.0
    cancellations_365d = 0.0
    days_since_last_cancellation = nan
    returns_since_last_purchase = 0.0
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        if t < begin or known_at[i] >= as_of:
            continue
        if kind[i] == RETURN:
            total += 1.0
            if t >= as_of - 90 * DAY:
                returns_90d += 1.0
            if t >= as_of - 365 * DAY:
                returns_365d += 1.0
            days_since_last_return = (as_of - t) / DAY
        elif kind[i] == CANCELLATION:
            if t >= as_of - 90 * DAY:
                cancellations_90d += 1.0
            if t >= as_of - 365 * DAY:
                cancellations_365d += 1.0
            days_since_last_cancellation = (as_of - t) / DAY
        else:
            continue
        if amount[i] == amount[i]:
            returned_amount += amount[i]
        if n_orders > 0 and t >= order_time[n_orders - 1]:
            returns_since_last_purchase += 1.0

    spent = 0.0
    for i in range(n_orders):
        if order_amount[i] == order_amount[i]:
            spent += order_amount[i]
    returned_amount_share = nan
    if spent > NEXT_TO_NOTHING:
        returned_amount_share = returned_amount / spent
    returns_per_order = nan
    if n_orders > 0:
        returns_per_order = total / n_orders
    return (
        returns_90d,
        returns_365d,
        returns_per_order,
        returned_amount_share,
        days_since_last_return,
        cancellations_90d,
        cancellations_365d,
        days_since_last_cancellation,
        returns_since_last_purchase,
    )
