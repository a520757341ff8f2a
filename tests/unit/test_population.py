import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.compiled import plain
from churn.errors import BundleCorrupt
from churn.features import FAMILIES, FEATURE_NAMES, FEATURES, POSITION, Family
from churn.population import _GRID, MODEL_COLUMNS, MODEL_FAMILIES, Population, rank
from churn.rhythm import INPUTS, RHYTHM_NAMES, Rhythm, shrink

N_UNRANKED = len(FEATURES) + len(RHYTHM_NAMES)


def shop(n: int = 400, seed: int = 1) -> np.ndarray:
    """Loop features that hang together: gaps, and what follows from them."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(2.0, 10.0, size=(n, len(FEATURES))).round(2)
    X[rng.random(X.shape) < 0.1] = np.nan
    for row in range(n):
        X[row] = put(X[row], rng.integers(1, 90, size=rng.integers(0, 5)), float(rng.integers(80)))
    return X


def put(row: np.ndarray, gaps: np.ndarray, silence: float, horizon: float = 60.0) -> np.ndarray:
    """A row whose features are those of these gaps, latest first, and this silence."""
    row = row.copy()
    gaps = np.asarray(gaps, dtype=float)
    n = len(gaps)
    known = {
        "days_since_last_purchase": silence,
        "purchase_days_total": n + 1.0,
        "average_gap_days": gaps.mean() if n else np.nan,
        "mean_log_gap": np.log(gaps).mean() if n else np.nan,
        "deviation_log_gap": np.log(gaps).std() if n > 1 else np.nan,
        "share_of_gaps_over_silence": (gaps > silence).mean() if n else np.nan,
        "share_of_gaps_over_horizon": (gaps > silence + horizon).mean() if n else np.nan,
    }
    for k in range(4):
        known[f"gap_{k + 1}_days"] = gaps[k] if k < n else np.nan
    for name, number in known.items():
        row[POSITION[name]] = number
    return row


def empty() -> np.ndarray:
    return np.full(len(FEATURES), np.nan)


def rhythm_of(row: np.ndarray, gaps: list[float], horizon: float = 60.0) -> dict[str, float]:
    values = Rhythm.of(np.array(gaps), horizon).columns(row[None, :])[0]
    return dict(zip(RHYTHM_NAMES, values.tolist(), strict=True))


def test_the_columns_are_the_features_the_rhythm_and_their_ranks() -> None:
    assert MODEL_COLUMNS[: len(FEATURES)] == FEATURE_NAMES
    assert MODEL_COLUMNS[len(FEATURES) : N_UNRANKED] == RHYTHM_NAMES
    assert MODEL_COLUMNS[N_UNRANKED:] == tuple(
        f"{name}_rank" for name in MODEL_COLUMNS[:N_UNRANKED]
    )
    assert len(set(MODEL_COLUMNS)) == len(MODEL_COLUMNS) == len(MODEL_FAMILIES)
    assert MODEL_FAMILIES[:N_UNRANKED] == MODEL_FAMILIES[N_UNRANKED:]
    assert set(MODEL_FAMILIES) == set(FAMILIES)
    rhythm = MODEL_FAMILIES[len(FEATURES) : N_UNRANKED]
    assert set(rhythm) == {Family.SILENCE}


def test_the_rhythm_is_what_is_computed_by_hand() -> None:
    # Own gaps 10 and 40 days, 25 days of silence, 60 days of horizon.
    # Population gaps 5, 20, 80: log-mean ln 20, log-sd ln(4) sqrt(2/3), mean 35.
    found = rhythm_of(put(empty(), np.array([10, 40]), 25.0), [5.0, 20.0, 80.0])
    log_mean = math.log(20)
    squares = 2 / 3 * math.log(4) * math.log(4)
    ml = (math.log(10) + math.log(40) + 2 * log_mean) / 4
    assert found["shrunk_log_gap"] == pytest.approx(ml)
    spread = (math.log(10) - ml) * (math.log(10) - ml) + (math.log(40) - ml) * (math.log(40) - ml)
    deviation = math.sqrt((spread + 3 * squares) / 5)
    assert found["rhythm_z"] == pytest.approx((math.log(25.5) - ml) / deviation)
    assert found["rhythm_z_horizon"] == pytest.approx((math.log(85) - ml) / deviation)
    assert found["shrunk_gap_days"] == pytest.approx((10 + 40 + 2 * 35) / 4)
    assert found["silence_over_shrunk_gap"] == pytest.approx(25 / 30)
    # One own gap of two exceeds 25 days, as does one of the population's three.
    assert found["gap_survival"] == pytest.approx((1 + 2 / 3 + 0.02) / 4)
    # None exceeds 85 days, own or other.
    assert found["gap_survival_horizon"] == pytest.approx((0 + 0 + 0.25) / (1 + 2 / 3 + 0.5))


def test_a_one_time_buyer_has_the_populations_rhythm() -> None:
    found = rhythm_of(put(empty(), np.array([]), 25.0), [5.0, 20.0, 80.0])
    assert found["shrunk_log_gap"] == pytest.approx(math.log(20))
    assert found["shrunk_gap_days"] == pytest.approx(35)
    assert found["gap_survival"] == pytest.approx((2 / 3 + 0.02) / 2)


def test_a_gap_as_long_as_the_silence_does_not_exceed_it() -> None:
    found = rhythm_of(put(empty(), np.array([]), 20.0), [5.0, 20.0, 80.0])
    assert found["gap_survival"] == pytest.approx((2 / 3 + 0.02) / 2)


def test_many_own_gaps_outweigh_the_population() -> None:
    found = rhythm_of(put(empty(), np.full(200, 7.0), 3.0), [90.0, 100.0])
    assert found["shrunk_gap_days"] == pytest.approx(7, abs=1)


def test_without_a_purchase_there_is_no_rhythm() -> None:
    assert all(math.isnan(number) for number in rhythm_of(empty(), [5.0, 20.0]).values())


def test_a_population_that_never_came_back_can_be_fitted() -> None:
    X = np.vstack([put(empty(), np.array([]), silence) for silence in (1.0, 20.0, 90.0)])
    population = Population.fit(X, 60)
    assert population.gaps.tolist() == [60.0]
    columns = population.transform(X)
    assert np.isfinite(columns[:, MODEL_COLUMNS.index("rhythm_z")]).all()


def test_a_population_of_clockwork_buyers_can_be_fitted() -> None:
    X = np.vstack([put(empty(), np.array([7, 7, 7]), 2.0)] * 5)
    assert np.isfinite(Population.fit(X, 60).transform(X)[:, MODEL_COLUMNS.index("rhythm_z")]).all()


@pytest.mark.parametrize(
    "wrong", [{}, {"days_since_last_purchase": -5.0}, {"average_gap_days": -9}]
)
def test_features_that_no_log_could_give_do_not_break_the_rhythm(wrong: dict[str, float]) -> None:
    row = empty()
    row[POSITION["days_since_last_purchase"]] = 3.0
    row[POSITION["purchase_days_total"]] = 0.0
    for name, number in wrong.items():
        row[POSITION[name]] = number
    assert all(math.isfinite(number) for number in rhythm_of(row, [5.0, 20.0]).values())


def test_ranks_lie_in_the_unit_interval_and_missing_stays_missing() -> None:
    X = shop()
    population = Population.fit(X, 60)
    columns = population.transform(shop(seed=2))
    known, ranks = columns[:, :N_UNRANKED], columns[:, N_UNRANKED:]
    assert np.array_equal(np.isnan(known), np.isnan(ranks))
    assert ((ranks >= 0) & (ranks <= 1))[~np.isnan(ranks)].all()
    assert np.nanmin(ranks) == 0.0
    assert np.nanmax(ranks) == 1.0


def test_a_column_nobody_has_gets_no_rank() -> None:
    X = shop()
    at = POSITION["visits_90d"]
    X[:, at] = np.nan
    population = Population.fit(X, 60)
    X[:, at] = 4.0
    columns = population.transform(X)
    assert (columns[:, at] == 4.0).all()
    assert np.isnan(columns[:, N_UNRANKED + at]).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2))
def test_a_larger_value_never_ranks_lower(pair: list[float]) -> None:
    population = Population.fit(shop(100), 60)
    rows = np.vstack([shop(1)] * 2)
    at = POSITION["average_cheque"]
    rows[:, at] = sorted(pair)
    low, high = population.transform(rows)[:, N_UNRANKED + at]
    assert low <= high


def test_a_rank_is_the_share_below_plus_half_of_the_ties() -> None:
    X = np.vstack([shop(1)] * 1000)
    at = POSITION["average_cheque"]
    X[:, at] = np.arange(1000)
    population = Population.fit(X, 60)
    rows = X[[0, 250, 500, 999]]
    ranks = population.transform(rows)[:, N_UNRANKED + at]
    assert ranks == pytest.approx([0, 0.25, 0.5, 1], abs=1 / _GRID)
    X[:, at] = 5.0
    assert Population.fit(X, 60).transform(X[:1])[0, N_UNRANKED + at] == 0.5


def test_the_input_is_left_as_it_is() -> None:
    X = shop()
    before = X.copy()
    Population.fit(X, 60).transform(X)
    assert np.array_equal(X, before, equal_nan=True)


def test_one_row_has_the_bits_it_has_among_many() -> None:
    X = shop()
    population = Population.fit(X, 60)
    together = population.transform(X)
    restored = Population(**population.to_dict())
    for row in range(50):
        assert restored.transform(X[row : row + 1]).tobytes() == together[row : row + 1].tobytes()


def test_the_plain_python_source_gives_the_bits_of_the_compiled() -> None:
    X = shop(60)
    population = Population.fit(X, 60)
    rhythm = Rhythm.of(population.gaps, 60.0)
    columns = np.empty((len(X), len(RHYTHM_NAMES)))
    plain(shrink)(
        X, rhythm.gaps, rhythm.log_mean, rhythm.log_deviation, rhythm.mean, 60.0, columns, *INPUTS
    )
    assert columns.tobytes() == rhythm.columns(X).tobytes()
    known = np.hstack([X, columns])
    ranks = np.empty_like(known)
    plain(rank)(known, population.quantiles, ranks)
    assert np.hstack([known, ranks]).tobytes() == population.transform(X).tobytes()


def test_the_order_of_customers_does_not_change_the_population() -> None:
    X = shop()
    forth, back = Population.fit(X, 60), Population.fit(X[::-1], 60)
    assert np.array_equal(forth.quantiles, back.quantiles, equal_nan=True)
    assert np.array_equal(forth.gaps, back.gaps)


def test_an_unfit_population_is_refused() -> None:
    fitted = Population.fit(shop(), 60).to_dict()
    for change in (
        {"gaps": fitted["gaps"][:0]},
        {"gaps": -fitted["gaps"]},
        {"gaps": fitted["gaps"].tolist()},
        {"quantiles": fitted["quantiles"][1:]},
        {"horizon_days": 0.0},
        {"horizon_days": float("nan")},
    ):
        with pytest.raises(BundleCorrupt, match="population is damaged"):
            Population(**(fitted | change))
