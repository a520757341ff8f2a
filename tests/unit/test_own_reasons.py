import math

import pytest

from churn.columns import UNSEEN, Column
from churn.own_reasons import evidence, sentence
from churn.reasons import reasons
from churn.schema import Schema
from churn.words import Language
from tests.own_columns import CALLS, PLAN, STARS

calls, stars = CALLS.replaced(norm=2.0), STARS.replaced(norm=4.0)
plan = PLAN.replaced(norm="basic")


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"support_calls": 3.0, "stars": 1.0}, "support_calls"),
        ({"support_calls": 2.0, "stars": 1.0}, "stars"),  # the norm itself says nothing
        ({"support_calls": 1.0, "stars": 5.0}, None),  # the side that lowers the risk
        ({"support_calls": math.nan, "stars": 3.0}, "stars"),
        ({"support_calls": math.nan, "stars": math.nan}, None),
    ],
)
def test_the_evidence_lies_off_its_norm_on_the_side_of_risk(
    row: dict[str, float], found: str | None
) -> None:
    column = evidence((calls, stars), row)
    assert (column and column.name) == found


@pytest.mark.parametrize(
    ("code", "says"), [(2.0, True), (1.0, True), (UNSEEN, True), (math.nan, False)]
)
def test_a_column_of_no_direction_speaks_whenever_it_is_known(code: float, says: bool) -> None:
    assert (evidence((plan,), {"plan": code}) is plan) == says


def test_one_that_is_off_its_norm_comes_before_one_that_is_not() -> None:
    region = plan.replaced(name="region")
    assert evidence((plan, region), {"plan": 1.0, "region": 2.0}) is region


@pytest.mark.parametrize(
    ("column", "value", "language", "text"),
    [
        (plan, "gold", "en", "plan: gold (usual: basic)"),
        (plan, "unseen", "en", "plan: a rare or new one (usual: basic)"),
        (plan.replaced(norm=None), "gold", "ru", "тариф: gold"),
        (stars, 0.123456, "en", "stars: 0.123 (usual: 4)"),
        (stars.replaced(unit="money", norm=1234.5), 2.0, "ru",
         "звёзды: 2 EUR (обычно: 1\u00a0234,5 EUR)"),
        (stars.replaced(unit="share"), 0.25, "en", "stars: 25% (usual: 400%)"),
        (stars.replaced(unit="days"), 1.0, "ru", "звёзды: 1 день (обычно: 4 дня)"),
        (calls, 7.0, "en", "7 calls; others make 2"),
        (calls.replaced(norm=None), 7.0, "en", "calls to support: 7"),
        (plan.replaced(label={"en": "{x}", "ru": "{x}"}), "{y}", "en", "{x}: {y} (usual: basic)"),
    ],
)  # fmt: skip
def test_the_words_are_those_declared(
    column: Column, value: float | str, language: Language, text: str
) -> None:
    assert sentence(column, value, language, "EUR") == text


def test_a_built_in_rule_speaks_before_an_own_column_of_its_family() -> None:
    schema = Schema((stars,))
    row = dict.fromkeys(schema.names, math.nan) | {"stars": 1.0}
    rise = [float(family == "satisfaction") for family in schema.families]
    (own,) = reasons(row, rise, schema=schema)
    assert (own.code, own.family, own.feature) == ("satisfaction", "satisfaction", "stars")
    rated = row | {"last_rating": 1.0, "average_rating": 5.0, "rating_change": -4.0}
    (built_in,) = reasons(rated, rise, schema=schema)
    assert built_in.code != "satisfaction"
    assert built_in.family == "satisfaction"
