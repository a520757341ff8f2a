from collections.abc import Callable

import numpy as np
import pytest

from churn.calibration import Calibration
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.features import FEATURES
from training.calendar import CALIBRATION_DATES
from training.calibrate import MIN_ROWS, Choice, choose
from training.snapshots import Snapshots

WINDOW = 60 * DAY
STEP = 15 * DAY
LAST = 1000 * DAY

Margins = Callable[[int, Snapshots], np.ndarray]


class Booster:
    """Knows the true log-odds of every row and states them `times` over, `shifted`.

    Keeps what it was asked for: by when labels had to have ended, and the rows' date.
    """

    def __init__(self, times: float = 1.0, shifted: float = 0.0) -> None:
        self.times, self.shifted = times, shifted
        self.asked: list[tuple[int, list[int]]] = []

    def __call__(self, labels_end_by: int, rows: Snapshots) -> np.ndarray:
        self.asked.append((labels_end_by, rows.dates))
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
    assert choice.calibration == Calibration("none", 1.0, 0.0)
    assert choice.held_out == frozenset()
    assert choice.labels_end_by == LAST + WINDOW
    assert choice.evidence.startswith("none: ")


def test_margins_that_boast_on_every_date_are_mapped_back() -> None:
    choice = chosen(snapshots(), Booster(times=2.5, shifted=0.7))
    assert choice.calibration.method == "platt"
    assert choice.calibration.slope == pytest.approx(1 / 2.5, abs=0.04)
    assert choice.calibration.intercept == pytest.approx(-0.7 / 2.5, abs=0.12)
    assert choice.evidence.startswith("Platt: ")
    assert "lowered it on each" in choice.evidence


def test_the_rows_that_fit_the_map_do_not_fit_the_booster() -> None:
    rows = snapshots()
    choice = chosen(rows, Booster(times=2.5))
    assert choice.held_out == frozenset({LAST})
    assert choice.labels_end_by == LAST
    learnt = [date for date in rows.dates if date + WINDOW <= choice.labels_end_by]
    assert learnt
    assert not set(learnt) & choice.held_out
    assert max(learnt) + WINDOW <= min(choice.held_out)


def test_every_date_is_scored_by_a_booster_whose_labels_had_ended() -> None:
    booster = Booster(times=2.5)
    chosen(snapshots(), booster)
    assert [asked[0] for asked in booster.asked] == [
        LAST - n * WINDOW for n in range(CALIBRATION_DATES)
    ]
    for labels_end_by, dates in booster.asked:
        assert dates == [labels_end_by]


def test_the_evidence_says_which_date_refused() -> None:
    # The latest date boasts, so that a map of the one before helps it much; the oldest is shifted,
    # so that a map of it spoils the one between.
    class Uneven(Booster):
        def __call__(self, labels_end_by: int, rows: Snapshots) -> np.ndarray:
            self.asked.append((labels_end_by, rows.dates))
            times = {LAST: 6.0, LAST - WINDOW: 1.6, LAST - 2 * WINDOW: 1.0}[rows.dates[0]]
            return rows.X[:, 0] * times + (0.4 if rows.dates[0] == LAST - 2 * WINDOW else 0.0)

    choice = chosen(snapshots(), Uneven())
    assert choice.calibration.method == "none"
    assert "but raised it on 1972-07-29" in choice.evidence
    assert np.datetime64("1970-01-01") + (LAST - WINDOW) // DAY == np.datetime64("1972-07-29")


@pytest.mark.parametrize(
    "rows",
    [
        snapshots(dates=8),  # labels of four dates had ended by the last: no third verdict
        snapshots(rows=MIN_ROWS - 1),
    ],
)
def test_too_few_dates_or_rows_give_no_verdict(rows: Snapshots) -> None:
    choice = chosen(rows, Booster(times=3.0))
    assert choice.calibration.method == "none"
    assert "too few labelled dates" in choice.evidence


def test_a_date_on_which_everybody_churns_teaches_nothing() -> None:
    rows = snapshots()
    rows.is_churn[rows.as_of == LAST] = True
    choice = chosen(rows, Booster(times=3.0))
    assert choice.calibration.method == "none"


def test_the_same_seed_gives_the_same_choice() -> None:
    rows = snapshots()
    assert chosen(rows, Booster(times=1.2)) == chosen(rows, Booster(times=1.2))
