"""What is too old goes, and nothing else, on both databases."""

import logging
from pathlib import Path

import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind
from service.retention import Removed, Retention
from service.settings import Settings
from service.store import tables
from service.store.database import Database
from service.store.decisions import Decisions
from service.store.histories import Histories
from service.store.outcomes import Outcome, Outcomes
from service.store.recorded import Remembered, Scores
from tests.decided import decided, plant

TODAY = 20_000
MANY = 1_203


def retention(
    database: Database, tmp_path: Path, *, window: int | None = None, **settings: int
) -> Retention:
    given = Settings(models_dir=tmp_path, jobs_dir=tmp_path / "jobs", **settings)  # type: ignore[arg-type]
    return Retention(database, given, lambda: TODAY * DAY, lambda: window)


def purchase(day: int) -> Event:
    return Event(day * DAY, Kind.PURCHASE, amount=1.0)


def remembered(customer_id: str, day: int) -> Remembered:
    return Remembered(
        customer_id=customer_id,
        day=day,
        model_version="m",
        as_of=day * DAY,
        scored_at=day * DAY,
        probability=0.5,
        status="scored",
        band="low",
        reasons="[]",
        horizon_days=60,
    )


def test_events_are_kept_for_as_long_as_they_may_be(database: Database, tmp_path: Path) -> None:
    histories = Histories(database)
    batch = [(f"c{at}", purchase(day)) for at in range(MANY) for day in (TODAY - 31, TODAY - 30)]
    histories.append([*batch, ("old", purchase(TODAY - 400)), ("new", purchase(TODAY))], 0)
    swept = retention(database, tmp_path, events_keep_days=30)
    assert swept.sweep() == Removed(events=MANY + 1, scores=0, decisions=0)
    found = histories.read([*(f"c{at}" for at in range(MANY)), "old", "new"])
    assert "old" not in found
    assert len(found) == MANY + 1
    assert found["c7"].events() == [purchase(TODAY - 30)]
    assert swept.sweep() == Removed(0, 0, 0)


def test_events_are_kept_for_ever_unless_told_otherwise(database: Database, tmp_path: Path) -> None:
    histories = Histories(database)
    histories.append([("c", purchase(1))], 0)
    assert retention(database, tmp_path).sweep() == Removed(0, 0, 0)
    assert len(histories.read(["c"])["c"]) == 1


def test_a_write_is_still_known_by_its_number_after_a_sweep(
    database: Database, tmp_path: Path
) -> None:
    histories = Histories(database)
    histories.append([("c", purchase(TODAY - 31)), ("c", purchase(TODAY - 2))], 0)
    histories.append([("c", purchase(TODAY - 1))], 0)
    retention(database, tmp_path, events_keep_days=30).sweep()
    assert histories.received() == 2
    assert histories.read(["c"])["c"].events(upto=1) == [purchase(TODAY - 2)]


def test_recorded_scores_are_kept_for_as_long_as_they_may_be(
    database: Database, tmp_path: Path
) -> None:
    scores = Scores(database)
    scores.record(
        [remembered(f"c{at}", day) for at in range(MANY) for day in (TODAY - 31, TODAY - 29)]
    )
    swept = retention(database, tmp_path, scores_keep_days=30)
    assert swept.sweep() == Removed(events=0, scores=MANY, decisions=0)
    left = scores.of_customer("c7", limit=10)
    assert left is not None
    assert [row.day for row in left] == [TODAY - 29]


def test_decisions_go_with_what_came_of_them_for_the_day_on_which_they_were_made(
    database: Database, tmp_path: Path
) -> None:
    old, new = TODAY - 91, TODAY - 89
    plant(
        database,
        *(
            decided(2 * at + (day == new), customer_id=f"c{at}", day=day)
            for at in range(MANY)
            for day in (old, new)
        ),
    )
    for number in (14, 15):
        Outcomes(database).add(
            decided(number).decision_id, Outcome.DELIVERED, TODAY * DAY, now=TODAY * DAY,
            allowance=0,
        )  # fmt: skip
    swept = retention(database, tmp_path, decisions_keep_days=90)
    assert swept.sweep() == Removed(events=0, scores=0, decisions=MANY)
    ((left, came),) = Decisions(database).of_customer("c7", limit=10)
    assert left.day == new
    assert len(came) == 1
    with database.reading() as connection:
        assert len(connection.execute(tables.outcomes.select()).all()) == 1
    assert swept.sweep() == Removed(0, 0, 0)


@pytest.mark.parametrize(("window", "warns"), [(730, True), (30, False), (None, False)])
def test_keeping_less_than_the_model_reads_is_warned_of(
    database: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    window: int | None,
    warns: bool,
) -> None:
    with caplog.at_level(logging.WARNING):
        retention(database, tmp_path, window=window, events_keep_days=60).sweep()
    assert ("KEEPWELL_EVENTS_KEEP_DAYS is 60, but the model reads 730" in caplog.text) == warns
