import json
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn.compiled import Floats
from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY as DAY
from training.calendar import instant
from training.config import Config, Problem, from_mapping
from training.ingest import Ingested, ingest
from training.intervals import Interval
from training.pipeline import train
from training.problem_advice import Advice, advise
from training.rehearsal import rehearse
from training.seasons import Seasons
from training.snapshots import Snapshots
from training.table_sentences import about_horizons, about_inactivities, about_leads
from training.trials import Quality, Trial, sample_of, try_problem

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
FIGURES = ("roc_auc", "log_loss_gain", "top_decile_lift")
Rows = list[tuple[str, datetime]]


@dataclass
class Heard:
    """A listener that remembers."""

    stages: list[tuple[str, int | None]] = field(default_factory=list)
    steps: int = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))
        self.steps = 0

    def advance(self, n: int = 1) -> None:
        self.steps += n

    def note(self, line: str) -> None:
        raise AssertionError(line)


@cache
def purchases(customers: int, days: int) -> tuple[tuple[str, datetime], ...]:
    """Customers with rhythms of their own, who leave sooner the slower they buy."""
    rng = np.random.default_rng(5)
    rows = []
    for customer in range(customers):
        gap = float(rng.choice([6, 15, 40]))
        day = float(rng.uniform(0, days * 0.7))
        while day < days:
            rows.append((f"c{customer}", BEGIN + timedelta(days=day)))
            if rng.random() < 0.04 + gap / 250:
                break
            day += float(rng.gamma(3, gap / 3))
    return tuple(rows)


def config_for(folder: Path, rows: Rows, until: date | None = None, **problem: int) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"c": [row[0] for row in rows], "t": [row[1] for row in rows]}),
        folder / "log.parquet",
    )
    query = "SELECT c AS customer_id, t AS occurred_at, 'purchase' AS kind FROM 'log.parquet'"
    events: dict[str, object] = {"query": query}
    if until is not None:
        events["complete_until"] = until
    return from_mapping({"events": events, "problem": problem}, folder / "keepwell.toml")


def ingested_in(folder: Path, config: Config, n_buckets: int = 4) -> Ingested:
    return ingest(config, folder / "work", now_us=instant(NOW), n_buckets=n_buckets)


def advice_on(folder: Path, rows: Rows, until: date | None = None, **problem: int) -> Advice:
    config = config_for(folder, rows, until, **problem)
    return advise(config, ingested_in(folder, config))


@cache
def a_year() -> Advice:
    with tempfile.TemporaryDirectory() as folder:
        return advice_on(Path(folder), list(purchases(900, 400)), horizon_days=40)


def test_the_json_has_a_row_per_value_with_intervals() -> None:
    found = a_year().to_dict()
    assert json.loads(json.dumps(found)) == found
    horizons = [row["horizon_days"] for row in found["by_horizon"]]
    assert horizons == sorted(horizons)
    assert {14, 30, 40, 45, 60, 90} <= set(horizons)
    assert max(horizons) <= 400 / 3
    assert {0, 7, 14} <= {row["lead_time_days"] for row in found["by_lead_time"]}
    assert {90, 180} <= {row["inactivity_days"] for row in found["by_inactivity"]}
    for row in (*found["by_horizon"], *found["by_lead_time"], *found["by_inactivity"]):
        for figure in FIGURES:
            interval = row[figure]
            assert interval["low"] <= interval["value"] <= interval["high"]
    assert set(found["tables_say"]) == {"horizon_days", "lead_time_days", "inactivity_days"}
    assert found["customers_tried"] == 1
    assert found["train"]["possible"] is True


