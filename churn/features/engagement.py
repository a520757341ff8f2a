"""Engagement: visits and abandoned carts, now against before."""

import math

from churn.compiled import Codes, Integers, compiled
from churn.events import KIND_CODES, Feed, Kind
from churn.features.collect import DAY
from churn.features.definition import Family, Feature

VISIT = KIND_CODES[Kind.VISIT]
CART_ABANDONED = KIND_CODES[Kind.CART_ABANDONED]


def _engagement(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.ENGAGEMENT, Feed.VISITS, direction, en, ru)


FEATURES = (
    _engagement("visits_7d", "events", -1, "visits in the last 7 days", "визитов за последние 7 дней"),
    _engagement("visits_30d", "events", -1, "visits in the last 30 days", "визитов за последние 30 дней"),
    _engagement("visits_90d", "events", -1, "visits in the last 90 days", "визитов за последние 90 дней"),
    _engagement("days_since_last_visit", "days", +1, "days since the last visit", "дней с последнего визита"),
    _engagement("earlier_visits_30d", "events", 0, "visits per 30 days before the last 30, within 180 days", "визитов за 30 дней до последних 30, в пределах 180 дней"),
    _engagement("visit_ratio_30d", "ratio", -1, "visits of the last 30 days against the customer's earlier pace", "визиты за 30 дней к прежнему темпу клиента"),
    _engagement("visits_since_last_purchase", "events", -1, "visits since the last purchase", "визитов после последней покупки"),
    _engagement("carts_abandoned_30d", "events", 0, "carts abandoned in the last 30 days", "брошенных корзин за последние 30 дней"),
    _engagement("carts_abandoned_90d", "events", 0, "carts abandoned in the last 90 days", "брошенных корзин за последние 90 дней"),
)  # fmt: skip


@compiled
def engagement(
    time: Integers, known_at: Integers, kind: Codes, start: int, stop: int, begin: int,
    as_of: int, order_time: Integers, n_orders: int,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`."""
    nan = math.nan
    visits_7d = 0.0
    visits_30d = 0.0
    visits_90d = 0.0
    visits_180d = 0.0
    days_since_last_visit = nan
    first_visit = -1
    visits_since_last_purchase = 0.0
    carts_abandoned_30d = 0.0
    carts_abandoned_90d = 0.0
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        if t < begin or known_at[i] >= as_of:
            continue
        if kind[i] == VISIT:
            if t >= as_of - 7 * DAY:
                visits_7d += 1.0
            if t >= as_of - 30 * DAY:
                visits_30d += 1.0
            if t >= as_of - 90 * DAY:
                visits_90d += 1.0
            if t >= as_of - 180 * DAY:
                visits_180d += 1.0
            if first_visit < 0:
                first_visit = i
            days_since_last_visit = (as_of - t) / DAY
            if n_orders > 0 and t > order_time[n_orders - 1]:
                visits_since_last_purchase += 1.0
        elif kind[i] == CART_ABANDONED:
            if t >= as_of - 30 * DAY:
                carts_abandoned_30d += 1.0
            if t >= as_of - 90 * DAY:
                carts_abandoned_90d += 1.0

    earlier_visits_30d = nan
    visit_ratio_30d = nan
    if first_visit >= 0:
        known_days = min((as_of - time[first_visit]) / DAY, 180.0)
        if known_days >= 60.0:
            earlier_visits_30d = (visits_180d - visits_30d) / (known_days - 30.0) * 30.0
            visit_ratio_30d = (visits_30d + 1.0) / (earlier_visits_30d + 1.0)
    return (
        visits_7d,
        visits_30d,
        visits_90d,
        days_since_last_visit,
        earlier_visits_30d,
        visit_ratio_30d,
        visits_since_last_purchase,
        carts_abandoned_30d,
        carts_abandoned_90d,
    )
