import math
import re
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.features import FAMILIES, FEATURE_NAMES, FEATURES, POSITION, Family
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
    assert [entry["code"] for entry in listed] == [rule.code for rule in RULES]
    assert len({entry["code"] for entry in listed}) == len(RULES)
    for entry in listed:
        assert set(entry) == {"code", "family", "feature", "norm", "controllable", "text"}


def test_a_reason_never_changes() -> None:
    (found,) = reasons(row(**HOLDS["long_silence"]), only(Family.SILENCE))
    assert isinstance(found, Reason)
    with pytest.raises(AttributeError):
        found.code = "other"  # type: ignore[misc]
