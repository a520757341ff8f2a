"""Management figures on a shop small enough to count on the fingers."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from churn.bundle import load
from churn.events import Event, EventLog, Kind, customer_log
from churn.features import features
from churn.lost import BY, NOT_KNOWN, lost_by
from churn.registry import Registry
from churn.retention import DEFINITIONS, Figures, Period, Tally, figures, is_lost, tally
from churn.scoring import Scorer
from tests.support import small_bundle


def us(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1_000_000)


def events(*bought: tuple[str, float], back: tuple[str, float] | None = None) -> list[Event]:
    found = [Event(us(day), Kind.PURCHASE, amount=amount) for day, amount in bought]
    return [*found, Event(us(back[0]), Kind.RETURN, amount=back[1])] if back else found


# The period is April to June 2026; a customer is one who bought within 90 days.
PERIOD = Period(us("2026-04-01"), us("2026-06-30"), 90)
SHOP = {
    # stays: bought in March and in May
    "a": events(("2026-03-01", 100.0), ("2026-05-10", 200.0), back=("2026-05-20", 50.0)),
    # lost: bought in January (within 90 days of 1 April), never again
    "b": events(("2026-01-10", 80.0)),
    # stays, two orders in the period
    "c": events(("2026-02-15", 10.0), ("2026-04-20", 40.0), ("2026-06-01", 60.0)),
    # stays
    "d": events(("2026-03-20", 10.0), ("2026-04-20", 40.0)),
    # acquired in May
    "e": events(("2026-05-05", 300.0)),
    # returned: bought in 2025 only, and again in June
    "f": events(("2025-08-01", 10.0), ("2026-06-15", 60.0)),
    # long gone
    "g": events(("2025-09-01", 10.0)),
    # comes only after the period
    "h": events(("2026-07-01", 10.0)),
}


def counted(names: str = "abcdefgh") -> Tally:
    whole = Tally()
    for name in names:
        whole.add(tally(customer_log(name, SHOP[name]), PERIOD))
    return whole


def told() -> Figures:
    return figures(counted(), PERIOD, margin_rate=0.5, lifetime_days=180, discount_rate=0.10)


def test_the_figures_are_those_counted_by_hand() -> None:
    found = told()
    assert (found.customers_at_start, found.customers_at_end) == (4, 5)  # abcd; acdef
    assert (found.acquired, found.returned, found.lost) == (1, 1, 1)
    assert found.retention_rate == pytest.approx((5 - 2) / 4 * 100)
    assert found.churn_rate == pytest.approx(25.0)
    assert found.buyers == 5
    assert found.repeat_purchase_rate == pytest.approx(4 / 5 * 100)  # not e
    assert found.lost_to_new == pytest.approx(0.5)
    assert found.revenue == pytest.approx(200 - 50 + 40 + 60 + 40 + 300 + 60)
    assert found.arpu == pytest.approx(650 / 5)


def test_retention_and_churn_are_all_there_is() -> None:
    found = told()
    assert found.retention_rate is not None
    assert found.churn_rate is not None
    assert found.retention_rate + found.churn_rate == pytest.approx(100.0)


def test_the_lifetime_value_is_the_sum_of_the_periods_to_come() -> None:
    margin = 0.5 * 650 / 4
    expected = 0.75 * margin / 1.1 ** (90 / 365) + 0.75**2 * margin / 1.1 ** (180 / 365)
    assert told().lifetime_value == pytest.approx(expected)


def test_cohorts_are_counted_from_their_first_month() -> None:
    cohorts = {row["month"]: row for row in told().cohorts}
    assert cohorts["2026-03"] == {
        "month": "2026-03", "customers": 2, "bought": [100.0, 50.0, 50.0, 0.0],
    }  # fmt: skip
    assert cohorts["2026-05"] == {"month": "2026-05", "customers": 1, "bought": [100.0, 0.0]}
    assert cohorts["2025-08"]["customers"] == 1
    assert "2026-07" not in cohorts


def test_parts_add_up_to_the_whole() -> None:
    logs = [customer_log(name, one) for name, one in SHOP.items()]
    joined = EventLog(
        np.concatenate([log.customer_ids for log in logs]),
        np.concatenate([[0], np.cumsum([log.n_events for log in logs])]),
        *(np.concatenate([getattr(log, name) for log in logs]) for name in EventLog._fields[2:]),
    )
    whole, parts = tally(joined, PERIOD), counted()
    for name in Tally.__dataclass_fields__:
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert [str(one) for one in joined.customer_ids[is_lost(joined, PERIOD)]] == ["b"]


def test_an_empty_shop_divides_by_nothing() -> None:
    found = figures(Tally(), PERIOD, margin_rate=0.3)
    assert found.retention_rate is None
    assert found.arpu is None
    assert found.lifetime_value is None
    assert found.cohorts == []


def test_every_figure_has_its_definition() -> None:
    assert set(DEFINITIONS) == set(Figures.__dataclass_fields__)


def test_a_purchase_at_the_start_belongs_to_the_period() -> None:
    at = tally(customer_log("x", events(("2026-04-01", 10.0))), PERIOD)
    assert (at.at_start, at.acquired, at.revenue) == (0, 1, 10.0)
    at = tally(customer_log("x", events(("2026-06-30", 10.0))), PERIOD)
    assert (at.at_end, at.buyers, at.revenue) == (0, 0, 0.0)


def test_the_lost_are_told_apart_as_the_model_saw_them(tmp_path: Path) -> None:
    version = small_bundle(tmp_path)
    scorer = Scorer(load(Registry(tmp_path).path(version)))
    rows = [
        features(customer_log(name, SHOP[name]), PERIOD.start, scorer.settings) for name in "bcdg"
    ]
    found = lost_by(scorer, np.concatenate(rows))
    assert set(found) == set(BY)
    for counts in found.values():
        assert sum(counts.values()) == 4
    assert set(found["reason"]) <= {*scorer.schema.families, NOT_KNOWN}
    assert set(found["segment"]) <= {"A", "B", "C", NOT_KNOWN}
    assert found["category"][NOT_KNOWN] >= 1  # who is long gone is not scored
