"""Discount dependence: whether the customer buys only when something is taken off the price."""

import math

from churn.compiled import Floats, Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY
from churn.features.definition import Family, Feature


def _discount(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.DISCOUNT, Feed.DISCOUNTS, direction, en, ru)


FEATURES = (
    _discount("discounted_share", "share", +1, "share of orders bought with a discount", "доля заказов со скидкой"),
    _discount("discounted_share_180d", "share", +1, "share of orders of the last 180 days bought with a discount", "доля заказов со скидкой за последние 180 дней"),
    _discount("average_discount_rate", "share", +1, "discounts over the undiscounted price of all orders", "скидки к полной цене всех заказов"),
    _discount("last_order_discounted", "code", +1, "the last order was bought with a discount", "последний заказ был со скидкой"),
    _discount("days_since_full_price", "days", +1, "days since the last order at full price", "дней с последнего заказа по полной цене"),
)  # fmt: skip


@compiled
def discount(
    order_time: Integers, order_amount: Floats, order_discount: Floats, n_orders: int, as_of: int,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`; no discount given counts as none."""
    nan = math.nan
    if n_orders == 0:
        return nan, nan, nan, nan, nan
    discounted = 0
    discounted_180d = 0
    orders_180d = 0
    paid = 0.0
    taken_off = 0.0
    last_order_discounted = 0.0
    days_since_full_price = nan
    for i in range(n_orders):
        t = order_time[i]
        off = order_discount[i]
        is_discounted = off > 0.0  # false for a missing discount as well
        if t >= as_of - 180 * DAY:
            orders_180d += 1
        if order_amount[i] == order_amount[i]:
            paid += order_amount[i]
        last_order_discounted = 0.0
        if is_discounted:
            taken_off += off
            discounted += 1
            last_order_discounted = 1.0
            if t >= as_of - 180 * DAY:
                discounted_180d += 1
        else:
            days_since_full_price = (as_of - t) / DAY
    discounted_share = discounted / n_orders
    discounted_share_180d = nan
    if orders_180d > 0:
        discounted_share_180d = discounted_180d / orders_180d
    average_discount_rate = nan
    if paid > 0.0:
        average_discount_rate = taken_off / (paid + taken_off)
    return (
        discounted_share,
        discounted_share_180d,
        average_discount_rate,
        last_order_discounted,
        days_since_full_price,
    )
