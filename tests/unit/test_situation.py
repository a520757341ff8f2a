"""What a customer's case is: by the features, the loss category and the reasons, in this order."""

import math
from typing import Any

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FAMILIES, FEATURE_NAMES, Family
from churn.policy.situation import CODE, Situations
from churn.reasons_by_column import Columns
from churn.schema import LOOP, Schema
from tests.own_columns import CALLS, STARS

SITUATIONS = Situations(LOOP, low_rating=2.5)
CATEGORIES = ("high_cheque_stopped", "active_shift", "periodic_switched", "one_time", "other", None)
CALM = {"open_complaints": 0.0, "complaints_365d": 0.0, "is_one_time_buyer": 0.0}
RETURNED = {"returns_90d": 1.0, "cancellations_90d": 0.0}
REPEATED = {"complaints_365d": 2.0, "days_since_last_complaint": 30.0}
ALL = (Family.CHEQUE, Family.RETURNS, Family.SILENCE)


def row(**known: float) -> dict[str, float]:
    return dict.fromkeys(FEATURE_NAMES, math.nan) | CALM | known


def test_an_open_complaint_comes_before_everything() -> None:
    known = row(open_complaints=1.0, **RETURNED, **REPEATED)
    assert SITUATIONS.of(known, ALL, "high_cheque_stopped") == "open_complaint"


@pytest.mark.parametrize(
    ("known", "is_case"),
    [
        (REPEATED, True),
        (REPEATED | {"days_since_last_complaint": 90.0}, True),
        (REPEATED | {"days_since_last_complaint": 90.1}, False),  # long ago
        (REPEATED | {"complaints_365d": 1.0}, False),
        (REPEATED | {"complaints_365d": 1.0, "last_resolution_days": 7.1}, True),
        (REPEATED | {"complaints_365d": 1.0, "last_resolution_days": 7.0}, False),
        (REPEATED | {"complaints_365d": 1.0, "last_resolution_rating": 2.4}, True),
        (REPEATED | {"complaints_365d": 1.0, "last_resolution_rating": 2.5}, False),
        ({"complaints_365d": 5.0}, False),  # when is not known
    ],
)
def test_complaints_came_again_or_were_badly_resolved(
    known: dict[str, float], is_case: bool
) -> None:
    found = SITUATIONS.of(row(**known), (), None)
    assert (found == "repeated_complaint") == is_case


@pytest.mark.parametrize(
    ("known", "family", "is_case"),
    [
        (RETURNED, Family.RETURNS, True),
        ({"returns_90d": 0.0, "cancellations_90d": 2.0}, Family.RETURNS, True),
        ({"returns_90d": 0.0, "cancellations_90d": 0.0}, Family.RETURNS, False),
        (RETURNED, Family.SILENCE, False),  # returns that do not raise the risk
        ({"rating_change": -1.0, "days_since_last_rating": 9.0}, Family.SATISFACTION, True),
        ({"rating_change": 0.0, "days_since_last_rating": 9.0}, Family.SATISFACTION, False),
        ({"rating_change": -1.0, "days_since_last_rating": 91.0}, Family.SATISFACTION, False),
    ],
)
def test_quality_is_a_case_where_it_is_recent_and_raises_the_risk(
    known: dict[str, float], family: Family, is_case: bool
) -> None:
    found = SITUATIONS.of(row(**known), (Family.ASSORTMENT, family), "one_time")
    assert found == ("quality" if is_case else "one_time")


@pytest.mark.parametrize("category", [*CATEGORIES[:4]])
def test_the_loss_category_comes_before_what_else_raises_the_risk(category: str) -> None:
    known = row(last_cheque_ratio=0.5, visits_30d=0.0, earlier_visits_30d=9.0)
    assert SITUATIONS.of(known, (Family.CHEQUE, Family.ENGAGEMENT), category) == category


@pytest.mark.parametrize(
    ("known", "main", "found"),
    [
        ({"last_cheque_ratio": 0.79}, (Family.CHEQUE,), "cheque_decline"),
        ({"last_3_cheques_ratio": 0.79}, (Family.CHEQUE,), "cheque_decline"),
        ({"last_cheque_ratio": 0.8, "last_3_cheques_ratio": 0.8}, (Family.CHEQUE,), "unknown"),
        ({"visits_30d": 1.0, "earlier_visits_30d": 2.0}, (Family.ENGAGEMENT,), "engagement_drop"),
        ({"visits_30d": 2.0, "earlier_visits_30d": 2.0}, (Family.ENGAGEMENT,), "unknown"),
        ({"discounted_share": 0.51}, (Family.DISCOUNT,), "promotion_only"),
        ({"discounted_share": 0.5}, (Family.DISCOUNT,), "unknown"),
        ({"discounted_share": 0.9, "last_cheque_ratio": 0.1}, (Family.DISCOUNT, Family.CHEQUE),
         "promotion_only"),
        ({"discounted_share": 0.9, "last_cheque_ratio": 0.1}, (Family.CHEQUE, Family.DISCOUNT),
         "cheque_decline"),
        ({"discounted_share": 0.1, "last_cheque_ratio": 0.1}, (Family.DISCOUNT, Family.CHEQUE),
         "cheque_decline"),
        ({}, (Family.SILENCE, Family.FREQUENCY, Family.TENURE), "unknown"),
        ({}, (), "unknown"),
    ],
)  # fmt: skip
def test_the_largest_reason_that_the_features_bear_out_decides(
    known: dict[str, float], main: tuple[Family, ...], found: str
) -> None:
    assert SITUATIONS.of(row(**known), main, "other") == found


