"""The shop's customers: rhythm, seasons, leaving, complaints, and what the log shows of them."""

from datetime import date

import numpy as np
import pytest

from churn.events import KIND_CODES
from training.simulation.details import dress
from training.simulation.mechanism import (
    DRIFTING,
    GONE,
    LOYAL,
    MECHANISM,
    NEGLECTED,
    NO_COMPLAINT,
    Calendar,
    calendar,
)
from training.simulation.orders import order_rows
from training.simulation.process import Lives, live, turns
from training.simulation.shoppers import Shoppers, draw

LOG_START, LOG_END = np.datetime64("2024-01-01"), np.datetime64("2026-01-01")


def days() -> Calendar:
    as_of = np.array(["2025-06-01", "2025-11-02"], "datetime64[D]")
    return calendar(LOG_START, LOG_END, as_of)


@pytest.fixture(scope="module")
def shop() -> tuple[Lives, Shoppers]:
    rng = np.random.default_rng(4)
    people = draw(rng, 6_000)
    return live(rng, people, MECHANISM, days()), people


def events_of(lives: Lives, kind: str) -> np.ndarray:
    return lives.events[lives.events[:, 2] == KIND_CODES[kind]]


def pace(first: date, last: date) -> float:
    """Mean operational days per day."""
    shop_days = days()
    start = shop_days.log_start + (first - date(2024, 1, 1)).days
    end = shop_days.log_start + (last - date(2024, 1, 1)).days
    return float((shop_days.clock[end] - shop_days.clock[start]) / (end - start))


def test_complaint_steps_are_probabilities_that_never_lead_back():
    step = MECHANISM.complaint_step
    assert step.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-12)
    assert (step >= 0).all()
    assert np.array_equal(step, np.tril(step))


def test_daily_probabilities_of_leaving_and_turning_never_exceed_one():
    people = draw(np.random.default_rng(1), 20_000)
    leave = MECHANISM.leave_by_life[:, None] + MECHANISM.leave_by_complaint
    drift = people.drift.max() * MECHANISM.drift_by_complaint
    assert (leave[LOYAL] + drift).max() < 1
    assert leave[DRIFTING].max() + MECHANISM.recover < 1


def test_late_spring_and_december_are_busier_than_their_neighbours():
    assert pace(date(2025, 5, 1), date(2025, 6, 1)) > 1.1 * pace(
        date(2025, 11, 1), date(2025, 12, 1)
    )
    assert pace(date(2025, 12, 10), date(2025, 12, 31)) > 1.1 * pace(
        date(2025, 11, 12), date(2025, 12, 3)
    )
    assert pace(date(2024, 1, 1), date(2026, 1, 1)) == pytest.approx(1.0, abs=0.02)


def test_gaps_are_more_regular_than_chance_and_differ_by_customer():
    rng = np.random.default_rng(5)
    people = draw(rng, 300)._replace(
        scale=np.full(300, 30.0), drift=np.zeros(300), one_time=np.zeros(300, dtype=bool)
    )
    content = MECHANISM._replace(leave_by_life=np.zeros(2), leave_by_complaint=np.zeros(5))
    slow = people._replace(scale=np.full(300, 60.0))
    means = []
    for these in (people, slow):
        orders = events_of(live(rng, these, content, days()), "purchase")
        gaps = np.diff(orders[:, 1])[np.diff(orders[:, 0]) == 0]
        assert gaps.std() / gaps.mean() < 0.95
        means.append(gaps.mean())
    assert means[1] > 1.6 * means[0]


def test_everybody_has_a_purchase_in_the_log(shop):
    lives, people = shop
    orders = events_of(lives, "purchase")
    in_log = orders[orders[:, 1] >= days().log_start]
    assert len(np.unique(in_log[:, 0])) == len(people.scale)


def test_a_one_time_buyer_buys_once(shop):
    lives, people = shop
    customer = events_of(lives, "purchase")[:, 0].astype(int)
    orders = np.bincount(customer, minlength=len(people.scale))
    assert people.one_time.sum() > 200
    assert set(orders[people.one_time]) == {1}
    assert (orders[~people.one_time] > 1).mean() > 0.6


def test_the_log_begins_as_it_goes_on(shop):
    lives, _ = shop
    day = events_of(lives, "purchase")[:, 1]
    start = days().log_start
    first = ((day >= start) & (day < start + 60)).sum()
    a_year_on = ((day >= start + 366) & (day < start + 426)).sum()
    assert 0.7 * a_year_on < first < a_year_on


def test_five_to_ten_in_a_hundred_buyers_complain_in_a_year(shop):
    lives, _ = shop
    year = days().log_start + 366
    complained, bought = (
        len({row[0] for row in events_of(lives, kind) if row[1] >= year})
        for kind in ("complaint", "purchase")
    )
    assert 0.05 < complained / bought < 0.10


