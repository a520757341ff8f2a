import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.compiled import plain
from churn.errors import BundleCorrupt
from churn.features import FEATURES, POSITION
from churn.loss import CATEGORIES, LossRules, write_categories

RULES = LossRules(late=1.5, high_cheque=200.0, active=2.0)
NAMES = (
    "is_one_time_buyer",
    "silence_over_own_gap",
    "average_cheque",
    "purchases_per_month",
    "purchase_days_total",
    "frequency_ratio_30d",
    "frequency_ratio_90d",
    "visit_ratio_30d",
)

# One who buys once in three weeks for 50, and did so last week.
STEADY = {
    "is_one_time_buyer": 0.0,
    "silence_over_own_gap": 0.3,
    "average_cheque": 50.0,
    "purchases_per_month": 1.4,
    "purchase_days_total": 9.0,
    "frequency_ratio_30d": 1.0,
    "frequency_ratio_90d": 1.1,
    "visit_ratio_30d": 0.9,
}
ONE_TIME = {"is_one_time_buyer": 1.0, "purchase_days_total": 1.0, "silence_over_own_gap": math.nan}
LATE = {"silence_over_own_gap": 1.5}
ACTIVE = {"purchases_per_month": 2.0}


def row(**features: float) -> np.ndarray:
    X = np.full((1, len(FEATURES)), np.nan)
    for name, number in features.items():
        X[0, POSITION[name]] = number
    return X


def category(**features: float) -> str:
    (found,) = RULES.categories(row(**(STEADY | features)))
    return CATEGORIES[found]


def test_whoever_keeps_their_rhythm_is_no_loss_of_a_kind() -> None:
    assert category() == "other"


def test_who_bought_on_one_day_only_is_a_one_time_buyer_whatever_they_paid() -> None:
    assert category(**ONE_TIME) == "one_time"
    assert category(**ONE_TIME, average_cheque=1e6, purchases_per_month=9.0) == "one_time"


def test_a_buyer_with_a_rhythm_who_is_late_has_gone_elsewhere() -> None:
    assert category(**LATE) == "periodic_switched"
    assert category(silence_over_own_gap=1.499) == "other"


def test_two_purchase_days_are_no_rhythm() -> None:
    assert category(**LATE, purchase_days_total=2.0) == "other"
    assert category(**LATE, purchase_days_total=3.0) == "periodic_switched"


def test_a_high_cheque_that_is_late_has_stopped() -> None:
    assert category(**LATE, average_cheque=200.0) == "high_cheque_stopped"
    assert category(**LATE, average_cheque=199.0) == "periodic_switched"
    assert category(average_cheque=200.0) == "other"


@pytest.mark.parametrize("ratio", ["frequency_ratio_30d", "frequency_ratio_90d", "visit_ratio_30d"])
def test_an_active_customer_whose_pace_has_halved_has_changed(ratio: str) -> None:
    assert category(**ACTIVE, **{ratio: 0.5}) == "active_shift"
    assert category(**ACTIVE, **{ratio: 0.51}) == "other"
    assert category(purchases_per_month=1.99, **{ratio: 0.5}) == "other"


def test_a_high_cheque_weighs_more_than_a_change_and_a_change_more_than_being_late() -> None:
    changed = {"frequency_ratio_30d": 0.2}
    assert category(**LATE, **ACTIVE, **changed, average_cheque=900.0) == "high_cheque_stopped"
    assert category(**LATE, **ACTIVE, **changed) == "active_shift"


def test_what_is_missing_fulfils_no_rule() -> None:
    assert CATEGORIES[RULES.categories(row())[0]] == "other"
    assert category(**LATE, average_cheque=math.nan) == "periodic_switched"


def test_an_infinite_limit_is_reached_by_nobody() -> None:
    rules = LossRules(1.5, math.inf, math.inf)
    X = row(**(STEADY | LATE | ACTIVE | {"average_cheque": 1e12, "frequency_ratio_30d": 0.1}))
    assert CATEGORIES[rules.categories(X)[0]] == "periodic_switched"


numbers = st.one_of(st.just(math.nan), st.floats(0, 5), st.sampled_from([0.0, 0.5, 1.0, 300.0]))


@given(st.lists(st.lists(numbers, min_size=8, max_size=8), min_size=1, max_size=8))
def test_a_category_is_the_same_alone_among_others_and_in_plain_python(
    rows: list[list[float]],
) -> None:
    X = np.concatenate([row(**dict(zip(NAMES, numbers, strict=True))) for numbers in rows])
    found = RULES.categories(X)
    slow = np.empty_like(found)
    plain(write_categories)(X, RULES.late, RULES.high_cheque, RULES.active, slow)
    assert found.tolist() == slow.tolist()
    assert found.tolist() == [int(RULES.categories(X[at : at + 1])[0]) for at in range(len(X))]
    assert ((found >= 0) & (found < len(CATEGORIES))).all()


def test_what_a_bundle_holds_gives_the_same_rules() -> None:
    assert LossRules(**RULES.to_dict()) == RULES


@pytest.mark.parametrize(
    "wrong", [{"late": 0.0}, {"high_cheque": math.nan}, {"active": -1.0}, {"active": 2}]
)
def test_damaged_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt, match="loss rules are damaged"):
        LossRules(**(RULES.to_dict() | wrong))
