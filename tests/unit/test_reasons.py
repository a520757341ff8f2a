import math
import re
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.features import FAMILIES, FEATURE_NAMES, FEATURES, POSITION, Family
from churn.lowering_rules import LOWERING_RULES
from churn.reason_rules import CONTROLLABLE, RULES, Rule
from churn.reasons import Reason, catalogue, reasons
from churn.words import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)

# For each rule, what a customer is like of whom it holds.
HOLDS: dict[str, dict[str, float]] = {
    "open_complaint": {"open_complaints": 1, "days_since_open_complaint": 3.2},
    "repeated_complaints": {"complaints_365d": 2},
    "slow_resolution": {"last_resolution_days": 12.0},
    "recent_complaint": {"complaints_365d": 1, "days_since_last_complaint": 21.0},
    "recent_returns": {"returns_90d": 2},
    "recent_cancellations": {"cancellations_90d": 1},
    "high_return_share": {"returned_amount_share": 0.4},
    "low_rating": {"last_rating": 2, "average_rating": 4.3, "rating_change": -2.3},
    "last_rating": {"last_rating": 3, "ratings_365d": 1},
    "single_purchase_silence": {"is_one_time_buyer": 1, "days_since_last_purchase": 40.0},
    "long_silence": {
        "silence_over_own_gap": 3.1, "days_since_last_purchase": 41.0, "average_gap_days": 13.2,
    },
    "slowing_rhythm": {
        "gap_trend": 1.5, "average_last_2_gaps_days": 30.0, "average_gap_days": 20.0,
    },
    "slow_rhythm": {"average_gap_days": 20.0, "days_since_last_purchase": 5.0},
    "time_since_purchase": {"days_since_last_purchase": 5.0},
    "frequency_drop": {"purchases_90d": 1, "earlier_pace_90d": 4.4},
    "few_purchases": {"purchases_365d": 2},
    "cheque_decline": {
        "last_3_cheques_ratio": 0.6, "average_last_3_cheques": 60.0, "earlier_average_cheque": 99.0,
    },
    "small_last_cheque": {"last_cheque_ratio": 0.5, "last_cheque": 50.0, "average_cheque": 100.0},
    "low_spend": {"spend_365d": 120.0},
    "engagement_drop": {"visits_30d": 1, "earlier_visits_30d": 6.5},
    "few_visits": {"visits_90d": 0},
    "discount_dependence": {"discounted_share": 0.75},
    "narrowing_assortment": {"categories_90d": 1, "categories_total": 5},
    "narrow_assortment": {"categories_total": 2, "categories_90d": 2},
    "one_time_buyer": {"is_one_time_buyer": 1, "tenure_days": 33.0},
    "short_relationship": {"tenure_days": 100.0},
}  # fmt: skip


# The same for the rules that lower the risk.
HOLDS_LOWERING: dict[str, dict[str, float]] = {
    "quick_resolution": {"open_complaints": 0, "last_resolution_days": 2.0},
    "no_complaints": {"complaints_365d": 0},
    "no_returns": {"returns_365d": 0, "cancellations_365d": 0},
    "few_returns": {"returned_amount_share": 0.04, "returns_365d": 1},
    "steady_rating": {"last_rating": 5, "average_rating": 4.3, "rating_change": 0.7},
    "good_rating": {"last_rating": 5, "ratings_365d": 1},
    "recent_first_purchase": {"is_one_time_buyer": 1, "days_since_last_purchase": 4.0},
    "within_own_rhythm": {
        "silence_over_own_gap": 0.4, "days_since_last_purchase": 5.0, "average_gap_days": 13.2,
    },
    "quickening_rhythm": {
        "gap_trend": 0.5, "average_last_2_gaps_days": 10.0, "average_gap_days": 20.0,
    },
    "last_purchase": {"days_since_last_purchase": 21.0},
    "frequency_rise": {"purchases_90d": 6, "earlier_pace_90d": 2.4},
    "regular_purchases": {"purchases_365d": 21},
    "cheque_rise": {
        "last_3_cheques_ratio": 1.6, "average_last_3_cheques": 99.0, "earlier_average_cheque": 60.0,
    },
    "large_last_cheque": {"last_cheque_ratio": 1.5, "last_cheque": 90.0, "average_cheque": 60.0},
    "high_spend": {"spend_365d": 1200.0},
    "engagement_rise": {"visits_30d": 9, "earlier_visits_30d": 6.5},
    "recent_visits": {"visits_90d": 3},
    "full_price": {"discounted_share": 0.0},
    "discounts_used": {"discounted_share": 0.75},
    "wide_assortment": {"categories_total": 5},
    "steady_assortment": {"categories_90d": 2, "categories_total": 2},
    "long_relationship": {"tenure_days": 400.0},
    "new_customer": {"tenure_days": 21.0},
}  # fmt: skip


