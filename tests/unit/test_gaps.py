from collections import Counter

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind, customer_log
from training.gaps import Gaps, quantile
from training.survival import Returns, Survival
from training.tally import Tally, tally

# Weeks in remission of 21 leukaemia patients on 6-MP (Freireich et al. 1963; the textbook example
# of Kaplan and Meier's estimator, as in Cox & Oakes 1984), and of those still in remission.
RELAPSED = Counter({6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1})
STILL_WELL = Counter(
    {6: 1, 9: 1, 10: 1, 11: 1, 17: 1, 19: 1, 20: 1, 25: 1, 32: 2, 34: 1, 35: 1}
)  # fmt: skip
PUBLISHED = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}


def bought_on(*days: float, until: float = np.inf) -> Tally:
    """What a customer who bought on these days adds."""
    log = customer_log("c", [Event(int(day * DAY), Kind.PURCHASE, amount=1.0) for day in days])
    return tally(log) if until == np.inf else tally(log, int(until * DAY))


def gaps_of(*customers: Tally, until: int, window: int = 730) -> Gaps:
    total = Tally()
    for customer in customers:
        total.add(customer)
    return Gaps.of(total, until * DAY, window)


def test_the_estimator_gives_the_published_survival_of_6_mp() -> None:
    curve = Survival.of(RELAPSED, STILL_WELL)
    assert {week: round(float(curve.longer[week]), 4) for week in PUBLISHED} == PUBLISHED
    assert curve.longer[5] == 1.0
    assert curve.longer[35] == curve.longer[23]
    assert [int(curve.at_risk[week]) for week in (6, 7, 10, 13, 16, 22, 23)] == [
        21, 17, 15, 12, 11, 7, 6,
    ]  # fmt: skip


def test_without_an_open_gap_the_estimate_is_the_plain_share() -> None:
    curve = Survival.of(Counter({1: 1, 2: 1, 4: 2}), Counter())
    assert curve.longer.tolist() == pytest.approx([1, 0.75, 0.5, 0.5, 0])


def test_who_has_been_silent_for_as_long_as_others_took_to_return_counts_among_those_at_risk() -> (
    None
):
    assert Survival.of(Counter({5: 1}), Counter({5: 1})).longer[5] == 0.5
    assert Survival.of(Counter({5: 1}), Counter({4: 1})).longer[5] == 0.0


def test_a_curve_is_believed_as_long_as_thirty_gaps_are_followed() -> None:
    curve = Survival.of(Counter({3: 10, 9: 1}), Counter({7: 29, 9: 5}))
    assert curve.seen_days == 7
    assert Survival.of(Counter({3: 1}), Counter()).seen_days == 0


def test_the_chance_of_a_return_counts_from_the_days_of_silence() -> None:
    # Of 100 gaps 20 end on each of the days 1, 2 and 3, and 40 on day 10.
    curve = Survival.of(Counter({1: 20, 2: 20, 3: 20, 10: 40}), Counter())
    assert curve.ends_soon(0, 0, 2) == pytest.approx(0.2)  # on day 0 or 1
    assert curve.ends_soon(2, 0, 1) == pytest.approx(20 / 80)  # silent on day 1, back on day 2
    assert curve.ends_soon(2, 1, 3) == pytest.approx(20 / 80)  # day 2 lies in the lead time
    assert curve.ends_soon(4, 0, 6) == 0.0
    assert curve.ends_soon(4, 0, 7) == pytest.approx(1.0)
    assert curve.ends_soon(11, 0, 7) == 0.0


def test_quantiles_are_of_those_who_come_back() -> None:
    # Half of the customers never come back; of the others half do so within 10 days.
    returns = Returns(Survival.of(Counter({10: 25, 40: 25}), Counter({100: 50})), 100)
    assert returns.share == pytest.approx(0.5)
    assert [returns.quantile(q) for q in (0.25, 0.5, 0.51, 1.0)] == [10, 10, 40, 40]
    assert returns.within(10) == pytest.approx(0.5)
    assert returns.within(39) == pytest.approx(0.5)
    assert returns.within(4000) == pytest.approx(1.0)


