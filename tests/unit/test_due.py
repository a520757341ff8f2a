"""By when an action is to be taken."""

import math

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.policy.due import act_by, act_by_of_many, due_days, due_days_of_many

NOW = 20_000 * DAY + 13 * DAY // 24


@pytest.mark.parametrize(
    ("earliest", "gap", "lead", "days"),
    [
        (12.0, 40.0, 0, 12.0),
        (12.0, 13.0, 0, 6.5),
        (12.0, math.nan, 0, 12.0),
        (math.nan, 13.0, 0, 6.5),
        (math.nan, math.nan, 0, 60.0),
        (0.2, 0.4, 0, 1.0),  # tomorrow at the soonest
        (math.nan, 400.0, 0, 60.0),  # within the horizon
        (5.0, math.nan, 7, 12.0),  # the lead time is there to act in
    ],
)
def test_an_action_is_due_before_the_customer_has_decided(
    earliest: float, gap: float, lead: int, days: float
) -> None:
    assert due_days(earliest, gap, lead, 60) == days


@pytest.mark.parametrize(
    ("due", "hours", "is_owed", "day"),
    [
        (6.5, None, False, 20_007),  # half past midnight of the seventh day
        (6.4, None, False, 20_006),
        (6.5, 48, False, 20_002),
        (1.0, 48, False, 20_001),
        (1.0, 72, True, 20_003),  # what is owed has its own term
        (6.5, 10, True, 20_000),
    ],
)
def test_a_term_of_its_own_is_never_passed(
    due: float, hours: int | None, is_owed: bool, day: int
) -> None:
    assert act_by(NOW, due, hours, is_owed) == day


def test_it_is_never_before_the_day_itself() -> None:
    for as_of in (NOW, -20_000 * DAY - 1, 0):
        assert act_by(as_of, due_days(0.0, 0.0, 0, 1), None, False) > as_of // DAY
        assert act_by(as_of, 1.0, 1, True) >= as_of // DAY


def test_many_are_due_as_each_is() -> None:
    rng = np.random.default_rng(1)
    days = np.where(rng.random((500, 2)) < 0.2, np.nan, rng.gamma(1.0, 20.0, (500, 2)))
    as_of = rng.integers(-(10**6), 10**6, 500) * 86_399_999_999
    due = due_days_of_many(days[:, 0], days[:, 1], 3, 30)
    for hours, is_owed in ((None, False), (48, False), (48, True)):
        found = act_by_of_many(as_of, due, hours, is_owed)
        for at in range(500):
            alone = due_days(float(days[at, 0]), float(days[at, 1]), 3, 30)
            assert due[at] == alone
            assert found[at] == act_by(int(as_of[at]), alone, hours, is_owed)