def row(**known: float) -> dict[str, float]:
    assert set(known) <= set(FEATURE_NAMES)
    return dict.fromkeys(FEATURE_NAMES, math.nan) | known


def only(family: Family, amount: float = 1.0) -> list[float]:
    """Contributions in which one family alone raises the risk."""
    return [amount if known is family else -0.1 for known in FAMILIES]


def rule_id(rule: Rule) -> str:
    return rule.code


def test_the_examples_cover_every_rule() -> None:
    assert set(HOLDS) == {rule.code for rule in RULES}
    assert len(RULES) == len(HOLDS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_every_rule_says_its_evidence_in_words(rule: Rule, language: Language) -> None:
    customer = row(**HOLDS[rule.code])
    (found,) = reasons(customer, only(rule.family), language=language, currency="EUR")
    assert found.code == rule.code
    assert found.family is rule.family
    assert found.direction == "raises"
    assert found.value == customer[rule.feature]
    assert found.share == 1.0
    assert not re.search(r"[{}]|nan", found.text)
    assert bool(re.search("[а-яё]", found.text)) == (language == "ru")
    numbers = re.findall(r"\d+", found.text)
    assert numbers or rule.code == "open_complaint"


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_a_rule_refers_to_features_of_its_own_family(rule: Rule) -> None:
    named = {rule.feature, *rule.needs}
    if isinstance(rule.norm, str):
        named.add(rule.norm)
    assert named <= set(FEATURE_NAMES)
    feeds = {FEATURES[POSITION[name]].feed for name in named}
    assert len(feeds) == 1
    assert FEATURES[POSITION[rule.feature]].family is rule.family
    for words in rule.words.values():
        assert set(re.findall(r"{(\w+):", words)) <= set(rule.needs)


def test_the_examples_cover_every_lowering_rule() -> None:
    assert set(HOLDS_LOWERING) == {rule.code for rule in LOWERING_RULES}
    assert len(LOWERING_RULES) == len(HOLDS_LOWERING)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", LOWERING_RULES, ids=rule_id)
def test_what_lowers_the_risk_is_told_to_who_asks_for_both(rule: Rule, language: Language) -> None:
    customer = row(**HOLDS_LOWERING[rule.code])
    alone = [-1.0 if family is rule.family else 0.0 for family in FAMILIES]
    (found,) = reasons(customer, alone, direction="both", language=language, currency="EUR")
    assert (found.code, found.family, found.direction) == (rule.code, rule.family, "lowers")
    assert (found.contribution, found.share) == (-1.0, 1.0)
    assert found.value == customer[rule.feature]
    assert not re.search(r"[{}]|nan", found.text)
    assert bool(re.search("[а-яё]", found.text)) == (language == "ru")
    assert reasons(customer, alone, language=language) == ()


@pytest.mark.parametrize("rule", LOWERING_RULES, ids=rule_id)
def test_a_lowering_rule_refers_to_features_of_its_own_family(rule: Rule) -> None:
    named = {rule.feature, *rule.needs, *([rule.norm] if isinstance(rule.norm, str) else [])}
    assert {FEATURES[POSITION[name]].feed for name in named} == {
        feature.feed for feature in FEATURES if feature.family is rule.family
    }
    for words in rule.words.values():
        assert set(re.findall(r"{(\w+):", words)) <= set(rule.needs)


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (1, "последняя покупка 1 день назад"),
        (22, "последняя покупка 22 дня назад"),
        (15, "последняя покупка 15 дней назад"),
    ],
)
def test_a_lowering_reason_reads_well_in_russian(days: float, text: str) -> None:
    alone = [-1.0 if family is Family.SILENCE else 0.0 for family in FAMILIES]
    customer = row(days_since_last_purchase=days)
    (found,) = reasons(customer, alone, direction="both", language="ru")
    assert found.text == text


