"""Satisfaction: ratings and survey answers the customer gave, the last against those before."""

import math

from churn.compiled import Codes, Floats, Integers, compiled
from churn.events import KIND_CODES, Feed, Kind
from churn.features.collect import DAY
from churn.features.definition import Family, Feature

REVIEW = KIND_CODES[Kind.REVIEW]
SURVEY = KIND_CODES[Kind.SURVEY]


def _satisfaction(name: str, unit: str, direction: int, en: str, ru: str) -> Feature:
    return Feature(name, unit, Family.SATISFACTION, Feed.FEEDBACK, direction, en, ru)


FEATURES = (
    _satisfaction("ratings_365d", "events", 0, "ratings given in the last 365 days", "оценок за последние 365 дней"),
    _satisfaction("last_rating", "rating", -1, "last rating given", "последняя оценка"),
    _satisfaction("average_rating", "rating", -1, "average rating given", "средняя оценка"),
    _satisfaction("rating_change", "rating", -1, "last rating less the average of those before", "последняя оценка минус средняя прежних"),
    _satisfaction("days_since_last_rating", "days", 0, "days since the last rating", "дней с последней оценки"),
)  # fmt: skip


@compiled
def satisfaction(
    time: Integers, known_at: Integers, kind: Codes, value: Floats, start: int, stop: int,
    begin: int, as_of: int,
) -> tuple[float, ...]:  # fmt: skip
    """The features of this module, in the order of `FEATURES`; answers without a value are passed over."""
    nan = math.nan
    ratings_365d = 0.0
    last_rating = nan
    before_last = 0.0
    n = 0
    days_since_last_rating = nan
    for i in range(start, stop):
        t = time[i]
        if t >= as_of:
            break
        if t < begin or known_at[i] >= as_of:
            continue
        if (kind[i] != REVIEW and kind[i] != SURVEY) or value[i] != value[i]:
            continue
        if t >= as_of - 365 * DAY:
            ratings_365d += 1.0
        if n > 0:
            before_last += last_rating
        n += 1
        last_rating = value[i]
        days_since_last_rating = (as_of - t) / DAY

    average_rating = nan
    rating_change = nan
    if n > 0:
        average_rating = (before_last + last_rating) / n
    if n > 1:
        rating_change = last_rating - before_last / (n - 1)
    return ratings_365d, last_rating, average_rating, rating_change, days_since_last_rating