def test_a_hand_made_log_has_the_gaps_one_counts_by_hand() -> None:
    gaps = gaps_of(bought_on(1, 1.5, 4, 14), bought_on(2), bought_on(3, 9), until=20)
    assert gaps.ended == {3: 1, 6: 1, 10: 1}
    assert gaps.own == {6: 1, 10: 1}  # the upper of two in the middle
    assert gaps.silent == 3
    # Still open at the end of day 19: since days 14, 2 and 9.
    assert gaps.after_any.survival.at_risk.tolist()[5] == 5
    assert gaps.after_any.survival.at_risk.tolist()[11] == 1
    first, later = gaps.after_first.survival, gaps.after_later.survival
    assert first.longer[6] == pytest.approx(1 / 3)  # 3 and 6 ended, 17 is open
    assert later.longer[5] == 1.0
    assert later.longer[10] == pytest.approx(0.5)  # 10 ended, 10 is open, and 5 is gone by then


def test_open_gaps_make_the_customers_slower_than_the_ended_ones_say() -> None:
    rng = np.random.default_rng(7)
    customers = []
    for _ in range(400):
        days = np.cumsum(rng.exponential(60, 10))
        customers.append(bought_on(*days[days < 120]))
    gaps = gaps_of(*customers, until=120)
    truth = 60 * np.log(2)
    assert gaps.raw["p50"] < 0.8 * truth
    assert np.argmax(gaps.after_any.survival.longer <= 0.5) == pytest.approx(truth, rel=0.1)


def test_nothing_after_the_log_s_end_is_seen() -> None:
    whole = gaps_of(bought_on(1, 5, 40, until=30), bought_on(35, until=30), until=30)
    cut = gaps_of(bought_on(1, 5), until=30)
    assert whole.to_dict() == cut.to_dict()
    assert whole.silent == 1


def test_who_returns_after_the_observation_window_comes_anew() -> None:
    customers = [bought_on(0, 10)] * 60 + [bought_on(0, 300)] * 40
    assert gaps_of(*customers, until=600, window=730).after_first.share == pytest.approx(1.0)
    seen = gaps_of(*customers, until=600, window=200)
    assert seen.limit_days == 200
    assert seen.after_first.share == pytest.approx(0.6)
    assert seen.after_first.within(10) == pytest.approx(1.0)


def test_whole_weeks_are_a_weekly_rhythm_and_any_day_is_none() -> None:
    weekly = gaps_of(*[bought_on(*range(0, 70, 7))] * 20, until=80)
    assert weekly.rhythm == "weekly"
    assert any("the rhythm is weekly" in line for line in weekly.sentences())
    monthly = gaps_of(*[bought_on(0, 30, 61, 90, 121)] * 40, until=130)
    assert monthly.rhythm == "monthly"
    anyhow = gaps_of(*[bought_on(0, k, 3 * k) for k in range(4, 64)] * 2, until=200)
    assert anyhow.rhythm is None
    assert gaps_of(*[bought_on(0, 7)] * 20, until=80).rhythm is None  # too few to tell


def test_the_table_tells_first_from_later_purchases_and_ended_from_open_gaps() -> None:
    customers = [bought_on(0, 40, 50)] * 50 + [bought_on(0)] * 50
    gaps = gaps_of(*customers, until=120)
    title, _, *rows = gaps.table()
    assert "of those who do within 119 days" in title
    assert [row.split() for row in rows] == [
        ["any", "purchase", "50%", "10", "10", "40", "40", "40"],
        ["a", "first", "one", "50%", "40", "40", "40", "40", "40"],
        ["a", "later", "one", "50%", "10", "10", "10", "10", "10"],
    ]


def test_the_sentence_says_what_the_ended_gaps_alone_would_say() -> None:
    customers = [*[bought_on(0, 10)] * 86, *[bought_on(50, 90)] * 14, *[bought_on(64)] * 60]
    assert list(gaps_of(*customers, until=95).sentences()) == [
        "44% of purchases are followed by another within 84 days: half of these within 10 days, "
        "85% within 40 (the gaps that have ended alone would say 10)"
    ]


def test_a_log_in_which_nobody_returns_has_no_table() -> None:
    gaps = gaps_of(bought_on(3), bought_on(9), until=20)
    assert list(gaps.table()) == list(gaps.sentences()) == []
    assert gaps.raw == {}
    assert gaps.to_dict()["own_median"] is None


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [({5: 1}, 0.5, 5), ({1: 3, 10: 1}, 0.75, 1), ({1: 3, 10: 1}, 0.76, 10), ({1: 1, 2: 1}, 1, 2)],
)
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(
    counts: dict[int, int], q: float, expected: int
) -> None:
    assert quantile(Counter(counts), q) == expected
