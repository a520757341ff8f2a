from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from churn.calibration import Calibration
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURES
from training.boost import STAGES
from training.calendar import CALIBRATION_DATES
from training.calibrate import MIN_ROWS, Choice, better, choose
from training.snapshots import Snapshots

WINDOW = 60 * DAY
STEP = 15 * DAY
LAST = 1000 * DAY

Margins = Callable[[int, Snapshots], np.ndarray]


class Booster:
    """Knows the true log-odds of every row and states them `times` over, `shifted`.

    At the stage `best` that is; at the others it errs at random. Keeps what it was asked for: by
    when labels had to have ended, and the rows' date.
    """

    def __init__(self, times: float = 1.0, shifted: float = 0.0, best: int = 200) -> None:
        self.times, self.shifted, self.best = times, shifted, best
        self.asked: list[tuple[int, list[int]]] = []

    def __call__(self, labels_end_by: int, rows: Snapshots) -> np.ndarray:
        self.asked.append((labels_end_by, rows.dates))
        noise = np.random.default_rng(5).normal(0, 0.5, size=(len(rows), len(STAGES)))
        noise[:, STAGES.index(self.best)] = 0.0
        return (self.stated(rows) + noise.T).T

    def stated(self, rows: Snapshots) -> np.ndarray:
        return rows.X[:, 0] * self.times + self.shifted


def snapshots(dates: int = 24, rows: int = 2000, seed: int = 1) -> Snapshots:
    """Rows whose first feature is the true log-odds of churn."""
    rng = np.random.default_rng(seed)
    X = np.full((dates * rows, len(FEATURES)), np.nan)
    X[:, 0] = rng.normal(0.3, 1.2, size=len(X))
    is_churn = rng.random(len(X)) < 1 / (1 + np.exp(-X[:, 0]))
    return Snapshots(
        X=X,
        as_of=np.repeat(LAST - STEP * np.arange(dates)[::-1], rows),
        is_churn=is_churn,
        next_purchase_days=np.where(is_churn, np.inf, 1.0),
        customer_id=np.array([f"c{n % rows}" for n in range(len(X))], dtype=object),
    )


def chosen(rows: Snapshots, margins: Margins) -> Choice:
    return choose(rows, WINDOW, margins, seed=7)


def test_calibrated_margins_are_left_as_they_are() -> None:
    choice = chosen(snapshots(), Booster())
    assert choice.calibration == Calibration()
    assert choice.evidence.startswith("none: ")
    for name in ("slope", "platt", "beta", "isotonic"):
        assert f"{name} " in choice.evidence


def test_margins_that_boast_on_every_date_are_mapped_back() -> None:
    choice = chosen(snapshots(), Booster(times=2.5, shifted=0.7))
    assert choice.calibration.method == "platt"
    assert choice.calibration.above == pytest.approx(1 / 2.5, abs=0.02)
    assert choice.calibration.intercept == pytest.approx(-0.7 / 2.5, abs=0.05)
    assert choice.evidence.startswith("platt: ")