@pytest.mark.parametrize(
    ("is_one_time", "family", "found"),
    [
        (1.0, Family.SILENCE, "one_time"),
        (0.0, Family.SILENCE, "periodic_switched"),
        (1.0, Family.FREQUENCY, "one_time"),
        (0.0, Family.FREQUENCY, "active_shift"),
        (1.0, Family.TENURE, "one_time"),
        (0.0, Family.TENURE, "unknown"),
        (math.nan, Family.SILENCE, "unknown"),
    ],
)
def test_without_a_loss_category_the_reasons_stand_for_it(
    is_one_time: float, family: Family, found: str
) -> None:
    assert SITUATIONS.of(row(is_one_time_buyer=is_one_time), (family,), None) == found


def test_a_column_of_the_users_own_bears_out_itself() -> None:
    schema = Schema((STARS, CALLS.replaced(family="complaints")), loop=False)
    situations = Situations(schema, math.nan)
    known = {"stars": 1.0, "support_calls": 9.0}
    assert situations.of(known, ("satisfaction",), None) == "quality"
    assert situations.of(known, ("satisfaction", "complaints"), None) == "repeated_complaint"
    assert situations.of(known, ("plan",), None) == "unknown"


SCHEMAS = [
    LOOP,
    Schema((STARS, CALLS.replaced(family="complaints"))),
    Schema((STARS, CALLS.replaced(family="complaints")), loop=False),
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_many_customers_are_each_what_they_are_alone(schema: Schema) -> None:
    rng = np.random.default_rng(3)
    n = 4_000
    X = rng.choice([0.0, 1.0, 0.5, 0.7, 2.0, 8.0, 40.0, 95.0, math.nan], size=(n, len(schema)))
    if schema.loop:
        # Or else hardly anybody would be without a complaint.
        X[: n * 3 // 4, schema.position["open_complaints"]] = 0.0
        X[: n // 2, schema.position["days_since_last_complaint"]] = math.nan
    main = rng.permuted(np.tile(np.arange(len(schema.families)), (n, 1)), axis=1)[:, :3]
    main[rng.random(n) < 0.2, 1:] = -1
    main[rng.random(n) < 0.1, 0:] = -1
    category = rng.integers(0, len(CATEGORIES), n)
    situations = Situations(schema, 2.5)
    found = situations.of_many(
        Columns(X, schema.position), schema.families, main, CATEGORIES, category
    )
    seen = set()
    for at in range(n):
        named = dict(zip(schema.names, X[at].tolist(), strict=True))
        reasons = [schema.families[one] for one in main[at].tolist() if one >= 0]
        alone = situations.of(named, reasons, CATEGORIES[category[at]])
        assert found[at] == CODE[alone], (at, alone)
        seen.add(alone)
    assert len(seen) == (len(CODE) if schema.loop else 7)


def test_service_is_owed_since_what_was_complained_of() -> None:
    now = 20_000 * DAY
    known = row(
        days_since_open_complaint=2.0, days_since_last_complaint=1.5, days_since_last_return=7.0,
        days_since_last_cancellation=3.0,
    )  # fmt: skip
    expected: dict[Any, int | None] = {
        "open_complaint": now - 2 * DAY,
        "repeated_complaint": now - 3 * DAY // 2,
        "quality": now - 3 * DAY,
        "one_time": None,
    }
    for situation, since in expected.items():
        assert SITUATIONS.owed_since(situation, known, now) == since
    assert SITUATIONS.owed_since("quality", row(), now) is None


def test_every_family_is_looked_at() -> None:
    named = {"quality": 0, "unknown": 0}
    for family in FAMILIES:
        found = SITUATIONS.of(
            row(
                **RETURNED, rating_change=-1.0, days_since_last_rating=1.0, last_cheque_ratio=0.1,
                visits_30d=0.0, earlier_visits_30d=1.0, discounted_share=1.0,
            ),
            (family,),
            "other",
        )  # fmt: skip
        named[found] = named.get(found, 0) + 1
    assert named == {
        "quality": 2, "cheque_decline": 1, "engagement_drop": 1, "promotion_only": 1, "unknown": 5,
    }  # fmt: skip
