import math

import numpy as np
import pytest

from churn.calibration import Calibration
from churn.errors import BundleCorrupt
from churn.reliability import Reliability
from training.calibrate import Dated
from training.reliability import learn_reliability
from training.shift import MOST_SHIFT, shift


def dated(n: int, shifts: dict[bool, float], seed: int) -> Dated:
    """Customers whose odds are `shifts` higher than the margin says: by kind of buyer."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0.2, 1.0, size=n)
    is_one_time = rng.random(n) < 0.4
    truth = margin + np.where(is_one_time, shifts[True], shifts[False])
    return Dated(
        as_of=seed,
        is_churn=rng.random(n) < 1 / (1 + np.exp(-truth)),
        is_one_time=is_one_time,
        next_purchase_days=np.zeros(n),
        margin=margin,
        customer_id=np.array([str(k) for k in range(n)], dtype=object),
    )


def test_the_shift_of_the_odds_is_found() -> None:
    date = dated(200_000, {True: 0.5, False: 0.5}, 1)
    assert shift(date.probability, date.is_churn) == pytest.approx(0.5, abs=0.02)
    assert shift(np.full(9, 0.5), np.ones(9, dtype=bool)) == MOST_SHIFT


def test_the_interval_is_as_wide_as_the_dates_were_off() -> None:
    dates = [dated(100_000, {True: by, False: by / 10}, k) for k, by in enumerate((0.3, -0.3, 0.3))]
    learnt = learn_reliability(dates, Calibration())
    student = 3.182  # 97.5%, three degrees of freedom
    assert learnt.one_time == pytest.approx(0.3 * student, rel=0.1)
    assert learnt.repeat == pytest.approx(0.03 * student, rel=0.4)


def test_the_calibration_comes_first() -> None:
    dates = [dated(100_000, {True: 0.4, False: 0.4}, k) for k in range(3)]
    mapped = learn_reliability(dates, Calibration("platt", 1.0, 1.0, 0.4))
    plain = learn_reliability(dates, Calibration())
    assert mapped.repeat is not None
    assert plain.repeat is not None
    assert mapped.repeat < plain.repeat / 10


def test_one_date_says_nothing_of_how_dates_differ() -> None:
    assert learn_reliability([dated(5000, {True: 0.1, False: 0.1}, 1)], Calibration()) == (
        Reliability(None, None)
    )


def test_the_ends_are_that_far_from_the_probability_in_log_odds() -> None:
    ends = Reliability(0.5, 1.0).interval(np.array([0.7, 0.7]), np.array([True, False]))
    log_odds = np.log(ends / (1 - ends))
    centre = math.log(0.7 / 0.3)
    assert log_odds == pytest.approx(
        np.array([[centre - 0.5, centre + 0.5], [centre - 1.0, centre + 1.0]])
    )


def test_where_nothing_is_known_there_is_no_interval() -> None:
    ends = Reliability(None, 0.2).interval(np.array([0.7, 0.0]), np.array([True, False]))
    assert np.isnan(ends[0]).all()
    assert ends[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("width", [-0.1, math.inf, "wide"])
def test_a_damaged_width_is_refused(width: object) -> None:
    with pytest.raises(BundleCorrupt, match="reliability is damaged"):
        Reliability(width)  # type: ignore[arg-type]