def test_complaints_end_well_badly_or_never(shop):
    lives, _ = shop
    filed = len(events_of(lives, "complaint"))
    well = events_of(lives, "complaint_resolved")[:, 6]
    assert 0.3 < (well == 1).sum() / filed < 0.6
    assert 0.15 < (well == 0).sum() / filed < 0.45
    assert 0.1 < 1 - len(well) / filed < 0.3


def test_a_third_to_a_half_of_the_eligible_will_not_buy(shop):
    lives, _ = shop
    asked = lives.states[lives.states[:, 1] == 1]
    orders = events_of(lives, "purchase")
    as_of = days().as_of[1]
    returned = set(orders[(orders[:, 1] >= as_of) & (orders[:, 1] < as_of + 60)][:, 0])
    churn = np.mean([row[0] not in returned for row in asked])
    assert 0.35 < churn < 0.55


def test_visits_thin_out_as_customers_drift_and_leave(shop):
    lives, people = shop
    as_of = days().as_of[0]
    visits = events_of(lives, "visit")
    soon = visits[(visits[:, 1] >= as_of) & (visits[:, 1] < as_of + 30)][:, 0].astype(int)
    counts = np.bincount(soon, minlength=len(people.scale))
    asked = lives.states[lives.states[:, 1] == 0]
    loyal, drifting, gone = (
        counts[asked[asked[:, 2] == life, 0]].mean() for life in (LOYAL, DRIFTING, GONE)
    )
    assert gone < 0.5 * drifting < drifting < loyal


def test_an_offer_on_an_open_complaint_wins_nobody_back_and_annoys_more():
    assert turns(DRIFTING, NEGLECTED, 0.4, 0.1, MECHANISM) == 0.0
    assert turns(DRIFTING, NO_COMPLAINT, 0.4, 0.1, MECHANISM) == 0.4
    assert turns(LOYAL, NEGLECTED, 0.4, 0.1, MECHANISM) > turns(
        LOYAL, NO_COMPLAINT, 0.4, 0.1, MECHANISM
    )
    assert turns(GONE, NO_COMPLAINT, 0.4, 0.1, MECHANISM) == 0.0


def dressed_orders(n: int, drifting_days: int, wrong: int = 0) -> tuple[np.ndarray, ...]:
    """Cheques, lines per order and shares returned of `n` orders of one and the same customer."""
    rng = np.random.default_rng(6)
    person = draw(rng, 1)
    orders = np.zeros((n, 7))
    orders[:, 1] = np.arange(n)
    orders[:, 3] = np.arange(n)
    orders[:, 5] = drifting_days
    orders[:, 6] = wrong
    _, lines, returns, _ = order_rows(rng, orders, person)
    cheques = np.bincount(lines.order, lines.amount)
    return cheques, np.bincount(lines.order), np.array([len(returns.order) / len(lines.order)])


def test_cheques_shrink_and_baskets_narrow_while_a_customer_drifts():
    loyal, loyal_lines, _ = dressed_orders(3_000, -1)
    drifting, drifting_lines, _ = dressed_orders(3_000, 60)
    assert drifting.mean() < 0.7 * loyal.mean()
    assert drifting_lines.mean() < loyal_lines.mean()


def test_orders_that_went_wrong_come_back():
    (fine,) = dressed_orders(2_000, -1)[2]
    (wrong,) = dressed_orders(2_000, -1, wrong=1)[2]
    assert wrong > 0.3 > fine


def test_dressed_rows_are_sorted_and_within_the_log(shop):
    lives, people = shop
    shop_days = days()
    log = dress(np.random.default_rng(8), lives.events, people, shop_days.log_start, shop_days.end)
    order = log.customer * 10**9 + log.time
    assert (np.diff(order) >= 0).all()
    assert log.time.min() >= shop_days.log_start * 86_400
    assert log.time.max() < shop_days.end * 86_400


def test_nothing_but_the_dressing_changes_with_its_stream_of_chance(shop):
    lives, people = shop
    shop_days = days()
    a, b = (
        dress(np.random.default_rng(seed), lives.events, people, shop_days.log_start, shop_days.end)
        for seed in (1, 2)
    )
    purchase = KIND_CODES["purchase"]
    days_of = [
        {
            (c, t // 86_400)
            for c, t, k in zip(log.customer, log.time, log.kind, strict=True)
            if k == purchase
        }
        for log in (a, b)
    ]
    assert days_of[0] == days_of[1]
    assert not np.array_equal(a.amount[: len(b.amount)], b.amount[: len(a.amount)])
