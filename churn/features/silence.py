"""Silence: how long the customer has not bought, against their own gaps between purchase days."""

import math

from churn.compiled import Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY
from churn.features.definition import Family, Feature


def _silence(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.SILENCE, Feed.ORDERS, direction, en, ru)


FEATURES = (
    _silence("days_since_last_purchase", "days", +1, "days since the last purchase", "дней с последней покупки"),
    _silence("average_gap_days", "days", +1, "average gap between purchase days", "средний перерыв между покупками"),
    _silence("median_gap_days", "days", +1, "median gap between purchase days", "медианный перерыв между покупками"),
    _silence("longest_gap_days", "days", +1, "longest gap between purchase days", "самый долгий перерыв между покупками"),
    _silence("gap_deviation_days", "days", 0, "standard deviation of the gaps", "стандартное отклонение перерывов"),
    _silence("gap_1_days", "days", +1, "latest gap", "последний перерыв"),
    _silence("gap_2_days", "days", +1, "gap before the latest", "предпоследний перерыв"),
    _silence("gap_3_days", "days", +1, "third latest gap", "третий с конца перерыв"),
    _silence("gap_4_days", "days", +1, "fourth latest gap", "четвёртый с конца перерыв"),
    _silence("average_last_2_gaps_days", "days", +1, "average of the two latest gaps", "среднее двух последних перерывов"),
    _silence("gap_trend", "ratio", +1, "two latest gaps over the average gap", "два последних перерыва к среднему"),
    _silence("silence_over_own_gap", "ratio", +1, "silence over the customer's average gap", "молчание к своему среднему перерыву"),
    _silence("silence_over_median_gap", "ratio", +1, "silence over the customer's median gap", "молчание к своему медианному перерыву"),
    _silence("silence_over_longest_gap", "ratio", +1, "silence over the customer's longest gap", "молчание к своему самому долгому перерыву"),
    _silence("silence_over_gap_1", "ratio", +1, "silence over the latest gap", "молчание к последнему перерыву"),
    _silence("silence_over_gap_2", "ratio", +1, "silence over the gap before the latest", "молчание к предпоследнему перерыву"),
    _silence("mean_log_gap", "log days", +1, "mean logarithm of the gaps", "средний логарифм перерывов"),
    _silence("deviation_log_gap", "log days", 0, "standard deviation of the gaps' logarithm", "стандартное отклонение логарифма перерывов"),
    _silence("share_of_gaps_over_silence", "share", -1, "share of own gaps longer than the silence", "доля своих перерывов дольше молчания"),
    _silence("share_of_gaps_over_horizon", "share", +1, "share of own gaps longer than silence and horizon together", "доля своих перерывов дольше молчания и горизонта вместе"),
)  # fmt: skip


@compiled
def silence(
    order_time: Integers, n_orders: int, purchase_day: Integers, n_days: int, as_of: int,
    horizon: int, sorted_gap: Integers,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`; `horizon` in microseconds."""
    nan = math.nan
    if n_orders == 0:
        return (nan, nan, nan, nan, nan, nan, nan, nan, nan, nan,
                nan, nan, nan, nan, nan, nan, nan, nan, nan, nan)  # fmt: skip
    days_since_last_purchase = (as_of - order_time[n_orders - 1]) / DAY
    n_gaps = n_days - 1
    if n_gaps == 0:
        return (days_since_last_purchase, nan, nan, nan, nan, nan, nan, nan, nan, nan,
                nan, nan, nan, nan, nan, nan, nan, nan, nan, nan)  # fmt: skip

    beyond_horizon = days_since_last_purchase + horizon / DAY
    total = 0.0
    log_total = 0.0
    longer_than_silence = 0
    longer_than_horizon = 0
    for i in range(n_gaps):
        gap = purchase_day[i + 1] - purchase_day[i]
        total += gap
        log_total += math.log(gap)
        if gap > days_since_last_purchase:
            longer_than_silence += 1
        if gap > beyond_horizon:
            longer_than_horizon += 1
        at = i
        while at > 0 and sorted_gap[at - 1] > gap:
            sorted_gap[at] = sorted_gap[at - 1]
            at -= 1
        sorted_gap[at] = gap

    average_gap_days = total / n_gaps
    mean_log_gap = log_total / n_gaps
    longest_gap_days = float(sorted_gap[n_gaps - 1])
    median_gap_days = (sorted_gap[(n_gaps - 1) // 2] + sorted_gap[n_gaps // 2]) / 2.0
    gap_deviation_days = nan
    deviation_log_gap = nan
    if n_gaps >= 2:
        squares = 0.0
        log_squares = 0.0
        for i in range(n_gaps):
            gap = purchase_day[i + 1] - purchase_day[i]
            off = gap - average_gap_days
            squares += off * off
            log_off = math.log(gap) - mean_log_gap
            log_squares += log_off * log_off
        gap_deviation_days = math.sqrt(squares / n_gaps)
        deviation_log_gap = math.sqrt(log_squares / n_gaps)

    gap_1_days = float(purchase_day[n_days - 1] - purchase_day[n_days - 2])
    gap_2_days = nan
    gap_3_days = nan
    gap_4_days = nan
    average_last_2_gaps_days = nan
    gap_trend = nan
    silence_over_gap_2 = nan
    if n_gaps >= 2:
        gap_2_days = float(purchase_day[n_days - 2] - purchase_day[n_days - 3])
        average_last_2_gaps_days = (gap_1_days + gap_2_days) / 2.0
        gap_trend = average_last_2_gaps_days / average_gap_days
        silence_over_gap_2 = days_since_last_purchase / gap_2_days
    if n_gaps >= 3:
        gap_3_days = float(purchase_day[n_days - 3] - purchase_day[n_days - 4])
    if n_gaps >= 4:
        gap_4_days = float(purchase_day[n_days - 4] - purchase_day[n_days - 5])
    silence_over_own_gap = days_since_last_purchase / average_gap_days
    silence_over_median_gap = days_since_last_purchase / median_gap_days
    silence_over_longest_gap = days_since_last_purchase / longest_gap_days
    silence_over_gap_1 = days_since_last_purchase / gap_1_days
    share_of_gaps_over_silence = longer_than_silence / n_gaps
    share_of_gaps_over_horizon = longer_than_horizon / n_gaps
    return (
        days_since_last_purchase,
        average_gap_days,
        median_gap_days,
        longest_gap_days,
        gap_deviation_days,
        gap_1_days,
        gap_2_days,
        gap_3_days,
        gap_4_days,
        average_last_2_gaps_days,
        gap_trend,
        silence_over_own_gap,
        silence_over_median_gap,
        silence_over_longest_gap,
        silence_over_gap_1,
        silence_over_gap_2,
        mean_log_gap,
        deviation_log_gap,
        share_of_gaps_over_silence,
        share_of_gaps_over_horizon,
    )
