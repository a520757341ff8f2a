from collections.abc import Callable

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind, customer_log
from training.config import Problem
from training.gaps import Gaps
from training.suggestions import Suggestion, missing, room_days, span_needed, suggest
from training.tally import Tally, tally


def gaps_of(histories: list[list[int]], until: int, window: int = 730) -> Gaps:
    total = Tally()
    for days in histories:
        events = [Event(day * DAY, Kind.PURCHASE, amount=1.0) for day in days if day < until]
        total.add(tally(customer_log("c", events)))
    return Gaps.of(total, until * DAY, window)


def shop(
    gap: Callable[[np.random.Generator], float], stay: float, until: int, customers: int = 300
) -> list[list[int]]:
    """Customers who after each purchase leave for good, or return after a gap."""
    rng = np.random.default_rng(3)
    histories = []
    for _ in range(customers):
        days, day = [], float(rng.uniform(0, until / 3))
        while day < until:
            days.append(int(day))
            if rng.random() > stay:
                break
            day += max(gap(rng), 1.0)
        histories.append(days or [0])
    return histories


def weekly(until: int = 730) -> Gaps:
    """Customers who buy on the same weekday; one time in five they skip a week."""
    return gaps_of(shop(lambda rng: 7.0 * rng.geometric(0.8), 0.97, until), until)


def yearly(until: int = 5 * 365) -> Gaps:
    return gaps_of(shop(lambda rng: rng.normal(365, 10), 0.7, until), until)


def monthly(until: int = 730) -> Gaps:
    return gaps_of(shop(lambda rng: rng.gamma(4, 10), 0.9, until), until)


def named(gaps: Gaps, span: float, **problem: int) -> dict[str, Suggestion]:
    return {one.key: one for one in suggest(gaps, span, Problem(**problem))}


def test_weekly_buyers_get_a_horizon_of_whole_weeks() -> None:
    gaps = weekly()
    horizon = named(gaps, 730)["horizon_days"]
    assert gaps.rhythm == "weekly"
    assert horizon.days == 14 or horizon.days == 7
    assert gaps.after_any.within(horizon.days) >= 0.8
    assert horizon.change  # 60 days are more than twice as long as need be
    assert "later than it need be; change it" in horizon.now


def test_yearly_buyers_get_a_horizon_of_more_than_a_year() -> None:
    gaps = yearly()
    horizon = named(gaps, 5 * 365, horizon_days=60, observation_window_days=730)["horizon_days"]
    assert horizon.days == 400
    assert horizon.change
    assert "0% of returning customers are back by then; change it" in horizon.now


def test_a_log_of_yearly_buyers_that_is_too_short_says_how_much_is_missing() -> None:
    gaps = yearly(2 * 365)
    problem = Problem(horizon_days=60)
    assert "horizon_days" not in named(gaps, 2 * 365)
    said = missing(gaps, 2 * 365, problem)
    assert said is not None
    assert "at least 365, for which a log must span 1095 days: 365 more" in said
    assert missing(monthly(), 730, problem) is None


def test_the_reason_gives_the_share_that_is_back_by_then() -> None:
    gaps = monthly()
    horizon = named(gaps, 730)["horizon_days"]
    share = gaps.after_any.within(horizon.days)
    assert 0.8 <= share < 1
    assert horizon.why.startswith(
        f"{share:.0%} of returning customers come back within {horizon.days} days, half of them "
        f"within {gaps.after_any.quantile(0.5)}"
    )


def test_a_log_with_no_room_for_the_best_horizon_gets_the_longest_and_the_days_missing() -> None:
    gaps = monthly()
    best = named(gaps, 730)["horizon_days"].days
    assert best == 60
    horizon = named(gaps, 140)["horizon_days"]
    assert horizon.days == 45
    assert "60 days would cover" in horizon.why
    assert "but need 40 more days of log" in horizon.why
    assert "horizon_days" not in named(gaps, 60)