def test_a_slope_is_corrected_although_every_date_has_a_rate_of_its_own() -> None:
    class Drifting(Booster):
        def stated(self, rows: Snapshots) -> np.ndarray:
            by = {0: 0.15, 1: -0.15, 2: 0.15}.get((LAST - rows.dates[0]) // WINDOW, 0.0)
            return rows.X[:, 0] / 1.6 + by

    choice = chosen(snapshots(), Drifting())
    assert choice.evidence.startswith("slope: ")
    assert choice.calibration.above == pytest.approx(1.6, abs=0.1)
    level = choice.calibration.apply(np.array([0.2]))  # the mean of these margins
    assert level == pytest.approx(1 / (1 + np.exp(-0.2)), abs=0.05)


def test_margins_that_boast_on_one_side_only_need_the_beta_map() -> None:
    class OneSided(Booster):
        def stated(self, rows: Snapshots) -> np.ndarray:
            return np.where(rows.X[:, 0] > 0, 4.0 * rows.X[:, 0], rows.X[:, 0])

    choice = chosen(snapshots(), OneSided())
    assert choice.calibration.method == "beta"
    p = choice.calibration.apply(np.array([-2.0, 8.0]))
    assert p == pytest.approx(1 / (1 + np.exp([2.0, -2.0])), abs=0.06)


def test_margins_with_a_step_need_the_isotonic_map() -> None:
    class Stepped(Booster):
        def stated(self, rows: Snapshots) -> np.ndarray:
            return rows.X[:, 0] + 3.0 * np.sign(np.sin(3.0 * rows.X[:, 0]) + 0.5 * rows.X[:, 0])

    assert chosen(snapshots(), Stepped()).calibration.method == "isotonic"


@pytest.mark.parametrize("best", STAGES)
def test_more_trees_are_kept_where_every_later_date_lost_less(best: int) -> None:
    choice = chosen(snapshots(), Booster(best=best))
    assert choice.n_trees == best
    assert choice.earlier[0].margin.tolist() == snapshots().at(LAST).X[:, 0].tolist()


def test_more_trees_are_not_kept_for_the_sake_of_one_date() -> None:
    class OnOneDate(Booster):
        def __call__(self, labels_end_by: int, rows: Snapshots) -> np.ndarray:
            self.best = 300 if rows.dates == [LAST] else STAGES[0]
            return super().__call__(labels_end_by, rows)

    assert chosen(snapshots(), OnOneDate()).n_trees == STAGES[0]


def test_every_date_is_scored_by_a_booster_whose_labels_had_ended() -> None:
    booster = Booster(times=2.5)
    choice = chosen(snapshots(), booster)
    expected = [LAST - n * WINDOW for n in range(CALIBRATION_DATES)]
    assert [asked[0] for asked in booster.asked] == expected
    for labels_end_by, dates in booster.asked:
        assert dates == [labels_end_by]
    assert [date.as_of for date in choice.earlier] == expected


def test_a_map_that_raised_the_loss_on_one_date_is_dropped() -> None:
    # The oldest date is too modest, so that a map of it spoils the next; the latest boasts.
    class Uneven(Booster):
        def stated(self, rows: Snapshots) -> np.ndarray:
            times = {LAST: 6.0, LAST - WINDOW: 1.0, LAST - 2 * WINDOW: 0.5}[rows.dates[0]]
            return rows.X[:, 0] * times

    choice = chosen(snapshots(), Uneven())
    assert choice.calibration.method == "none"
    assert "dropped" in choice.evidence


@pytest.mark.parametrize(
    ("rows", "trees"),
    [
        (snapshots(dates=8), STAGES[0]),  # one date with labels that had ended by then
        (snapshots(dates=12), 300),  # two: no second verdict on a map
        (snapshots(rows=MIN_ROWS - 1), STAGES[0]),
    ],
)
def test_too_few_dates_or_rows_give_no_verdict(rows: Snapshots, trees: int) -> None:
    choice = chosen(rows, Booster(best=300))
    assert choice.calibration.method == "none"
    assert choice.n_trees == trees
    assert "later date" in choice.evidence


def test_a_date_on_which_everybody_churns_teaches_nothing() -> None:
    rows = snapshots()
    rows.is_churn[rows.as_of == LAST] = True
    choice = chosen(rows, Booster(times=3.0))
    assert choice.calibration.method == "none"
    assert choice.earlier == ()


def test_the_same_seed_gives_the_same_choice() -> None:
    rows = snapshots()
    assert chosen(rows, Booster(times=1.2)) == chosen(rows, Booster(times=1.2))


def seasonal(dates: int = 60, amplitude: float = 0.5, rows: int = 1500) -> Snapshots:
    """Rows whose odds also follow the year, which the margins do not know."""
    plain = snapshots(dates=dates, rows=rows)
    rng = np.random.default_rng(3)
    year = 2 * np.pi * plain.as_of / (365 * DAY)
    truth = plain.X[:, 0] + amplitude * np.sin(year)
    return replace(plain, is_churn=rng.random(len(plain)) < 1 / (1 + np.exp(-truth)))


def test_a_season_that_repeats_is_expected_again() -> None:
    choice = chosen(seasonal(), Booster())
    now = 0.5 * np.sin(2 * np.pi * (LAST + WINDOW) / (365 * DAY))
    assert choice.season == pytest.approx(now, abs=0.12)
    assert "kept; now" in choice.evidence


def test_where_there_is_no_season_none_is_made_up() -> None:
    choice = chosen(seasonal(amplitude=0.0), Booster())
    assert choice.season == 0.0
    assert "dropped; now" in choice.evidence


def test_a_log_of_a_year_cannot_show_that_it_repeats() -> None:
    choice = chosen(seasonal(dates=24), Booster())
    assert choice.season == 0.0
    assert "too short to show that a year repeats" in choice.evidence


def test_what_surely_misled_on_each_later_date_is_left_out() -> None:
    true, boasting = chosen(snapshots(), Booster()), chosen(snapshots(), Booster())
    spread = tuple(replace(one, margin=3.0 * one.margin) for one in boasting.earlier)
    boasting = replace(boasting, earlier=spread)
    kept, usual = better(boasting, true, "ranks", 7)
    assert kept.earlier == true.earlier
    assert not usual
    assert "ranks dropped" in kept.evidence


def test_what_misled_on_one_date_only_is_kept() -> None:
    true, mixed = chosen(snapshots(), Booster()), chosen(snapshots(), Booster())
    at_random = np.random.default_rng(2).normal(0, 3.0, size=len(mixed.earlier[0].margin))
    first = replace(mixed.earlier[0], margin=at_random)
    mixed = replace(mixed, earlier=(first, *mixed.earlier[1:]))
    kept, usual = better(mixed, true, "ranks", 7)
    assert kept.earlier == mixed.earlier
    assert usual
    assert "ranks kept" in kept.evidence


def test_too_few_later_dates_leave_the_usual() -> None:
    few = replace(chosen(snapshots(), Booster()), earlier=())
    assert better(few, few, "ranks", 7) == (few, True)
