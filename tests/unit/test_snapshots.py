from dataclasses import dataclass, field

import numpy as np
import pytest

from churn.compiled import plain
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, EventLog, Feed, Kind, customer_log
from churn.features import FEATURES, POSITION, FeatureSettings, features
from training.config import Problem
from training.snapshots import Snapshots, _look, collect

AS_OF = 1000 * DAY


@dataclass
class Logs:
    """An ingested log of one customer a bucket."""

    buckets: list[EventLog]
    feeds: frozenset[Feed] = field(default_factory=lambda: frozenset(Feed))
    own: None = None

    @property
    def n_buckets(self) -> int:
        return len(self.buckets)

    def bucket(self, k: int) -> EventLog:
        return self.buckets[k]


def logs(*histories: list[Event], feeds: frozenset[Feed] | None = None) -> Logs:
    buckets = [customer_log(f"c{n}", events) for n, events in enumerate(histories)]
    return Logs(buckets) if feeds is None else Logs(buckets, feeds)


def bought(*times: int) -> list[Event]:
    return [Event(t, Kind.PURCHASE, amount=10.0) for t in times]


def taken(ingested: Logs, as_ofs: list[int], problem: Problem, **more: object) -> Snapshots:
    return collect(ingested, as_ofs, problem, **more)  # type: ignore[arg-type]


def label(after: int, problem: Problem) -> bool:
    """Whether one is a churner who bought just before `AS_OF`, and `after` microseconds on."""
    rows = taken(logs(bought(AS_OF - 1, AS_OF + after)), [AS_OF], problem)
    assert len(rows) == 1
    return bool(rows.is_churn[0])


HORIZON = Problem(horizon_days=60)
LEAD = Problem(horizon_days=60, lead_time_days=7)


@pytest.mark.parametrize(
    ("after", "is_churn"),
    [(0, False), (1, False), (60 * DAY - 1, False), (60 * DAY, True), (61 * DAY, True)],
)
def test_the_outcome_window_is_half_open(after: int, is_churn: bool) -> None:
    assert label(after, HORIZON) is is_churn


@pytest.mark.parametrize(
    ("after", "is_churn"),
    [(0, True), (7 * DAY - 1, True), (7 * DAY, False), (67 * DAY - 1, False), (67 * DAY, True)],
)
def test_the_lead_time_comes_before_the_outcome_window(after: int, is_churn: bool) -> None:
    assert label(after, LEAD) is is_churn


def test_a_label_knows_only_what_was_known_when_the_model_was_made() -> None:
    made_at = AS_OF + 60 * DAY
    late = Event(AS_OF + DAY, Kind.PURCHASE, amount=10.0, known_at=made_at)
    log = logs([*bought(AS_OF - 1), late])
    assert taken(log, [AS_OF], HORIZON, known_until=made_at).is_churn.tolist() == [True]
    assert taken(log, [AS_OF], HORIZON, known_until=made_at + 1).is_churn.tolist() == [False]
    assert taken(log, [AS_OF], HORIZON).is_churn.tolist() == [False]


def test_the_next_purchase_is_counted_from_the_end_of_the_lead_time() -> None:
    log = logs(bought(AS_OF - 1, AS_OF + 3 * DAY, AS_OF + 20 * DAY), bought(AS_OF - 2))
    assert taken(log, [AS_OF], HORIZON).next_purchase_days.tolist() == [3.0, np.inf]
    assert taken(log, [AS_OF], LEAD).next_purchase_days.tolist() == [13.0, np.inf]


def test_only_purchases_are_staying() -> None:
    events = [*bought(AS_OF - DAY), Event(AS_OF + DAY, Kind.VISIT), Event(AS_OF + DAY, Kind.RETURN)]
    assert taken(logs(events), [AS_OF], HORIZON).is_churn.tolist() == [True]


@pytest.mark.parametrize(
    ("before", "eligible"),
    [(0, False), (1, True), (180 * DAY, True), (180 * DAY + 1, False)],
)
def test_the_eligible_bought_within_the_half_open_inactivity_window(
    before: int, eligible: bool
) -> None:
    assert len(taken(logs(bought(AS_OF - before)), [AS_OF], HORIZON)) == int(eligible)


def test_a_purchase_not_known_yet_makes_nobody_eligible() -> None:
    late = [Event(AS_OF - DAY, Kind.PURCHASE, known_at=AS_OF)]
    known = [Event(AS_OF - DAY, Kind.PURCHASE, known_at=AS_OF - 1)]
    assert len(taken(logs(late), [AS_OF], HORIZON)) == 0
    assert len(taken(logs(known), [AS_OF], HORIZON)) == 1


def test_other_events_make_nobody_eligible() -> None:
    assert len(taken(logs([Event(AS_OF - DAY, Kind.VISIT)]), [AS_OF], HORIZON)) == 0