@pytest.mark.parametrize("lead", [0, 5])
def test_room_and_need_are_each_other_s_inverse(lead: int) -> None:
    for horizon in (7, 45, 60):
        needed = span_needed(horizon, lead)
        assert room_days(needed, lead) == horizon
        assert room_days(needed - 0.5, lead) == horizon - 1


@pytest.mark.parametrize(
    ("configured", "change", "said"),
    [
        (60, False, "as suggested"),
        (14, True, "of returning customers are back by then; change it"),
        (45, False, "count as lost and come back later"),
        (90, False, "are back by then; it can stay"),
        (150, True, "later than it need be; change it"),
        (300, True, "the log is 170 days too short for it; change it"),
    ],
)
def test_what_is_configured_is_judged(configured: int, change: bool, said: str) -> None:
    horizon = named(monthly(), 730, horizon_days=configured)["horizon_days"]
    assert horizon.days == 60
    assert horizon.change is change
    assert said in horizon.now
    assert horizon.in_force == (60 if change else configured)
    assert horizon.line.startswith(
        "suggestion: keep horizon_days = 60: " if configured == 60 else "suggestion: horizon_days ="
    )


def test_a_lead_time_leaves_nine_in_ten_returns_for_later() -> None:
    gaps = monthly()
    lead = named(gaps, 730)["lead_time_days"]
    assert lead.days == 14
    assert gaps.after_any.within(14) <= 0.1 < gaps.after_any.within(30)
    assert not lead.change
    assert "right if you act within that time" in lead.now
    late = named(gaps, 730, lead_time_days=40)["lead_time_days"]
    assert late.change
    assert "are back before anybody acts" in late.now
    assert named(weekly(), 730)["lead_time_days"].days <= 3


def test_the_lead_time_leaves_room_for_the_horizon() -> None:
    assert named(yearly(), 5 * 365)["lead_time_days"].days == 30
    assert named(weekly(), 730)["lead_time_days"].days <= 14 / 4


def test_beyond_the_suggested_inactivity_few_return_within_the_horizon() -> None:
    gaps = monthly()
    found = named(gaps, 730)["inactivity_days"]
    back = gaps.after_any.survival.ends_soon
    assert back(found.days, 0, 60) < 0.1
    assert found.days == 60 or back(found.days - 15, 0, 60) > back(found.days, 0, 60)
    assert f"silent for {found.days} days {back(found.days, 0, 60):.1%} buy within" in found.why


def test_an_inactivity_that_takes_in_the_lapsed_or_leaves_out_the_active_is_to_be_changed() -> None:
    gaps = monthly()
    long = named(gaps, 730, inactivity_days=365)["inactivity_days"]
    assert long.change
    assert "flatter the ROC AUC" in long.now
    short = named(gaps, 730, inactivity_days=20)["inactivity_days"]
    assert short.change
    assert "of those it leaves out would still buy" in short.now


def test_an_inactivity_never_falls_below_the_horizon_nor_reaches_beyond_what_is_seen() -> None:
    gaps = monthly(200)
    found = named(gaps, 200, horizon_days=60)
    horizon = found["horizon_days"].in_force
    assert horizon <= found["inactivity_days"].days <= gaps.limit_days - horizon
    unseen = named(gaps, 200, horizon_days=60, inactivity_days=190)["inactivity_days"]
    assert unseen.now == "the log is too short to tell; it can stay"
    assert not unseen.change


def test_a_few_gaps_suggest_nothing_and_say_so() -> None:
    def few(n: int) -> Gaps:
        return gaps_of([[0, 10, 20]] * n, 300)

    assert suggest(few(14), 300, Problem()) == ()
    assert "28 gaps between purchases are too few" in str(missing(few(14), 300, Problem()))
    assert suggest(few(15), 300, Problem())


def test_a_horizon_is_at_least_the_median_customer_s_own_gap() -> None:
    # A few customers who buy every other day make most of the gaps.
    histories = [list(range(0, 600, 2))] * 10 + [list(range(0, 600, 50))] * 100
    gaps = gaps_of(histories, 600)
    assert gaps.after_any.quantile(0.5) == 2
    assert named(gaps, 600)["horizon_days"].days == 60
