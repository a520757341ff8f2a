"""Cheque: what an order is worth, and whether it shrinks against the customer's own norm."""

import math

from churn.compiled import Floats, Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY, NEXT_TO_NOTHING
from churn.features.definition import Family, Feature


def _cheque(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.CHEQUE, Feed.CHEQUES, direction, en, ru)


FEATURES = (
    _cheque("average_cheque", "money", -1, "average cheque", "средний чек"),
    _cheque("last_cheque", "money", -1, "last cheque", "последний чек"),
    _cheque("largest_cheque", "money", -1, "largest cheque", "самый большой чек"),
    _cheque("cheque_deviation", "ratio", 0, "standard deviation of the cheques over their average", "стандартное отклонение чека к среднему"),
    _cheque("spend_30d", "money", -1, "money spent in the last 30 days", "сумма покупок за последние 30 дней"),
    _cheque("spend_90d", "money", -1, "money spent in the last 90 days", "сумма покупок за последние 90 дней"),
    _cheque("spend_365d", "money", -1, "money spent in the last 365 days", "сумма покупок за последние 365 дней"),
    _cheque("spend_total", "money", -1, "money spent in the observation window", "сумма покупок за всё время наблюдения"),
    _cheque("earlier_average_cheque", "money", 0, "average cheque before the last three orders", "средний чек до последних трёх заказов"),
    _cheque("average_last_3_cheques", "money", -1, "average of the last three cheques", "среднее последних трёх чеков"),
    _cheque("last_cheque_ratio", "ratio", -1, "last cheque against the average of those before", "последний чек к среднему прежних"),
    _cheque("last_3_cheques_ratio", "ratio", -1, "last three cheques against the average of those before", "последние три чека к среднему прежних"),
    _cheque("spend_ratio_90d", "ratio", -1, "money spent in the last 90 days against the customer's earlier pace", "траты за 90 дней к прежнему темпу клиента"),
)  # fmt: skip


@compiled
def cheque(
    order_time: Integers, order_amount: Floats, n_orders: int, as_of: int,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`; orders without an amount are passed over."""
    nan = math.nan
    n = 0
    spend_total = 0.0
    spend_30d = 0.0
    spend_90d = 0.0
    spend_365d = 0.0
    largest_cheque = 0.0
    last_cheque = nan
    for i in range(n_orders):
        amount = order_amount[i]
        if amount != amount:
            continue
        n += 1
        t = order_time[i]
        spend_total += amount
        if t >= as_of - 30 * DAY:
            spend_30d += amount
        if t >= as_of - 90 * DAY:
            spend_90d += amount
        if t >= as_of - 365 * DAY:
            spend_365d += amount
        if amount > largest_cheque:
            largest_cheque = amount
        last_cheque = amount
    if n == 0:
        return nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan
    average_cheque = spend_total / n

    squares = 0.0
    last_3 = 0.0
    before_last_3 = 0.0  # summed apart: a difference of sums could be zero or lose its digits
    before_last = 0.0
    before_90d = 0.0
    seen = 0
    for i in range(n_orders):
        amount = order_amount[i]
        if amount != amount:
            continue
        off = amount - average_cheque
        squares += off * off
        seen += 1
        if seen > n - 3:
            last_3 += amount
        else:
            before_last_3 += amount
        if seen < n:
            before_last += amount
        if order_time[i] < as_of - 90 * DAY:
            before_90d += amount
    cheque_deviation = nan
    if n >= 2:
        cheque_deviation = math.sqrt(squares / n) / average_cheque
    average_last_3_cheques = last_3 / min(n, 3)
    last_cheque_ratio = nan
    if n >= 2 and before_last / (n - 1) > NEXT_TO_NOTHING:
        last_cheque_ratio = last_cheque / (before_last / (n - 1))
    earlier_average_cheque = nan
    last_3_cheques_ratio = nan
    if n >= 4:
        earlier_average_cheque = before_last_3 / (n - 3)
        if earlier_average_cheque > NEXT_TO_NOTHING:
            last_3_cheques_ratio = average_last_3_cheques / earlier_average_cheque
    spend_ratio_90d = nan
    tenure = (as_of - order_time[0]) / DAY
    if tenure >= 180.0 and before_90d / (tenure - 90.0) * 90.0 > NEXT_TO_NOTHING:
        spend_ratio_90d = spend_90d / (before_90d / (tenure - 90.0) * 90.0)
    return (
        average_cheque,
        last_cheque,
        largest_cheque,
        cheque_deviation,
        spend_30d,
        spend_90d,
        spend_365d,
        spend_total,
        earlier_average_cheque,
        average_last_3_cheques,
        last_cheque_ratio,
        last_3_cheques_ratio,
        spend_ratio_90d,
    )
