from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURES
from training.backtest import MODEL, BacktestResult, Judged
from training.calendar import CALIBRATION_DATES, MAX_SNAPSHOTS, Calendar, instant, moment
from training.config import from_mapping
from training.snapshots import Snapshots

FIRST = instant(datetime(2020, 1, 1, tzinfo=UTC))


@dataclass
class Log:
    """As much of an ingested log as a calendar asks about."""

    first_event: int
    complete_until: int


def calendar(days: float, **problem: int) -> Calendar:
    """The calendar of a log of so many days from 2020-01-01."""
    training = {"snapshot_every_days": problem.pop("every")} if "every" in problem else {}
    config = from_mapping(
        {
            "events": {"query": "SELECT 1"},
            "problem": {"horizon_days": 60, **problem},
            "training": training,
        },
        Path("keepwell.toml"),
    )
    return Calendar.of(config, Log(FIRST, FIRST + int(days * DAY)))  # type: ignore[arg-type]


def test_dates_are_named_in_the_log_s_time_zone() -> None:
    events = {"query": "SELECT 1", "timezone": "Asia/Tokyo"}
    config = from_mapping({"events": events}, Path("keepwell.toml"))
    midnight = FIRST - 9 * DAY // 24
    log = Log(midnight, midnight + 365 * DAY)
    dates = Calendar.of(config, log)  # type: ignore[arg-type]
    with pytest.raises(TooLittleData) as error:
        dates.check_test_date(midnight + 364 * DAY)
    assert "--as-of 2020-12-30: " in str(error.value)
    assert "complete until 2020-12-31)" in str(error.value)
    assert "the last possible date is 2020-11-01" in str(error.value)
    test = Snapshots(
        np.zeros((4, len(FEATURES))),
        np.full(4, midnight + 300 * DAY),
        np.array([True, False, True, False]),
        np.array([np.inf, 3.0, np.inf, 0.5]),
        np.array(["a", "b", "c", "d"], dtype=object),
    )
    judged = Judged(test, {MODEL: np.array([0.6, 0.4, 0.7, 0.3])}, None, {})  # type: ignore[arg-type]
    result = BacktestResult(60, (judged,), config.events.zone).to_dict()
    assert result["as_of"] == ["2020-10-27"]
    assert set(result["models"][MODEL]["by_date"]) == {"2020-10-27"}


def day(date: int) -> int:
    assert (date - FIRST) % DAY == 0
    return (date - FIRST) // DAY


def test_instants_and_moments_are_inverse_to_the_microsecond() -> None:
    now = datetime(2026, 11, 21, 18, 3, 11, 123456, tzinfo=UTC)
    assert moment(instant(now)) == now
    assert instant(datetime(1969, 12, 31, tzinfo=UTC)) == -DAY
    assert instant(now + timedelta(microseconds=1)) == instant(now) + 1


def test_the_last_training_label_ends_when_the_model_is_made() -> None:
    dates = calendar(365, every=15).training_dates(FIRST + 300 * DAY)
    assert day(dates[-1]) == 240
    assert all(date + 60 * DAY <= FIRST + 300 * DAY for date in dates)


def test_the_lead_time_is_part_of_the_label() -> None:
    dates = calendar(365, lead_time_days=10, every=15).training_dates(FIRST + 300 * DAY)
    assert day(dates[-1]) == 230


def test_snapshots_stand_as_far_apart_as_told() -> None:
    dates = calendar(365, every=70).training_dates(FIRST + 300 * DAY)
    assert [day(date) for date in dates] == [100, 170, 240]


@pytest.mark.parametrize(
    ("horizon_days", "made_at", "expected"),
    [
        (60, "2021-05-02", ["2021-03-02", "2021-02-02", "2021-01-02", "2020-12-02"]),
        (60, "2021-03-31", ["2020-12-31", "2020-11-30", "2020-10-31", "2020-09-30"]),
        (30, "2021-05-02", ["2021-04-02", "2021-03-02", "2021-02-02", "2021-01-02"]),
        (180, "2021-12-15", ["2021-06-15", "2021-03-15", "2020-12-15"]),
        (14, "2021-05-02", ["2021-04-18", "2021-04-11", "2021-04-04", "2021-03-28"]),
        (7, "2021-05-02", ["2021-04-25", "2021-04-18", "2021-04-11", "2021-04-04"]),
    ],
)
def test_snapshots_are_at_the_phase_of_the_date_that_the_model_is_made_for(
    horizon_days: int, made_at: str, expected: list[str]
) -> None:
    dates = calendar(1000, horizon_days=horizon_days).training_dates(
        instant(datetime.fromisoformat(made_at).replace(tzinfo=UTC))
    )
    latest = [f"{moment(date):%Y-%m-%d}" for date in dates[::-1]]
    assert latest[: len(expected)] == expected


def test_the_earliest_snapshot_has_a_horizon_of_history() -> None:
    dates = calendar(365, every=15).training_dates(FIRST + 120 * DAY)
    assert [day(date) for date in dates] == [60]


def test_a_long_log_gives_only_so_many_snapshots() -> None:
    dates = calendar(3000).training_dates(FIRST + 3000 * DAY)
    judging = FIRST + 3000 * DAY - (CALIBRATION_DATES + 1) * 60 * DAY
    assert sum(date < judging for date in dates) == MAX_SNAPSHOTS
    # Every date that calibrations are judged on has its full number of snapshots before it.
    assert len(dates) <= MAX_SNAPSHOTS + CALIBRATION_DATES * 2 + 1


def test_the_test_date_leaves_one_whole_horizon() -> None:
    assert day(calendar(365).last_test_date()) == 305
    assert day(calendar(365, lead_time_days=5).last_test_date()) == 300


def test_the_label_of_the_test_date_may_touch_the_logs_end_and_no_more() -> None:
    known = calendar(365)
    known.check_test_date(FIRST + 305 * DAY)
    with pytest.raises(TooLittleData) as error:
        known.check_test_date(FIRST + 305 * DAY + 1)
    message = str(error.value)
    assert "complete until 2020-12-31" in message
    assert "the last possible date is 2020-11-01" in message


def test_the_shortest_log_is_three_horizons() -> None:
    assert day(calendar(180).last_test_date()) == 120
    with pytest.raises(TooLittleData) as error:
        calendar(179).last_test_date()
    message = str(error.value)
    assert "spans 179 days" in message
    assert "needs 180 days" in message
    assert "it is 1 day too short" in message
    assert "horizon_days" in message


@pytest.mark.parametrize(("days", "short"), [(100, 80), (179.5, 1), (0.2, 180)])
def test_the_message_tells_by_how_much_the_log_falls_short(days: float, short: int) -> None:
    with pytest.raises(TooLittleData, match=rf"it is {short} days? too short"):
        calendar(days).last_test_date()


def test_a_date_before_which_nothing_can_be_learnt_is_refused() -> None:
    with pytest.raises(TooLittleData, match="20 days too short to learn from") as error:
        calendar(365).check_test_date(FIRST + 100 * DAY)
    assert "labels must end by 2020-04-10" in str(error.value)
    assert "begins on 2020-01-01" in str(error.value)


def test_every_message_is_one_line() -> None:
    for wrong in (
        lambda: calendar(10).last_test_date(),
        lambda: calendar(365).check_test_date(FIRST + 400 * DAY),
        lambda: calendar(365).training_dates(FIRST),
    ):
        with pytest.raises(TooLittleData) as error:
            wrong()
        assert "\n" not in str(error.value)
