import math
from typing import get_args

import pytest

from churn.actions import _BY_FAMILY, _SECOND_ORDER, CATALOGUE, catalogue, suggest
from churn.features import FAMILIES, FEATURE_NAMES, Family
from churn.reasons import Reason
from churn.words import Language

LANGUAGES: tuple[Language, ...] = get_args(Language)


def row(**known: float) -> dict[str, float]:
    return dict.fromkeys(FEATURE_NAMES, math.nan) | {"open_complaints": 0.0} | known


def reason(family: Family, text: str = "because") -> Reason:
    return Reason(
        code="code", family=family, direction="raises", contribution=1.0, share=0.5,
        feature="feature", value=1.0, norm=None, controllable=True, text=text,
    )  # fmt: skip


def test_low_risk_is_left_alone() -> None:
    action = suggest(row(), "low", [reason(Family.SILENCE)], "en")
    assert (action.code, action.channel) == ("none", "none")
    assert action.why == "the risk is low: leave the customer alone"


@pytest.mark.parametrize("band", ["low", "medium", "high"])
def test_an_open_complaint_is_resolved_first_at_any_risk(band: str) -> None:
    found = [reason(Family.DISCOUNT), reason(Family.COMPLAINTS)]
    action = suggest(row(open_complaints=1), band, found, "en")
    assert action.code == "resolve_complaint"
    assert "promote nothing" in action.why


@pytest.mark.parametrize("band", ["medium", "high"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_action_that_says_why(family: Family, band: str) -> None:
    action = suggest(row(), band, [reason(family, "41 days of silence")], "en")
    assert action.code in CATALOGUE
    assert action.code != "none"
    assert action.channel == CATALOGUE[action.code].channel
    assert action.why.startswith("41 days of silence: ")


def test_service_comes_before_marketing() -> None:
    found = [reason(Family.SILENCE), reason(Family.CHEQUE), reason(Family.RETURNS)]
    assert suggest(row(), "high", found, "en").code == "fix_quality"


def test_the_weightiest_reason_decides_otherwise() -> None:
    found = [reason(Family.ASSORTMENT), reason(Family.SILENCE)]
    assert suggest(row(), "high", found, "en").code == "category_picks"


@pytest.mark.parametrize("family", [Family.SILENCE, Family.FREQUENCY, Family.TENURE])
def test_only_a_one_time_buyer_is_led_to_a_second_order(family: Family) -> None:
    found = [reason(family)]
    assert suggest(row(is_one_time_buyer=1), "medium", found, "en").code == "second_order_guide"
    once = suggest(row(is_one_time_buyer=1), "high", found, "en")
    assert once.code == "second_order_free_delivery"
    for band in ("medium", "high"):
        for buyer in (row(is_one_time_buyer=0), row()):
            assert "second_order" not in suggest(buyer, band, found, "en").code


def test_without_a_reason_the_customer_is_asked() -> None:
    assert suggest(row(), "high", [], "en").code == "survey"


def test_unknown_complaints_are_no_open_complaint() -> None:
    assert suggest(row(open_complaints=math.nan), "low", [], "en").code == "none"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_has_words_in_the_language(language: Language) -> None:
    listed = catalogue(language)
    assert [entry["code"] for entry in listed] == list(CATALOGUE)
    for entry in listed:
        assert set(entry) == {"code", "channel", "text"}
        has_russian = any("а" <= letter <= "я" for letter in entry["text"])
        assert has_russian == (language == "ru")


def test_every_action_of_the_catalogue_can_be_suggested() -> None:
    by_reason = {code for pair in (*_BY_FAMILY.values(), _SECOND_ORDER) for code in pair}
    assert by_reason | {"none", "resolve_complaint", "survey"} == set(CATALOGUE)
    assert set(_BY_FAMILY) == set(FAMILIES)
