"""Assortment: how many categories the customer buys, and whether they grow fewer."""

import math

from churn.compiled import Codes, Integers, compiled
from churn.events import Feed
from churn.features.collect import DAY, PURCHASE
from churn.features.definition import Family, Feature


def _assortment(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.ASSORTMENT, Feed.CATEGORIES, direction, en, ru)


FEATURES = (
    _assortment("categories_total", "categories", -1, "different categories bought", "разных категорий за всё время"),
    _assortment("categories_90d", "categories", -1, "different categories bought in the last 90 days", "разных категорий за последние 90 дней"),
    _assortment("categories_ratio_90d", "ratio", -1, "categories of the last 90 days against all before", "категории за 90 дней к прежним"),
    _assortment("top_category_share", "share", 0, "share of purchase lines in the main category", "доля основной категории"),
    _assortment("days_since_new_category", "days", +1, "days since a category was bought for the first time", "дней с первой покупки в новой категории"),
)  # fmt: skip


@compiled
def assortment(
    time: Integers, known_at: Integers, kind: Codes, category: Integers, start: int, stop: int,
    begin: int, as_of: int, row: int, category_row: Integers, category_lines: Integers,
    category_recent: Integers,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`.

    The last three arguments are scratch, one integer per category code: what `category_lines` and
    `category_recent` hold counts only where `category_row` equals `row`.
    """
    nan = math.nan
    lines = 0
    distinct = 0
    distinct_before = 0
    distinct_90d = 0
    most = 0
    days_since_new_category = nan
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        code = category[i]
        if kind[i] != PURCHASE or code < 0 or t < begin or known_at[i] >= as_of:
            continue
        lines += 1
        if category_row[code] != row:
            category_row[code] = row
            category_lines[code] = 0
            category_recent[code] = 0
            distinct += 1
            if t < as_of - 90 * DAY:
                distinct_before += 1
            days_since_new_category = (as_of - t) / DAY
        category_lines[code] += 1
        if category_lines[code] > most:
            most = category_lines[code]
        if t >= as_of - 90 * DAY and category_recent[code] == 0:
            category_recent[code] = 1
            distinct_90d += 1
    if lines == 0:
        return nan, nan, nan, nan, nan
    categories_ratio_90d = nan
    if distinct_before > 0:
        categories_ratio_90d = distinct_90d / distinct_before
    return (
        float(distinct),
        float(distinct_90d),
        categories_ratio_90d,
        most / lines,
        days_since_new_category,
    )