def test_both_directions_come_by_size_each_with_its_share_of_its_own_side() -> None:
    customer = row(**HOLDS["long_silence"], **HOLDS_LOWERING["high_spend"], tenure_days=100.0)
    contributions = dict.fromkeys(FAMILIES, 0.0) | {
        Family.SILENCE: 0.9, Family.CHEQUE: -1.2, Family.TENURE: 0.1, Family.FREQUENCY: -0.4,
    }  # fmt: skip
    found = reasons(customer, list(contributions.values()), direction="both")
    assert [(r.code, r.direction) for r in found] == [
        ("high_spend", "lowers"),
        ("long_silence", "raises"),
        ("short_relationship", "raises"),
    ]
    assert [r.share for r in found] == pytest.approx([0.75, 0.9, 0.1])
    raising = reasons(customer, list(contributions.values()))
    assert list(raising) == [r for r in found if r.direction == "raises"]
    (one,) = reasons(customer, list(contributions.values()), direction="both", max_reasons=1)
    assert one.code == "high_spend"


def test_a_silence_is_held_against_the_customers_own_gap() -> None:
    (found,) = reasons(row(**HOLDS["long_silence"]), only(Family.SILENCE))
    assert found.text == "41 days without a purchase; usually buys every 13 days"
    assert (found.feature, found.value, found.norm) == ("silence_over_own_gap", 3.1, 1.0)


def test_a_norm_that_is_a_feature_is_the_customers_own() -> None:
    (found,) = reasons(row(**HOLDS["frequency_drop"]), only(Family.FREQUENCY))
    assert (found.value, found.norm) == (1, 4.4)


def test_a_customer_without_complaints_gets_none_as_a_reason() -> None:
    customer = row(
        complaints_30d=0, complaints_90d=0, complaints_365d=0, open_complaints=0,
        complaints_per_order=0,
    )  # fmt: skip
    assert reasons(customer, only(Family.COMPLAINTS, 3.0)) == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_of_which_nothing_is_known_says_nothing(family: Family) -> None:
    assert reasons(row(), only(family)) == ()


def test_what_lowers_the_risk_is_no_reason() -> None:
    customer = row(**HOLDS["long_silence"])
    assert reasons(customer, only(Family.SILENCE, -1.0)) == ()
    assert reasons(customer, [0.0] * len(FAMILIES)) == ()


def everything() -> dict[str, float]:
    customer = row()
    for known in reversed(HOLDS.values()):
        customer |= known
    return customer


@given(
    st.lists(
        st.floats(-3, 3, allow_subnormal=False), min_size=len(FAMILIES), max_size=len(FAMILIES)
    ),
    st.integers(0, 8),
)
def test_shares_are_parts_of_the_rise_largest_first(contributions: list[float], most: int) -> None:
    found = reasons(everything(), contributions, max_reasons=most)
    rise = sum(number for number in contributions if number > 0)
    assert len(found) == min(most, sum(number > 0 for number in contributions))
    for reason in found:
        assert 0 < reason.share <= 1
        assert reason.contribution == contributions[FAMILIES.index(reason.family)]
        assert reason.share == pytest.approx(reason.contribution / rise)
    assert all(first.contribution >= then.contribution for first, then in pairwise(found))
    assert sum(reason.share for reason in found) <= 1 + 1e-12
    assert len({reason.family for reason in found}) == len(found)


def test_a_family_without_evidence_still_counts_in_the_shares() -> None:
    contributions = only(Family.SILENCE, 1.0)
    contributions[FAMILIES.index(Family.COMPLAINTS)] = 3.0
    (found,) = reasons(row(**HOLDS["long_silence"]), contributions)
    assert found.share == 0.25


def test_the_relationships_age_is_not_in_the_businesss_hands() -> None:
    (found,) = reasons(row(**HOLDS["short_relationship"]), only(Family.TENURE))
    assert not found.controllable
    (found,) = reasons(row(**HOLDS["long_silence"]), only(Family.SILENCE))
    assert found.controllable
    assert {family: CONTROLLABLE[family] for family in FAMILIES} == {
        family: all(f.controllable for f in FEATURES if f.family is family) for family in FAMILIES
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_lists_every_rule_once(language: Language) -> None:
    listed = catalogue(language)
    assert [(entry["code"], entry["direction"]) for entry in listed] == [
        *((rule.code, "raises") for rule in RULES),
        *((rule.code, "lowers") for rule in LOWERING_RULES),
    ]
    assert len({entry["code"] for entry in listed}) == len(listed)
    for entry in listed:
        assert set(entry) == {
            "code", "family", "direction", "feature", "norm", "controllable", "text",
        }  # fmt: skip


def test_a_reason_never_changes() -> None:
    (found,) = reasons(row(**HOLDS["long_silence"]), only(Family.SILENCE))
    assert isinstance(found, Reason)
    with pytest.raises(AttributeError):
        found.code = "other"  # type: ignore[misc]
