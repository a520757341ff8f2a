"""Many customers at once are told what each is told alone: codes, evidence and words."""

from typing import Any, get_args

import numpy as np
import pytest

from churn.columns import Column
from churn.compiled import Floats
from churn.lowering_rules import LOWERING_RULES
from churn.reason_rules import RULES
from churn.reasons import Direction, reasons
from churn.reasons_by_column import many_reasons
from churn.schema import Schema
from churn.words import FORMATS, Language, fill, worded
from churn.words_by_column import fill_all, worded_all
from tests.own_columns import CALLS, PLAN, STARS, fitted_with_own_columns
from training.reason_lists import listed

LANGUAGES: tuple[Language, ...] = get_args(Language)
OWN = Schema(
    (
        PLAN.replaced(norm="basic"),
        PLAN.replaced(name="region", norm=None, family="service"),
        CALLS.replaced(norm=2.0),
        STARS.replaced(norm=4.0, unit="money"),
        Column("odd", "numeric", "plan", "days", {"en": "{x}", "ru": "{}"}, norm=3.0),
    )
)
TABLE = Schema(OWN.extras, loop=False)


def customers(schema: Schema, n: int, seed: int) -> tuple[Floats, Floats]:
    """Rows of every kind, and what each family contributes; some rows are all alike."""
    random = np.random.default_rng(seed)
    X = random.gamma(1.0, 6.0, size=(n, len(schema)))
    X[random.random(X.shape) < 0.3] = 0.0
    X[random.random(X.shape) < 0.2] = 1.0
    X[random.random(X.shape) < 0.2] = np.nan
    X[random.random(X.shape) < 0.1] *= 1000.0
    X[random.random(X.shape) < 0.05] *= -1.0
    for at, column in enumerate(schema.extras):
        if column.kind == "categorical":
            codes = random.integers(0, 6, n).astype(np.float64)
            X[:, schema.first_extra + at] = np.where(random.random(n) < 0.2, np.nan, codes)
    contributions = random.normal(0.1, 0.5, size=(n, len(schema.families)))
    contributions[random.random(contributions.shape) < 0.1] = 0.0
    contributions[:5] = 0.0
    contributions[5:9] = 0.25  # ties
    return X, contributions


def check(
    schema: Schema,
    X: Floats,
    contributions: Floats,
    language: Language,
    most: int,
    direction: Direction = "raises",
) -> set[str]:
    """Hold both ways to each other; return the codes that were told."""
    many = many_reasons(
        X, contributions, schema=schema, max_reasons=most, language=language, currency="EUR",
        direction=direction,
    )  # fmt: skip
    told: set[str] = set()
    for at, found in enumerate(listed(many, schema.families).to_pylist()):
        named = dict(zip(schema.names, X[at].tolist(), strict=True))
        given = contributions[at].tolist()
        shown = reasons(
            named, given, schema=schema, max_reasons=most, language=language, currency="EUR",
            direction=direction,
        )  # fmt: skip
        assert found == [_as_listed(reason) for reason in shown]
        told |= {reason.code for reason in shown}
        main = [schema.families[one] for one in many.main_families[at].tolist() if one >= 0]
        assert main == [one.family for one in reasons(named, given, schema=schema, max_reasons=3)]
    return told


def _as_listed(reason: Any) -> dict[str, Any]:
    is_name = isinstance(reason.value, str)
    return {
        "code": reason.code,
        "family": reason.family,
        "contribution": reason.contribution,
        "share": reason.share,
        "feature": reason.feature,
        "value": None if is_name else reason.value,
        "norm": None if is_name else reason.norm,
        "category": reason.value if is_name else None,
        "usual_category": reason.norm if is_name else None,
        "controllable": reason.controllable,
        "text": reason.text,
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("most", [1, 3, 8])
def test_many_are_told_what_each_is_told(language: Language, most: int) -> None:
    codes = check(Schema(), *customers(Schema(), 1500, most), language, most)
    if most == 8:
        assert codes == {rule.code for rule in RULES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("schema", [Schema(), OWN, TABLE])
def test_they_are_told_the_same_of_both_directions(language: Language, schema: Schema) -> None:
    X, contributions = customers(schema, 1500, 5)
    codes = check(schema, X, contributions, language, 8, "both")
    check(schema, X, contributions, language, 2, "both")
    if schema.loop and not schema.extras:
        assert codes == {rule.code for rule in (*RULES, *LOWERING_RULES)}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("schema", [OWN, TABLE])
def test_so_are_those_with_columns_of_the_users_own(language: Language, schema: Schema) -> None:
    codes = check(schema, *customers(schema, 800, 4), language, 8)
    assert codes >= {"plan", "service", "satisfaction"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_customer_of_a_simulated_shop_is_told_the_same(language: Language) -> None:
    fitted, _, now, *_ = fitted_with_own_columns()
    model = fitted.model
    _, contributions = model.trees.explain(model.columns(now.X))
    assert len(now) > 200
    check(model.schema, now.X, contributions, language, 3)


def test_nobody_is_told_nothing() -> None:
    many = many_reasons(
        np.empty((0, len(OWN))), np.empty((0, len(OWN.families))),
        schema=OWN, max_reasons=3, language="en", currency="",
    )  # fmt: skip
    assert len(listed(many, OWN.families)) == 0


@pytest.mark.parametrize("spec", FORMATS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_are_worded_as_one_is(spec: str, language: Language) -> None:
    numbers = np.array([0.5, 1.5, 2.5, 1.0, 21.0, 1e6, 0.0, -0.0, 0.005, 12.345, 1.0, -3.2])
    expected = [worded(number, spec, language, "EUR") for number in numbers.tolist()]
    assert worded_all(numbers, spec, language, "EUR") == expected
    assert worded_all(np.unique(numbers), spec, language, "EUR") == [
        worded(number, spec, language, "EUR") for number in np.unique(numbers).tolist()
    ]


def test_a_template_is_filled_as_one_is() -> None:
    template = "{{x}} {days:days}; {money:money} {{}}"
    numbers = {"days": np.array([1.0, 40.6]), "money": np.array([2.0, 0.333])}
    texts = fill_all(template, lambda name, spec: worded_all(numbers[name], spec, "en", "EUR"), 2)
    assert texts == [
        fill(template, {"days": 1.0, "money": 2.0}, "en", "EUR"),
        fill(template, {"days": 40.6, "money": 0.333}, "en", "EUR"),
    ]
    assert fill_all("{{no}} field", lambda name, spec: [], 2) == ["{no} field"] * 2
