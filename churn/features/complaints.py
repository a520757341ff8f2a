"""Complaints: how many, how recent, still open, and how well they were resolved.

A resolution closes the complaint of its case; one without a case closes every open complaint
that has no case either.
"""

import math

from churn.compiled import Codes, Floats, Integers, compiled
from churn.events import KIND_CODES, Feed, Kind
from churn.features.collect import DAY, PURCHASE
from churn.features.definition import Family, Feature

COMPLAINT = KIND_CODES[Kind.COMPLAINT]
RESOLVED = KIND_CODES[Kind.COMPLAINT_RESOLVED]


def _complaints(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.COMPLAINTS, Feed.COMPLAINTS, direction, en, ru)


FEATURES = (
    _complaints("complaints_30d", "events", +1, "complaints in the last 30 days", "жалоб за последние 30 дней"),
    _complaints("complaints_90d", "events", +1, "complaints in the last 90 days", "жалоб за последние 90 дней"),
    _complaints("complaints_365d", "events", +1, "complaints in the last 365 days", "жалоб за последние 365 дней"),
    _complaints("open_complaints", "events", +1, "complaints without a resolution", "нерешённых жалоб"),
    _complaints("days_since_last_complaint", "days", -1, "days since the last complaint", "дней с последней жалобы"),
    _complaints("days_since_open_complaint", "days", -1, "days since the latest complaint that is still open", "дней с последней нерешённой жалобы"),
    _complaints("average_resolution_days", "days", +1, "average days until a complaint was resolved", "среднее число дней до решения жалобы"),
    _complaints("last_resolution_days", "days", +1, "days until the last resolved complaint was resolved", "дней до решения последней решённой жалобы"),
    _complaints("last_resolution_rating", "rating", -1, "rating of the last resolution", "оценка последнего решения"),
    _complaints("complaints_per_order", "ratio", +1, "complaints per order", "жалоб на заказ"),
    _complaints("purchases_since_complaint", "events", -1, "purchase lines since the last complaint", "строк покупок после последней жалобы"),
)  # fmt: skip


@compiled
def complaints(
    time: Integers, known_at: Integers, kind: Codes, value: Floats, case: Integers, start: int,
    stop: int, begin: int, as_of: int, n_orders: int, row: int, case_row: Integers,
    case_opened: Integers,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`.

    `case_row` and `case_opened` are scratch, one integer per case code: an entry of `case_opened`
    (when the open complaint was made) counts only where `case_row` equals `row`.
    """
    nan = math.nan
    complaints_30d = 0.0
    complaints_90d = 0.0
    complaints_365d = 0.0
    total = 0.0
    open_cases = 0
    open_without_case = 0
    first_open_without_case = 0
    last_complaint = -1
    purchases_since_complaint = nan
    resolved = 0
    resolution_days = 0.0
    last_resolution_days = nan
    last_resolution_rating = nan
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        if t < begin or known_at[i] >= as_of:
            continue
        if kind[i] == COMPLAINT:
            total += 1.0
            if t >= as_of - 30 * DAY:
                complaints_30d += 1.0
            if t >= as_of - 90 * DAY:
                complaints_90d += 1.0
            if t >= as_of - 365 * DAY:
                complaints_365d += 1.0
            last_complaint = i
            purchases_since_complaint = 0.0
            code = case[i]
            if code < 0:
                if open_without_case == 0:
                    first_open_without_case = t
                open_without_case += 1
            elif case_row[code] != row:
                case_row[code] = row
                case_opened[code] = t
                open_cases += 1
        elif kind[i] == RESOLVED:
            code = case[i]
            closes = False
            opened = 0
            if code < 0:
                if open_without_case > 0:
                    closes = True
                    opened = first_open_without_case
                    open_without_case = 0
            elif case_row[code] == row:
                case_row[code] = -1
                closes = True
                opened = case_opened[code]
                open_cases -= 1
            if closes:
                last_resolution_days = (t - opened) / DAY
                resolution_days += last_resolution_days
                resolved += 1
                last_resolution_rating = value[i]
        elif kind[i] == PURCHASE and last_complaint >= 0:
            purchases_since_complaint += 1.0

    days_since_last_complaint = nan
    days_since_open_complaint = nan
    if last_complaint >= 0:
        days_since_last_complaint = (as_of - time[last_complaint]) / DAY
    open_complaints = float(open_cases + open_without_case)
    if open_complaints > 0.0:
        # Backwards to the latest complaint whose case is still open.
        for j in range(last_complaint - start + 1):
            i = last_complaint - j
            if kind[i] != COMPLAINT or time[i] < begin or known_at[i] >= as_of:
                continue
            code = case[i]
            if (code < 0 and open_without_case > 0) or (code >= 0 and case_row[code] == row):
                days_since_open_complaint = (as_of - time[i]) / DAY
                break
    average_resolution_days = nan
    if resolved > 0:
        average_resolution_days = resolution_days / resolved
    complaints_per_order = nan
    if n_orders > 0:
        complaints_per_order = total / n_orders
    return (
        complaints_30d,
        complaints_90d,
        complaints_365d,
        open_complaints,
        days_since_last_complaint,
        days_since_open_complaint,
        average_resolution_days,
        last_resolution_days,
        last_resolution_rating,
        complaints_per_order,
        purchases_since_complaint,
    )
