import json
from collections import Counter
from pathlib import Path

import pytest

from churn.events import MICROSECONDS_PER_DAY, Event, Kind, customer_log
from training.config import from_mapping
from training.quarantine import Rejected
from training.rules import ADVICE, RULES
from training.tally import Tally, tally
from training.usability import Usability, assess, quantile

DAY = MICROSECONDS_PER_DAY


def bought_on(*days: float) -> Tally:
    """What a customer who bought on these days adds."""
    return tally(
        customer_log("c", [Event(int(day * DAY), Kind.PURCHASE, amount=1.0) for day in days])
    )


def crowd(*days: float) -> list[Tally]:
    """A hundred customers who bought on these days."""
    return [bought_on(*days)] * 100


def shop(*customers: Tally, rejected: Rejected | None = None, **problem: int) -> Usability:
    total = Tally()
    for customer in customers:
        total.add(customer)
    config = from_mapping(
        {"events": {"query": "SELECT"}, "problem": problem}, Path("/shop/keepwell.toml")
    )
    rejected = rejected or Rejected(Counter(), Counter())
    rows = total.events + rejected.reasons.total()
    return assess(total, rows, rejected, [], config, now_us=10_000 * DAY)


def test_a_gap_lies_between_two_purchase_days() -> None:
    one = bought_on(1, 1.5, 4, 4.9, 14)
    assert one.gaps == {3: 1, 10: 1}
    assert (one.buyers, one.one_time_buyers, one.events) == (1, 0, 5)


def test_who_bought_on_one_day_only_is_a_one_time_buyer() -> None:
    assert bought_on(1, 1.5).one_time_buyers == 1
    assert bought_on(1, 2).one_time_buyers == 0


def test_who_never_bought_is_a_customer_but_no_buyer() -> None:
    visitor = tally(customer_log("v", [Event(DAY, Kind.VISIT)]))
    assert (visitor.customers, visitor.buyers, visitor.one_time_buyers) == (1, 0, 0)
    assert visitor.kinds == {"visit": 1}


def test_nothing_adds_nothing() -> None:
    assert tally(customer_log("c", [])).events == 0


def test_buckets_add_up() -> None:
    report = shop(bought_on(1, 40), bought_on(30), bought_on(59))
    assert report.total.customers == 3
    assert report.one_time_share == pytest.approx(2 / 3)
    assert report.total.months == {"1970-01": 2, "1970-02": 1, "1970-03": 1}
    assert (report.first_event, report.last_event) == (DAY, 59 * DAY)
    assert report.complete_until == 60 * DAY
    assert report.span_days == 59


@pytest.mark.parametrize(
    ("horizon", "lead", "expected"), [(20, 0, 1), (19, 0, 0), (10, 10, 1), (60, 0, 121)]
)
def test_the_log_must_hold_a_history_and_two_windows(
    horizon: int, lead: int, expected: int
) -> None:
    assert shop(bought_on(1, 59)).shortfall_days(horizon, lead) == expected


def test_part_of_a_missing_day_is_a_missing_day() -> None:
    assert shop(bought_on(1.5, 59)).shortfall_days(20) == 2


@pytest.mark.parametrize(
    ("counts", "q", "expected"),
    [({5: 1}, 0.5, 5), ({1: 3, 10: 1}, 0.75, 1), ({1: 3, 10: 1}, 0.76, 10), ({1: 1, 2: 1}, 1, 2)],
)
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(
    counts: dict[int, int], q: float, expected: int
) -> None:
    assert quantile(Counter(counts), q) == expected


def test_horizon_and_inactivity_are_suggested_from_the_gaps_with_the_reason() -> None:
    days = [30 * i for i in range(10)] + [270 + 58 * i for i in range(1, 6)]
    horizon, inactivity = shop(*crowd(*days)).suggestions()
    assert (horizon.key, horizon.days) == ("horizon_days", 60)
    assert horizon.why == "75% of returning purchases come within 58 days of the last"
    assert (inactivity.key, inactivity.days) == ("inactivity_days", 60)


def test_no_horizon_is_suggested_that_the_log_has_no_room_for() -> None:
    report = shop(*crowd(0, 59))
    horizon = report.suggestions()[0]
    assert horizon.days == 20
    assert "no room for a longer one" in horizon.why
    assert report.shortfall_days(horizon.days) == 0


def test_without_a_returning_customer_nothing_is_suggested() -> None:
    report = shop(bought_on(1), bought_on(30))
    assert report.suggestions() == ()
    assert report.gap_days == {}
    assert report.lines()


def test_a_few_gaps_suggest_nothing_and_few_customers_are_warned_of() -> None:
    report = shop(*[bought_on(0, 30, 200)] * 14)
    assert report.suggestions() == ()
    assert shop(*[bought_on(0, 30, 200)] * 15).suggestions()
    assert any("too few customers to learn from (buyers: 14)" in w for w in report.warnings())
    assert not any("too few" in warning for warning in shop(*crowd(0, 30, 200)).warnings())


def test_a_log_too_short_for_the_horizon_is_warned_of_with_the_days() -> None:
    (warning,) = shop(*crowd(1, 40), horizon_days=60).warnings()
    assert warning == (
        "the log of 40 days is 140 days too short for a horizon of 60 days and a lead time of 0"
    )


def test_a_horizon_shorter_than_the_median_gap_is_warned_of() -> None:
    (warning,) = shop(*crowd(0, 100, 200), horizon_days=60).warnings()
    assert "shorter than the median gap between purchases (100 days)" in warning


@pytest.mark.parametrize(("repeats", "warned"), [(5, False), (6, True)])
def test_many_duplicates_are_warned_of_as_a_poor_mapping(repeats: int, warned: bool) -> None:
    rejected = Rejected(Counter(duplicate=repeats), Counter())
    report = shop(bought_on(*range(0, 190, 2)), rejected=rejected, horizon_days=30)
    assert any("of the rows are duplicates" in line for line in report.warnings()) == warned


def test_rejected_rows_are_reported_with_what_to_do() -> None:
    rejected = Rejected(Counter(kind_unknown=2, duplicate=3), Counter(Buy=2))
    report = shop(bought_on(1, 2), rejected=rejected)
    assert report.rows == 7
    assert list(report.quarantined) == ["duplicate", "kind_unknown"]
    text = "\n".join(report.lines())
    assert "7 rows: 2 events of 1 customers, 5 quarantined" in text
    assert f"3 duplicate ({ADVICE['duplicate']})" in text
    assert "kind 'Buy' (rows: 2) is unknown" in text


def test_the_report_is_plain_json() -> None:
    rejected = Rejected(Counter(duplicate=3), Counter())
    report = shop(bought_on(1, 2, 40), bought_on(50), rejected=rejected).to_dict()
    assert json.loads(json.dumps(report)) == report
    assert report["one_time_share"] == 0.5
    assert report["quarantined"] == {"duplicate": 3}
    assert report["first_event"] == "1970-01-02T00:00:00Z"
    assert report["gap_days"]["p95"] == 38


def test_every_reason_comes_with_advice_and_has_one_name() -> None:
    reasons = [rule.reason for rule in RULES]
    assert len(set(reasons)) == len(reasons)
    assert all(len(advice) > 20 for advice in ADVICE.values())
    assert set(reasons) < set(ADVICE)
