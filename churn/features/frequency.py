"""Frequency: how often the customer buys, now against before, and when in the calendar."""

import math

from churn.compiled import Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY
from churn.features.definition import Family, Feature


def _frequency(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.FREQUENCY, Feed.ORDERS, direction, en, ru)


FEATURES = (
    _frequency("purchases_30d", "orders", -1, "orders in the last 30 days", "заказов за последние 30 дней"),
    _frequency("purchases_60d", "orders", -1, "orders in the last 60 days", "заказов за последние 60 дней"),
    _frequency("purchases_90d", "orders", -1, "orders in the last 90 days", "заказов за последние 90 дней"),
    _frequency("purchases_180d", "orders", -1, "orders in the last 180 days", "заказов за последние 180 дней"),
    _frequency("purchases_365d", "orders", -1, "orders in the last 365 days", "заказов за последние 365 дней"),
    _frequency("purchases_total", "orders", -1, "orders in the observation window", "заказов за всё время наблюдения"),
    _frequency("purchase_days_total", "days", -1, "days with a purchase in the observation window", "дней с покупкой за всё время наблюдения"),
    _frequency("purchases_per_month", "orders", -1, "orders per 30 days since the first purchase", "заказов за 30 дней с первой покупки"),
    _frequency("frequency_ratio_30d", "ratio", -1, "orders of the last 30 days against the customer's earlier pace", "заказы за 30 дней к прежнему темпу клиента"),
    _frequency("frequency_ratio_90d", "ratio", -1, "orders of the last 90 days against the customer's earlier pace", "заказы за 90 дней к прежнему темпу клиента"),
    _frequency("frequency_ratio_180d", "ratio", -1, "orders of the last 180 days against the customer's earlier pace", "заказы за 180 дней к прежнему темпу клиента"),
    _frequency("earlier_pace_90d", "orders", 0, "orders per 90 days before the last 90", "заказов за 90 дней до последних 90"),
    _frequency("recent_half_share", "share", -1, "share of orders in the later half of the relationship", "доля заказов во второй половине отношений"),
    _frequency("purchases_same_season", "days", -1, "purchase days in the same weeks last year", "дней с покупкой в те же недели прошлого года"),
    _frequency("weekday_concentration", "share", 0, "concentration of purchase days on weekdays", "сосредоточенность покупок по дням недели"),
    _frequency("month_day_concentration", "share", 0, "concentration of purchase days on days of the month", "сосредоточенность покупок по числам месяца"),
    _frequency("last_weekday", "code", 0, "weekday of the last purchase (0 is Monday)", "день недели последней покупки (0 — понедельник)"),
    _frequency("orders_per_purchase_day", "ratio", 0, "orders per purchase day", "заказов в день с покупкой"),
)  # fmt: skip


@compiled
def frequency(
    order_time: Integers, n_orders: int, purchase_day: Integers, n_days: int, as_of: int,
    horizon: int, counts: Integers,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`; `counts` is 31 integers of scratch."""
    nan = math.nan
    if n_orders == 0:
        return (nan, nan, nan, nan, nan, nan, nan, nan, nan,
                nan, nan, nan, nan, nan, nan, nan, nan, nan)  # fmt: skip
    purchases_30d = 0.0
    purchases_60d = 0.0
    purchases_90d = 0.0
    purchases_180d = 0.0
    purchases_365d = 0.0
    in_recent_half = 0
    first = order_time[0]
    middle = first + (as_of - first) // 2
    for i in range(n_orders):
        t = order_time[i]
        if t >= as_of - 30 * DAY:
            purchases_30d += 1.0
        if t >= as_of - 60 * DAY:
            purchases_60d += 1.0
        if t >= as_of - 90 * DAY:
            purchases_90d += 1.0
        if t >= as_of - 180 * DAY:
            purchases_180d += 1.0
        if t >= as_of - 365 * DAY:
            purchases_365d += 1.0
        if t >= middle:
            in_recent_half += 1
    purchases_total = float(n_orders)
    purchase_days_total = float(n_days)
    tenure = (as_of - first) / DAY
    purchases_per_month = purchases_total / max(tenure, 30.0) * 30.0

    # One order is added above and below so that one purchase more or less is no earthquake.
    frequency_ratio_30d = nan
    if tenure >= 60.0:
        pace = (purchases_total - purchases_30d) / (tenure - 30.0)
        frequency_ratio_30d = (purchases_30d + 1.0) / (pace * 30.0 + 1.0)
    frequency_ratio_90d = nan
    earlier_pace_90d = nan
    if tenure >= 180.0:
        earlier_pace_90d = (purchases_total - purchases_90d) / (tenure - 90.0) * 90.0
        frequency_ratio_90d = (purchases_90d + 1.0) / (earlier_pace_90d + 1.0)
    frequency_ratio_180d = nan
    if tenure >= 360.0:
        pace = (purchases_total - purchases_180d) / (tenure - 180.0)
        frequency_ratio_180d = (purchases_180d + 1.0) / (pace * 180.0 + 1.0)
    recent_half_share = in_recent_half / n_orders

    season_begin = as_of - 365 * DAY
    purchases_same_season = nan
    if first < season_begin + horizon:
        purchases_same_season = 0.0
        for i in range(n_days):
            start_of_day = purchase_day[i] * DAY
            if start_of_day >= season_begin and start_of_day < season_begin + horizon:
                purchases_same_season += 1.0

    for i in range(7):
        counts[i] = 0
    for i in range(n_days):
        counts[(purchase_day[i] + 3) % 7] += 1  # 1970-01-01 was a Thursday
    squares = 0.0
    for i in range(7):
        squares += counts[i] * counts[i]
    weekday_concentration = squares / (n_days * n_days)

    for i in range(31):
        counts[i] = 0
    for i in range(n_days):
        # Day of the month in the Gregorian calendar, by whole-number arithmetic on 400-year eras
        # that begin on March 1st.
        shifted = purchase_day[i] + 719468
        day_of_era = shifted - (shifted // 146097) * 146097
        year_of_era = (
            day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
        ) // 365
        day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
        month = (5 * day_of_year + 2) // 153
        counts[day_of_year - (153 * month + 2) // 5] += 1
    squares = 0.0
    for i in range(31):
        squares += counts[i] * counts[i]
    month_day_concentration = squares / (n_days * n_days)
    last_weekday = float((purchase_day[n_days - 1] + 3) % 7)
    orders_per_purchase_day = n_orders / n_days
    return (
        purchases_30d,
        purchases_60d,
        purchases_90d,
        purchases_180d,
        purchases_365d,
        purchases_total,
        purchase_days_total,
        purchases_per_month,
        frequency_ratio_30d,
        frequency_ratio_90d,
        frequency_ratio_180d,
        earlier_pace_90d,
        recent_half_share,
        purchases_same_season,
        weekday_concentration,
        month_day_concentration,
        last_weekday,
        orders_per_purchase_day,
    )
