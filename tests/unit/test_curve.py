import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.compiled import plain
from churn.curve import RiskCurve, write_curve, write_days_until
from churn.errors import BundleCorrupt
from training.curve import MIN_ROWS, fit_curve

DAYS = np.array([7, 30, 60, 90], dtype=np.int64)
CURVE = RiskCurve(
    DAYS, 2, np.array([0.1, 0.0, 0.0, -0.2]), np.array([-0.5, -0.4, 0.0, 0.6]),
    np.array([-1.2, 0.3, 0.0, 1.1]), -3.0, 3.0,
)  # fmt: skip


def sigmoid(z: np.ndarray | float) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.asarray(z)))


@given(
    st.lists(st.tuples(st.floats(-40, 40), st.floats(0, 1)), max_size=20),
    st.lists(st.floats(-50, 50), min_size=9, max_size=9),
)
def test_no_curve_ever_rises_and_each_goes_through_the_probability(
    rows: list[tuple[float, float]], shape: list[float]
) -> None:
    curve = RiskCurve(
        DAYS, 2, np.array([*shape[:2], 0.0, shape[2]]), np.array([*shape[3:5], 0.0, shape[5]]),
        np.array([*shape[6:8], 0.0, shape[8]]), -20.0, 20.0,
    )  # fmt: skip
    margin, probability = np.array(rows, dtype=np.float64).reshape(-1, 2).T.copy()
    points = curve.probabilities(margin, probability)
    assert (np.diff(points, axis=1) <= 0.0).all()
    assert ((points >= 0.0) & (points <= 1.0)).all()
    assert points[:, 2].tolist() == probability.tolist()


def test_the_points_are_shares_of_their_neighbours() -> None:
    margin, p = 0.8, 0.7
    (seven, thirty, sixty, ninety) = CURVE.probabilities(np.array([margin]), np.array([p]))[0]
    assert sixty == p
    assert ninety == pytest.approx(p * sigmoid(-0.2 * margin**2 + 0.6 * margin + 1.1))
    bought_by_thirty = (1 - p) * sigmoid(-0.4 * margin + 0.3)
    assert thirty == pytest.approx(1 - bought_by_thirty)
    assert seven == pytest.approx(
        1 - bought_by_thirty * sigmoid(0.1 * margin**2 - 0.5 * margin - 1.2)
    )


def test_beyond_the_margins_that_were_learnt_from_the_shares_stay_as_they_are() -> None:
    p = np.array([0.9, 0.9])
    inside, outside = CURVE.probabilities(np.array([3.0, 30.0]), p)
    assert inside.tolist() == outside.tolist()


def test_a_score_shows_the_round_horizons_and_its_own() -> None:
    assert CURVE.days[CURVE.shown].tolist() == [30, 60, 90]
    assert RiskCurve.flat(45).shown.tolist() == [0]


def test_between_two_points_the_intensity_is_constant() -> None:
    curve = np.array([[0.8, 0.4, 0.2, 0.1]])
    ((median,),) = CURVE.days_until(curve, 0.5)
    assert median == pytest.approx(7 + 23 * math.log(0.8 / 0.5) / math.log(0.8 / 0.4))
    assert CURVE.days_until(curve, 0.8, 0.1).tolist() == [pytest.approx([7.0, 90.0])]
    assert CURVE.days_until(curve, 0.9)[0] == pytest.approx([7 * math.log(0.9) / math.log(0.8)])


def test_nothing_is_said_beyond_the_end_of_the_curve() -> None:
    assert math.isnan(CURVE.days_until(np.array([[0.99, 0.9, 0.8, 0.7]]), 0.5)[0, 0])


def test_a_certain_buyer_has_bought_by_the_point() -> None:
    assert CURVE.days_until(np.array([[0.9, 0.0, 0.0, 0.0]]), 0.5).tolist() == [[30.0]]


def test_the_plain_python_source_gives_the_bits_of_the_compiled() -> None:
    rng = np.random.default_rng(3)
    margin = rng.uniform(-3, 3, size=50)
    p = sigmoid(margin)
    points = CURVE.probabilities(margin, p)
    out, days = np.empty_like(points), np.empty((50, 2))
    limits = CURVE.low, CURVE.high
    plain(write_curve)(margin, *limits, p, 2, CURVE.curvature, CURVE.slope, CURVE.intercept, out)
    assert out.tobytes() == points.tobytes()
    plain(write_days_until)(points, DAYS, np.array([0.5, 0.9]), days)
    assert days.tobytes() == CURVE.days_until(points, 0.5, 0.9).tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"horizon": 4},
        {"days": DAYS[::-1].copy()},
        {"days": DAYS.astype(np.float64)},
        {"slope": np.array([1.0, 1.0, math.nan, 1.0])},
        {"intercept": np.zeros(3)},
        {"low": 4.0},
        {"high": math.inf},
    ],
)
def test_a_damaged_curve_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt, match="curve is damaged"):
        RiskCurve(**(CURVE.to_dict() | wrong))


def customers(n: int = 60_000) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and days to the next purchase of which nobody knows more than an intensity."""
    rng = np.random.default_rng(4)
    margin = rng.normal(0.5, 1.0, size=n)
    rate = -np.log(sigmoid(margin)) / 60.0  # no purchase within 60 days: sigmoid(margin)
    return margin, rng.exponential(1.0 / rate)


def test_other_horizons_follow_from_the_margin() -> None:
    margin, days = customers()
    seen = np.where(np.arange(len(days)) % 3, 120.0, 60.0)  # a third is not seen for 90 days
    known = np.where(days < seen, days, np.inf)
    curve = fit_curve(margin, known, seen, 60)
    assert curve.days.tolist() == [7, 14, 30, 60, 90]
    points = curve.probabilities(margin, sigmoid(margin))
    order = np.argsort(margin)
    for at, horizon in enumerate(curve.days.tolist()):
        for tenth in np.array_split(order, 10):
            silent = (days[tenth] >= horizon).mean()
            assert points[tenth, at].mean() == pytest.approx(silent, abs=0.02)


def test_a_horizon_that_nobody_was_seen_for_is_no_point_of_the_curve() -> None:
    margin, days = customers(5_000)
    curve = fit_curve(margin, np.where(days < 60, days, np.inf), np.full(5_000, 60.0), 60)
    assert curve.days.tolist() == [7, 14, 30, 60]


def test_too_few_rows_give_the_horizon_alone() -> None:
    margin, days = customers(MIN_ROWS - 1)
    curve = fit_curve(margin, days, np.full(len(days), 90.0), 60)
    assert curve.days.tolist() == [60]
