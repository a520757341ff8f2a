"""What the benchmark of a million customers does, on a few: nothing of its path goes unrun."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import large, large_log
from benchmarks.large import Moment, Watched
from benchmarks.report import Result
from churn.events import MICROSECONDS_PER_DAY
from training import config as configuration
from training.calendar import Calendar, instant


@pytest.fixture(scope="module")
def result() -> Result:
    return large.measure(1_500)


def test_every_command_is_run_watched_and_told_of(result: Result) -> None:
    whole = {row[0].strip("*"): row[1:] for row in result.rows if row[0].startswith("**")}
    assert list(whole) == ["check", "train", "score"]
    for wall_s, cpu_s, peak_gb, disk_gb, silence_s in whole.values():
        assert 0 < silence_s < wall_s
        assert cpu_s > 0.1
        assert 0.05 < peak_gb < 8
        assert 0 <= disk_gb < 0.1
    assert result.title.startswith("1,500 customers, ")
    assert next(iter(result.targets.values())).endswith("GB")


def test_its_dates_are_six_before_the_test_and_six_before_the_end(tmp_path: Path) -> None:
    log = tmp_path / "keepwell.toml"
    log.write_text(f"[events]\nquery = 'FROM log'\n[training]\n{large.TRAINING}\n")
    config = configuration.load(log)
    first, end = (
        instant(datetime(day.year, day.month, day.day, tzinfo=UTC))
        for day in (large_log.FIRST_DAY, large_log.END)
    )
    window = config.problem.horizon_days * MICROSECONDS_PER_DAY
    every = config.training.snapshot_every_days
    calendar = Calendar(first, end, window, config.problem.horizon_days, every, window, UTC)
    for made_at in (calendar.last_test_date(), end):
        assert len(calendar.training_dates(made_at)) == large.SNAPSHOTS


def test_a_command_that_fails_is_not_taken_for_a_fast_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        large.watch(["check", "-c", "absent.toml"], tmp_path)
    assert "absent.toml" in capsys.readouterr().err


def test_stages_share_out_the_whole_time() -> None:
    seen = Watched(
        wall_s=10.0,
        moments=[Moment(at, gb, 2 * at) for at, gb in ((0.5, 1.0), (3.0, 2.0), (5.0, 4.0))],
        lines=[
            (1.0, "reading events"),
            (4.0, "computing features"),
            (5.0, "computing features: 3 of 64"),
            (6.0, "10,000 rows: 9,999 events"),
            (7.0, "computing features"),
        ],
    )
    stages = seen.stages()
    assert [(name, wall) for name, wall, _, _ in stages] == [
        ("starting", 1.0),
        ("reading events", 3.0),
        ("computing features", 6.0),
    ]
    assert [peak for *_, peak in stages] == [1.0, 2.0, 4.0]
    assert seen.peak_gb == 4.0
    assert seen.silence_s == 3.0