def test_everyone_includes_the_lapsed_but_not_strangers() -> None:
    ingested = logs(bought(AS_OF - 200 * DAY), bought(AS_OF - 800 * DAY), bought(AS_OF + DAY))
    rows = taken(ingested, [AS_OF], HORIZON, everyone=True)
    assert rows.customer_id.tolist() == ["c0"]


def test_features_are_those_of_their_own_date() -> None:
    history = bought(*(AS_OF - n * 9 * DAY for n in range(12)))
    dates = [AS_OF - 30 * DAY, AS_OF + 1, AS_OF - 3 * DAY]
    rows = taken(logs(history), dates, HORIZON)
    assert rows.dates == sorted(dates)
    for as_of in dates:
        expected = features(customer_log("c0", history), as_of, FeatureSettings(730, 60))
        assert rows.at(as_of).X.tobytes() == expected.tobytes()


def test_the_future_changes_no_feature() -> None:
    past = bought(AS_OF - 40 * DAY, AS_OF - 10 * DAY)
    future = [
        *bought(AS_OF, AS_OF + 5 * DAY),
        Event(AS_OF + DAY, Kind.COMPLAINT),
        Event(AS_OF - 5 * DAY, Kind.COMPLAINT, known_at=AS_OF),
    ]
    without = taken(logs(past), [AS_OF], HORIZON)
    beside = taken(logs(past + future), [AS_OF], HORIZON)
    assert beside.X.tobytes() == without.X.tobytes()
    assert without.is_churn.tolist() == [True]
    assert beside.is_churn.tolist() == [False]


def test_what_the_log_does_not_record_is_missing() -> None:
    rows = taken(
        logs(bought(AS_OF - DAY), feeds=frozenset({Feed.ORDERS, Feed.CHEQUES})), [AS_OF], HORIZON
    )
    for at, feature in enumerate(FEATURES):
        if feature.feed not in (Feed.ORDERS, Feed.CHEQUES):
            assert np.isnan(rows.X[0, at]), feature.name
    assert rows.X[0, POSITION["days_since_last_purchase"]] == 1.0
    assert rows.X[0, POSITION["average_cheque"]] == 10.0


def test_a_part_of_the_rows_is_the_same_part_each_time() -> None:
    ingested = logs(*(bought(AS_OF - (n + 1) * DAY) for n in range(150)))
    whole = taken(ingested, [AS_OF], HORIZON)
    one, again = (taken(ingested, [AS_OF], HORIZON, max_rows=50, seed=3) for _ in range(2))
    other = taken(ingested, [AS_OF], HORIZON, max_rows=50, seed=4)
    assert len(whole) == 150
    assert 20 < len(one) < 90
    assert one.customer_id.tolist() == again.customer_id.tolist()
    assert one.customer_id.tolist() != other.customer_id.tolist()
    assert set(one.customer_id) <= set(whole.customer_id)


def test_a_limit_above_the_rows_takes_all_of_them() -> None:
    ingested = logs(*(bought(AS_OF - (n + 1) * DAY) for n in range(20)))
    assert len(taken(ingested, [AS_OF], HORIZON, max_rows=1000)) == 20


def test_an_empty_bucket_gives_no_rows() -> None:
    rows = taken(logs([], bought(AS_OF - DAY)), [AS_OF], HORIZON)
    assert rows.customer_id.tolist() == ["c1"]
    assert taken(logs([]), [AS_OF], HORIZON).X.shape == (0, len(FEATURES))


def test_one_time_buyers_are_told_apart() -> None:
    once = bought(AS_OF - DAY, AS_OF - DAY + 1)  # two orders, one day
    twice = bought(AS_OF - DAY, AS_OF - 3 * DAY)
    assert taken(logs(once, twice), [AS_OF], HORIZON).is_one_time.tolist() == [True, False]


def test_the_plain_python_source_labels_as_the_compiled_does() -> None:
    rng = np.random.default_rng(2)
    times = np.sort(rng.integers(0, 400 * DAY, size=40))
    log = customer_log("c", bought(*times.tolist()))
    as_ofs = np.arange(50, 400, 7) * DAY
    results = []
    for kernel in (_look, plain(_look)):
        eligible = np.zeros((1, len(as_ofs)), dtype=np.bool_)
        days = np.full((1, len(as_ofs)), np.inf)
        kernel(
            log.time, log.known_at, log.kind, log.offsets, as_ofs, 5 * DAY, 3 * DAY, 500 * DAY,
            eligible, days,
        )  # fmt: skip
        results.append((eligible.tolist(), days.tolist()))
    assert results[0] == results[1]
    assert 0 < sum(results[0][0][0]) < len(as_ofs)
    assert len(set(results[0][1][0])) > 20
