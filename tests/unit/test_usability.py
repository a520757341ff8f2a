import json
from collections import Counter
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest

from churn.events import MICROSECONDS_PER_DAY, Event, Feed, Kind, customer_log
from training.config import from_mapping
from training.quarantine import Rejected
from training.recorded import partly_recorded
from training.rules import ADVICE, RULES
from training.tally import Span, Tally, tally
from training.usability import Usability, assess

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
    ("horizon", "lead", "expected"), [(20, 0, 1), (19, 0, 0), (14, 9, 1), (13, 9, 0), (60, 0, 121)]
)
def test_the_log_must_hold_a_history_and_two_windows(
    horizon: int, lead: int, expected: int
) -> None:
    report = shop(bought_on(1, 59), horizon_days=horizon, lead_time_days=lead)
    assert report.shortfall_days == expected


def test_part_of_a_missing_day_is_a_missing_day() -> None:
    assert shop(bought_on(1.5, 59), horizon_days=20).shortfall_days == 2


def test_suggestions_come_with_their_reason_and_with_what_is_configured() -> None:
    days = [30 * i for i in range(30)]
    report = shop(*crowd(*days), *crowd(*days[:5]), horizon_days=14)
    suggested = report.to_dict()["suggestions"]
    assert set(suggested) == {"horizon_days", "lead_time_days", "inactivity_days"}
    assert set(suggested["horizon_days"]) == {"days", "why", "configured", "change", "now"}
    assert (suggested["horizon_days"]["days"], suggested["horizon_days"]["change"]) == (30, True)
    assert any(line.startswith("suggestion: horizon_days = 30: ") for line in report.lines())


def test_what_is_missing_for_a_horizon_is_warned_of() -> None:
    report = shop(*crowd(0, 30, 59))
    assert "horizon_days" not in report.to_dict()["suggestions"]
    assert any("no horizon suits both" in warning for warning in report.warnings())


def test_without_a_returning_customer_nothing_is_suggested() -> None:
    report = shop(bought_on(1), bought_on(30))
    assert report.suggestions() == ()
    assert report.gaps.raw == {}
    assert report.lines()


def test_a_few_gaps_suggest_nothing_and_few_customers_are_warned_of() -> None:
    report = shop(*[bought_on(0, 30, 200)] * 14)
    assert report.suggestions() == ()
    assert shop(*[bought_on(0, 30, 200)] * 15).suggestions()
    assert any("too few customers to learn from (buyers: 14)" in w for w in report.warnings())
    assert not any("too few" in warning for warning in shop(*crowd(0, 30, 200)).warnings())


def test_a_log_too_short_for_the_horizon_is_warned_of_with_the_days() -> None:
    warnings = shop(*crowd(1, 40), horizon_days=60).warnings()
    assert warnings[0] == (
        "the log of 40 days is 140 days too short for a horizon of 60 days and a lead time of 0"
    )


def test_a_horizon_shorter_than_the_median_gap_is_warned_of() -> None:
    (warning,) = shop(*crowd(0, 100, 200, 400), horizon_days=60).warnings()
    assert "shorter than the median gap between purchases (100 days)" in warning


@pytest.mark.parametrize(("last", "warned"), [(363, True), (364, False)])
def test_a_log_younger_than_a_year_is_warned_of(last: int, warned: bool) -> None:
    warnings = shop(*crowd(*range(0, last, 20), last)).warnings()
    assert any("younger than a year" in warning for warning in warnings) == warned


def span(first: float, last: float, events: int = 1000) -> Span:
    return Span(events, int(first * DAY), int(last * DAY))


def late(kind: Span) -> list[str]:
    return list(partly_recorded({"complaint": kind}, 0, 400 * DAY, UTC))


def test_a_kind_that_begins_midway_is_named_with_its_date() -> None:
    (warning,) = late(span(150, 400))
    assert warning.startswith("complaint is recorded from 1970-05-31 on, 150 days after the log")
    assert late(span(30, 400)) == []
    assert late(span(31, 400)) != []


def test_a_kind_that_ends_early_is_named_with_its_date() -> None:
    (warning,) = late(span(0, 350))
    assert warning.startswith("complaint ends on 1970-12-17, 50 days before the log does")


def test_a_rare_kind_may_begin_late_by_chance() -> None:
    assert late(span(100, 400, events=10)) == []
    assert late(span(100, 400, events=16)) != []


def test_a_kind_s_date_is_named_in_the_log_s_time_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    (warning,) = partly_recorded({"visit": span(150.8, 400)}, 0, 400 * DAY, tokyo)
    assert "recorded from 1970-06-01 on" in warning


def test_kinds_and_columns_are_tallied_with_their_first_and_last_event() -> None:
    events = [
        Event(DAY, Kind.PURCHASE),
        Event(2 * DAY, Kind.PURCHASE, amount=5.0, category="tea"),
        Event(3 * DAY, Kind.COMPLAINT),
        Event(9 * DAY, Kind.COMPLAINT_RESOLVED),
        Event(10 * DAY, Kind.PURCHASE, amount=5.0, discount=1.0),
    ]
    total = Tally()
    total.add(tally(customer_log("a", events[:3])))
    total.add(tally(customer_log("b", events[3:])))
    assert total.recorded == {
        "purchase": span(1, 10, 3),
        "amount": span(2, 10, 2),
        "category": span(2, 2, 1),
        "complaint": span(3, 3, 1),
        "complaint_resolved": span(9, 9, 1),
        "discount": span(10, 10, 1),
    }
    assert total.feeds == {
        Feed.ORDERS, Feed.CHEQUES, Feed.CATEGORIES, Feed.COMPLAINTS, Feed.DISCOUNTS,
    }  # fmt: skip
    assert shop(total).to_dict()["recorded"]["amount"] == {
        "events": 2,
        "first": "1970-01-03T00:00:00Z",
        "last": "1970-01-11T00:00:00Z",
    }


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
