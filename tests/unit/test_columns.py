import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.columns import RARE_ROWS, UNSEEN, UNSEEN_NAME, Column, check_text
from tests.own_columns import CALLS, PLAN, PLANS

NAMES = st.text(min_size=1, max_size=8)


@given(st.lists(NAMES, unique=True, max_size=6), NAMES)
def test_a_known_category_comes_back_and_any_other_is_unseen(known: list[str], other: str) -> None:
    column = PLAN.replaced(categories=tuple(known), codes=tuple(range(1, len(known) + 1)))
    for name in known:
        assert column.encode(name) != UNSEEN
        assert column.decode(column.encode(name)) == name
    if other not in known:
        assert column.encode(other) == UNSEEN
        assert column.decode(column.encode(other)) == UNSEEN_NAME
    restored = Column.from_dict(column.to_dict())
    assert restored == column
    assert [restored.encode(name) for name in known] == [column.encode(name) for name in known]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_itself(number: float) -> None:
    assert CALLS.encode(number) == number
    assert CALLS.decode(CALLS.encode(number)) == number


@pytest.mark.parametrize("column", [PLAN, CALLS])
def test_nothing_known_is_missing_not_unseen(column: Column) -> None:
    assert math.isnan(column.encode(None))
    assert column.decode(math.nan) is None


def test_the_wrong_type_is_no_value() -> None:
    with pytest.raises(TypeError, match="plan is categorical"):
        PLAN.encode(1.0)
    with pytest.raises(TypeError, match="support_calls is numeric"):
        CALLS.encode("1")


def test_a_category_of_too_few_rows_is_learnt_as_unseen() -> None:
    numbers = np.repeat([1.0, 2.0, 3.0, np.nan], [RARE_ROWS, RARE_ROWS - 1, 50, 9])
    learnt = PLAN.learnt(numbers)
    assert learnt.categories == ("basic", "odd")
    assert learnt.codes == (1, 3)  # codes stay, so rows that are coded already stay right
    settled = learnt.settled(numbers)
    assert (settled[:RARE_ROWS] == 1).all()
    assert (settled[RARE_ROWS : 2 * RARE_ROWS - 1] == UNSEEN).all()
    assert np.isnan(settled[-9:]).all()
    assert [learnt.encode(name) for name in PLANS] == [1.0, UNSEEN, 3.0, UNSEEN]


def test_codes_that_were_never_given_are_unseen() -> None:
    assert PLAN.settled(np.array([0.0, 4.0, 5.0, -1.0, 1.5])).tolist() == [0, 4, 0, 0, 0]


def test_what_is_usual_is_the_median_or_the_most_common_category() -> None:
    assert CALLS.with_norm(np.array([1.0, 2.0, 40.0, np.nan])).norm == 2.0
    assert PLAN.with_norm(np.array([1.0, 2.0, 2.0, np.nan, np.nan, np.nan])).norm == "gold"
    assert PLAN.with_norm(np.array([np.nan])).norm is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "a b"},
        {"name": ""},
        {"family": "x" * 65},
        {"kind": "ordinal"},
        {"direction": 2},
        {"label": {"en": "plan"}},
        {"text": {"en": "{value}"}},
        {"text": {"en": "{value.__class__}", "ru": "{value}"}},
        {"codes": (1, 3, 2, 4)},
        {"codes": (0, 1, 2, 3)},
        {"codes": (1, 2, 3)},
        {"categories": ("a", "a", "b", "c")},
        {"kind": "numeric"},
    ],
)
def test_a_column_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PLAN.replaced(**change)


@pytest.mark.parametrize("text", ["{value}", "{value:days} {norm:money}", "no figure", "{{}}"])
def test_a_sentence_of_figures_is_taken(text: str) -> None:
    check_text(text, "numeric")


@pytest.mark.parametrize(
    "text",
    ["{plan}", "{value!r}", "{value:>30}", "{norm.real}", "{value[0]}", "{}", "{0}", "{value", "}"],
)
def test_a_sentence_that_could_not_be_filled_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_text(text, "numeric")


def test_a_category_has_no_format_of_numbers() -> None:
    check_text("{value} not {norm}", "categorical")
    with pytest.raises(ValueError, match="these formats only: none"):
        check_text("{value:days}", "categorical")
