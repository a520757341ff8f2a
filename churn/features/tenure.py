"""Tenure: how long the relationship is, and whether it is one at all (a single purchase)."""

import math

from churn.compiled import Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY
from churn.features.definition import Family, Feature


def _tenure(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.TENURE, Feed.ORDERS, direction, en, ru, controllable=False)


FEATURES = (
    _tenure("tenure_days", "days", -1, "days since the first purchase", "дней с первой покупки"),
    _tenure("active_span_days", "days", -1, "days from the first purchase to the last", "дней от первой покупки до последней"),
    _tenure("active_share_of_tenure", "share", -1, "share of the relationship before the last purchase", "доля отношений до последней покупки"),
    _tenure("is_one_time_buyer", "code", +1, "bought on one day only", "покупал только в один день"),
)  # fmt: skip


@compiled
def tenure(order_time: Integers, n_orders: int, n_days: int, as_of: int) -> tuple[float, ...]:
    """The features of this module, in the order of `FEATURES`."""
    nan = math.nan
    if n_orders == 0:
        return nan, nan, nan, nan
    tenure_days = (as_of - order_time[0]) / DAY
    active_span_days = (order_time[n_orders - 1] - order_time[0]) / DAY
    active_share_of_tenure = active_span_days / tenure_days
    is_one_time_buyer = 1.0 if n_days == 1 else 0.0
    return tenure_days, active_span_days, active_share_of_tenure, is_one_time_buyer