def test_a_longer_horizon_has_the_same_customers_and_fewer_churners() -> None:
    rows = a_year().to_dict()["by_horizon"]
    assert len({row["customers"] for row in rows}) == 1
    rates = [row["churn_rate"] for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > rates[-1]


def test_a_longer_inactivity_takes_in_more_customers_who_leave_more_often() -> None:
    rows = a_year().to_dict()["by_inactivity"]
    assert [row["customers"] for row in rows] == sorted(row["customers"] for row in rows)
    assert rows[-1]["churn_rate"] > rows[0]["churn_rate"]


def test_who_buys_in_a_rhythm_of_their_own_is_told_apart() -> None:
    row = next(r for r in a_year().to_dict()["by_horizon"] if r["horizon_days"] == 40)
    assert row["roc_auc"]["low"] > 0.6
    assert row["log_loss_gain"]["low"] > 0
    assert row["top_decile_lift"]["value"] > 1


def test_the_terminal_shows_three_tables_each_with_its_sentence_and_a_verdict() -> None:
    advice = a_year()
    lines = list(advice.lines())
    for table in advice.tables:
        assert f"  {table.sentence}" in lines
    assert [line.split(",")[0] for line in lines if line.startswith("by ")] == [
        f"by {key}" for key in ("horizon_days", "lead_time_days", "inactivity_days")
    ]
    assert lines[-1].startswith("verdict: `keepwell train` can learn from this log (")
    assert any(line.startswith("churn rate at 40 days, on ") for line in lines)
    assert max(len(line) for line in lines if line.startswith("   ")) <= 100


def test_nothing_after_the_log_s_end_is_used(tmp_path: Path) -> None:
    until = date(2020, 9, 1)
    end = datetime(until.year, until.month, until.day, tzinfo=UTC)
    rows = list(purchases(300, 400))
    before = [row for row in rows if row[1] < end]
    later = [(who, at + timedelta(days=3)) for who, at in before if at > end - timedelta(days=3)]
    assert later
    outcomes = []
    for name, log in (("whole", [*before, *later]), ("cut", before)):
        config = config_for(tmp_path / name, log, until, horizon_days=30)
        ingested = ingested_in(tmp_path / name, config)
        usability = ingested.usability.to_dict()
        outcomes.append(
            advise(config, ingested).to_dict()
            | {key: usability[key] for key in ("gaps", "gap_days", "suggestions")}
        )
    assert outcomes[0] == outcomes[1]


def test_a_model_learns_nothing_that_was_unknown_on_the_date_it_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_of = instant(BEGIN) + 180 * DAY
    problem = Problem(horizon_days=30, lead_time_days=3)
    learnt: list[Snapshots] = []

    def remember(past: Snapshots, X: Floats, seed: int) -> Floats:
        learnt.append(past)
        return np.linspace(0.1, 0.9, len(X))

    monkeypatch.setattr("training.trials._predict", remember)
    rows = list(purchases(300, 300))
    # In the second log everybody's future is another's; the past is the same.
    swapped = [
        (who, at) if instant(at) < as_of else (f"c{299 - int(who[1:])}", at) for who, at in rows
    ]
    tried = []
    for name, log in (("as it was", rows), ("another future", swapped)):
        config = config_for(tmp_path / name, log)
        tried.append(try_problem(ingested_in(tmp_path / name, config), problem, as_of, 7))
    assert tried[0].customers == tried[1].customers
    assert tried[0].quality != tried[1].quality
    one, other = learnt
    assert one.dates
    assert max(one.dates) + 33 * DAY <= as_of
    order = [np.lexsort((past.as_of, past.customer_id.astype(str))) for past in learnt]
    assert np.array_equal(one.X[order[0]], other.X[order[1]], equal_nan=True)
    assert np.array_equal(one.is_churn[order[0]], other.is_churn[order[1]])


def test_a_log_without_room_says_so_and_has_no_table(tmp_path: Path) -> None:
    advice = advice_on(tmp_path, list(purchases(300, 20)), horizon_days=60)
    found = advice.to_dict()
    assert found["by_horizon"] == found["by_lead_time"] == found["by_inactivity"] == []
    assert found["train"]["possible"] is False
    assert found["churn_rate"]["by_date"] == []
    *_, verdict = advice.lines()
    assert not any(line.startswith("by ") for line in advice.lines())
    assert verdict.startswith("verdict: `keepwell train` will refuse this log: the log spans ")


def test_where_the_configured_horizon_has_no_room_the_others_are_tried(tmp_path: Path) -> None:
    advice = advice_on(tmp_path, list(purchases(400, 150)), horizon_days=60)
    found = advice.to_dict()
    assert [row["horizon_days"] for row in found["by_horizon"]][-1] <= 50
    assert found["by_lead_time"]
    assert found["train"]["possible"] is False


@pytest.mark.parametrize(
    ("customers", "horizon", "returning", "said"),
    [
        (300, 30, True, None),
        (300, 67, True, "too short"),
        (12, 30, True, "to learn from, at least"),
        (300, 30, False, "too few customers stayed"),
    ],
)
def test_the_verdict_is_that_of_training(
    tmp_path: Path, customers: int, horizon: int, returning: bool, said: str | None
) -> None:
    rows = list(purchases(customers, 200))
    if not returning:
        rows = list(dict(reversed(rows)).items())
    config = config_for(tmp_path, rows, horizon_days=horizon)
    ingested = ingested_in(tmp_path, config)
    rehearsal = rehearse(config, ingested, ingested)
    refusal = None
    try:
        train(config, tmp_path / "models", now=NOW)
    except TooLittleData as error:
        refusal = str(error)
    assert rehearsal.refusal == refusal
    if said is None:
        assert refusal is None
        assert rehearsal.as_of is not None
        assert rehearsal.snapshots > 0
    else:
        assert said in rehearsal.line


def test_a_sample_that_is_too_small_is_no_verdict_on_the_whole_log(tmp_path: Path) -> None:
    config = config_for(tmp_path, list(purchases(100, 200)), horizon_days=30)
    ingested = ingested_in(tmp_path, config, n_buckets=64)
    part = sample_of(ingested)
    assert part.n_buckets == 64
    nobody = next(k for k in range(64) if ingested.bucket(k).n_customers)
    few = ingested_in(tmp_path, config, n_buckets=64)
    object.__setattr__(few, "n_buckets", nobody + 1)
    assert rehearse(config, few, few).refusal is not None
    assert rehearse(config, ingested, few).refusal is None


def test_a_large_log_is_sampled_by_whole_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for(tmp_path, list(purchases(300, 200)), horizon_days=30)
    ingested = ingested_in(tmp_path, config, n_buckets=16)
    monkeypatch.setattr("training.trials.MAX_CUSTOMERS", 75)
    assert sample_of(ingested).n_buckets == 4
    monkeypatch.setattr("training.trials.MAX_EVENTS", 1)
    assert sample_of(ingested).n_buckets == 1
    advice = advise(config, ingested)
    assert advice.share == 1 / 16
    assert any("tried on 6% of the customers" in line for line in advice.lines())


def test_columns_of_one_s_own_are_tried_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    plan = {f"c{n}": str(rng.choice(list("abcdef"))) for n in range(400)}
    rows = []
    for who, kind in plan.items():
        day = float(rng.uniform(0, 20))
        while day < 300:
            rows.append((who, BEGIN + timedelta(days=day)))
            day += 200 if kind in "ace" and day > 60 else float(rng.uniform(10, 40))
    config = config_for(tmp_path, rows, horizon_days=45)
    given = ", ".join(f"('{who}', '{kind}')" for who, kind in plan.items())
    query = (
        "SELECT who AS customer_id, TIMESTAMP '2019-01-01' AS known_at, plan "
        f"FROM (VALUES {given}) AS t(who, plan)"
    )
    with_plans = from_mapping(
        config.model_dump(exclude_unset=True) | {"features": {"query": query}}, config.path
    )
    as_of, problem = instant(BEGIN) + 150 * DAY, config.problem
    qualities = [
        try_problem(ingested_in(tmp_path, one), problem, as_of, 7).quality
        for one in (config, with_plans)
    ]
    without, own = (quality.roc_auc for quality in qualities if quality)
    assert own.low > without.value


def test_progress_is_told_of_every_trial(tmp_path: Path) -> None:
    config = config_for(tmp_path, list(purchases(300, 200)), horizon_days=30)
    ingested = ingested_in(tmp_path, config)
    heard = Heard()
    advice = advise(config, ingested, heard)
    tried = sum(len(table.trials) for table in advice.tables)
    assert ("trying settings", tried) in heard.stages
    assert heard.stages[-1] == ("counting who comes back", 4)
    assert heard.steps == 4


def rates(*values: float, n: int = 10_000) -> Seasons:
    counts = {30 * DAY * k: (n, round(n * value)) for k, value in enumerate(values)}
    return Seasons(Problem(), counts, UTC)


def test_a_churn_rate_that_goes_one_way_is_a_trend() -> None:
    falling = rates(0.60, 0.55, 0.51, 0.46)
    assert falling.trend_per_month == pytest.approx(-0.046)
    (line,) = falling.lines()
    assert "from 46.0% (1970-04-01) to 60.0% (1970-01-01)" in line
    assert "falls by 4.6 points a month" in line
    assert "are too high" in line
    assert "are too low" in next(rates(0.46, 0.51, 0.55, 0.60).lines())


def test_a_churn_rate_that_goes_up_and_down_is_a_season() -> None:
    wave = rates(0.5, 0.6, 0.5, 0.4, 0.5, 0.6, 0.5)
    assert wave.trend_per_month is None
    assert "moves with the season" in next(wave.lines())


def test_a_churn_rate_that_moves_by_chance_only_is_steady() -> None:
    assert next(rates(0.50, 0.51, 0.52).lines()).endswith("steady")
    assert next(rates(0.40, 0.45, 0.50, n=100).lines()).endswith("steady")
    assert list(rates(0.4, 0.5).lines()) == []


def trial(auc: float | None, customers: int = 100, churned: int = 50, **problem: int) -> Trial:
    def around(value: float) -> Interval:
        return Interval(value, value - 0.02, value + 0.02)

    quality = None if auc is None else Quality(around(auc), around(0.05), around(1.5))
    return Trial(Problem(**problem), customers, churned, quality)


def test_the_horizons_sentence_names_the_best_and_compares_the_configured() -> None:
    trials = [trial(0.70, churned=80, horizon_days=30), trial(0.73, horizon_days=60)]
    said = about_horizons(trials, 60)
    assert said == (
        "from 30 to 60 days the churn rate goes from 80% to 50%; customers are ranked best at 60 "
        "days (ROC AUC 0.730)"
    )
    assert "at 30 alike (0.700: the intervals overlap)" in about_horizons(trials, 30)
    trials[1] = trial(0.75, horizon_days=60)
    assert "at 30 worse (0.700)" in about_horizons(trials, 30)
    assert "too few customers" in about_horizons([trial(None, horizon_days=30)], 30)


def test_the_lead_times_sentence_says_what_each_costs() -> None:
    trials = [
        trial(0.73, lead_time_days=0),
        trial(0.72, lead_time_days=7),
        trial(0.66, lead_time_days=14),
    ]
    assert about_leads(trials, 0) == (
        "ROC AUC against acting on the day: 7 days -0.010 (within the interval), 14 days -0.070"
    )
    assert "too few" in about_leads(trials[:1], 0)


def test_the_inactivities_sentence_says_who_is_taken_in() -> None:
    trials = [
        trial(0.7, 100, 50, inactivity_days=90),
        trial(0.7, 300, 240, inactivity_days=180),
        trial(0.7, 300, 240, inactivity_days=365),
    ]
    assert about_inactivities(trials, 180) == (
        "180 days take in 200 more customers than 90, of whom 95% leave: who has left already is "
        "easy to tell and flatters the ROC AUC"
    )
    assert "nobody more" in about_inactivities(trials[1:], 180)
    assert "too few values" in about_inactivities(trials[:1], 180)
