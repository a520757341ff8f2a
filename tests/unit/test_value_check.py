from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from tests.decisions_table import START, row, table
from tests.report_example import value_check
from tests.support import NOW
from training.calendar import Calendar, instant
from training.config import Config, load
from training.findings import MODEL
from training.ingest import Ingested, ingest
from training.progress import Silent
from training.simulate import simulate
from training.value.check import (
    CLASSIC,
    OWN,
    ValueCheck,
    check_at,
    longest_window,
    rank_correlation,
)
from training.value.fit import fit_value
from training.value.rows import collect_value


def check(truth: float = 1.0) -> ValueCheck:
    """What came is `truth` times what was expected, but for chance."""
    told = value_check(4_000)
    return replace(told, realised=truth * told.realised)


def test_rank_correlation_is_spearmans() -> None:
    told = check()
    for name, rank in told.ranks.items():
        assert rank.value == pytest.approx(spearmanr(told.expected[name], told.realised)[0])
        assert rank.low < rank.value < rank.high
    assert told.ranks[MODEL].value > told.ranks[CLASSIC].value > told.ranks[OWN].value


def test_the_interval_of_a_rank_correlation_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    true = 6.0 / np.pi * np.arcsin(0.6 / 2.0)  # of two normal variables that correlate by .6
    covered = 0
    for _ in range(400):
        x = rng.normal(size=300)
        y = 0.6 * x + 0.8 * rng.normal(size=300)
        rank = rank_correlation(x, y)
        covered += rank.low <= true <= rank.high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize("same", [np.zeros(9), np.ones(9)])
def test_what_is_all_the_same_ranks_nobody(same: np.ndarray) -> None:
    assert rank_correlation(same, np.arange(9.0)) == (0.0, -1.0, 1.0)


def test_margin_that_came_as_expected_has_a_ratio_of_one() -> None:
    for truth in (1.0, 0.7):
        ratio = check(truth=truth).ratio(MODEL)
        assert ratio.low <= truth <= ratio.high
        assert ratio.high - ratio.low < 0.15


def test_each_part_is_held_against_the_customers_it_speaks_of() -> None:
    told = check()
    (back, n_back, of_back), (gone, n_gone, of_gone) = told.parts
    assert (back, gone) == ("bought within the horizon", "did not")
    assert n_back + n_gone == len(told.realised)
    assert of_back.low <= 1.0 <= of_back.high
    assert of_gone.low <= 1.0 <= of_gone.high
    doubled = replace(told, if_gone=told.if_gone / 2.0)
    assert doubled.parts[1][2].value == pytest.approx(2.0 * of_gone.value)
    assert doubled.parts[0][2] == of_back


def test_tenths_are_of_equal_size_and_rise() -> None:
    told = check()
    tenths = told.tenths(MODEL)
    assert len(tenths) == 10
    expected = [tenth.expected for tenth in tenths]
    assert expected == sorted(expected)
    assert np.mean(expected) == pytest.approx(told.expected[MODEL].mean())
    off = sum(not t.realised.low <= t.expected <= t.realised.high for t in tenths)
    assert off <= 2


def test_the_miss_is_what_tenths_are_off_by_in_parts_of_the_mean() -> None:
    told = check()
    twice = replace(told, expected={MODEL: 2.0 * told.expected[MODEL]})
    assert told.miss(MODEL) < 0.08
    assert twice.miss(MODEL) == pytest.approx(1.0, abs=0.1)
    assert told.miss(OWN) > told.miss(MODEL)


def test_figures_for_the_manifest_name_the_better_rival() -> None:
    told = check()
    figures = told.figures()
    assert figures["value_rank_correlation"] == told.ranks[MODEL].value
    assert figures["value_rank_correlation_of_rival"] == told.ranks[CLASSIC].value


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Ingested, Calendar]:
    folder = tmp_path_factory.mktemp("values")
    simulate(500, 10, 7, folder / "shop")
    config = load(folder / "shop" / "keepwell.toml")
    ingested = ingest(config, folder / "work", now_us=instant(NOW), n_buckets=2)
    return config, ingested, Calendar.of(config, ingested)


def treated(config: Config, who: list[str], as_ofs: list[int]) -> Config:
    """The same, where these customers were treated on the day after each date."""
    days = [(datetime.fromtimestamp(as_of / 1e6, UTC) - START).days + 1 for as_of in as_ofs]
    rows = [row(customer_id=one, day=day) for one in who for day in days]
    pq.write_table(table(rows), config.base_dir / "decisions.parquet")
    training = config.training.model_copy(update={"decisions": "decisions.parquet"})
    return config.model_copy(update={"training": training})


def test_values_are_judged_as_they_are_learnt_without_the_treated(
    shop: tuple[Config, Ingested, Calendar],
) -> None:
    config, ingested, calendar = shop
    as_of = calendar.last_test_date()
    days = longest_window(config, calendar, as_of, ingested.complete_until)
    customers = collect_value(ingested, [as_of], config.problem, window_days=days).customer_id
    some = customers[::5].tolist()
    told = treated(config, some, [as_of])
    p = dict.fromkeys(customers.tolist(), 0.5)
    others = {who: one for who, one in p.items() if who not in set(some)}
    every, without, found = (
        check_at(which, ingested, calendar, as_of, days, predicted)
        for which, predicted in ((config, p), (config, others), (told, p))
    )
    assert every is not None
    assert without is not None
    assert found is not None
    assert len(found.realised) < len(every.realised)
    assert np.array_equal(found.realised, without.realised)


def test_where_nearly_all_were_treated_it_is_said_that_nothing_is_said_of_values(
    shop: tuple[Config, Ingested, Calendar],
) -> None:
    config, ingested, calendar = shop
    made_at = ingested.complete_until
    dates = calendar.training_dates(made_at)
    rows = collect_value(ingested, dates, config.problem, window_days=config.problem.horizon_days)
    everybody = sorted(set(rows.customer_id.tolist()))
    notes: list[str] = []

    class Told(Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    told = treated(config, everybody[5:], dates)
    assert fit_value(config, ingested, calendar, rows.X, made_at, progress=Told()) is not None
    assert notes == []
    assert fit_value(told, ingested, calendar, rows.X, made_at, progress=Told()) is None
    assert notes[0].startswith("for values, of ")
    assert notes[1].startswith("nothing is said of what customers are worth")
