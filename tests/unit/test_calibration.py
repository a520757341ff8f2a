import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.calibration import Calibration, sigmoid
from churn.compiled import plain
from churn.errors import BundleCorrupt

margins = st.floats(-30, 30)


@given(margins)
def test_without_a_map_the_probability_is_the_margins_own(margin: float) -> None:
    (probability,) = Calibration().apply(np.array([margin]))
    assert 0 < probability < 1
    assert probability == pytest.approx(1 / (1 + math.exp(-margin)), rel=1e-12)


def test_platts_map_is_a_line_before_the_sigmoid() -> None:
    (probability,) = Calibration("platt", 0.5, 0.5, -1.0).apply(np.array([4.0]))
    assert probability == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_no_margin_overflows() -> None:
    probability = Calibration().apply(np.array([-1e4, -800.0, 0.0, 800.0, 1e4]))
    assert probability.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


SHAPES: list[tuple[object, ...]] = [
    ("none",),
    ("platt", 0.7, 0.7, 0.3),
    ("beta", 0.4, 1.3, -0.2),
    ("isotonic", 1.0, 1.0, 0.0, (-2.0, 0.5, 3.0), (-1.0, -1.0, 2.5)),
]


@given(st.floats(-9, 9))
def test_the_beta_map_is_that_of_its_paper(margin: float) -> None:
    a, b, c = 0.4, 1.3, -0.2
    p = 1 / (1 + math.exp(-margin))
    expected = 1 / (1 + (1 - p) ** a / p**b * math.exp(-c))
    (probability,) = Calibration("beta", a, b, c).apply(np.array([margin]))
    assert probability == pytest.approx(expected, rel=1e-9)


def test_the_isotonic_map_joins_its_points_and_is_level_beyond_them() -> None:
    shape = Calibration("isotonic", margins=(-2.0, 0.5, 3.0), log_odds=(-1.0, -1.0, 2.5))
    probability = shape.apply(np.array([-9.0, -2.0, 0.0, 0.5, 1.75, 3.0, 9.0]))
    log_odds = np.log(probability / (1 - probability))
    assert log_odds == pytest.approx([-1.0, -1.0, -1.0, -1.0, 0.75, 2.5, 2.5])


@pytest.mark.parametrize("shape", SHAPES)
@given(one=margins, other=margins)
def test_a_rising_map_keeps_the_order(shape: tuple[object, ...], one: float, other: float) -> None:
    low, high = Calibration(*shape).apply(np.array(sorted([one, other])))  # type: ignore[arg-type]
    assert low <= high


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_is_one_of_the_log_odds(shape: tuple[object, ...]) -> None:
    margin = np.linspace(-4, 4, 9)
    plain_map = Calibration(*shape)  # type: ignore[arg-type]
    before, after = plain_map.apply(margin), plain_map.shifted(0.3).apply(margin)
    moved = np.log(after / (1 - after)) - np.log(before / (1 - before))
    assert moved == pytest.approx(np.full(9, 0.3))


@given(st.lists(margins, max_size=20))
def test_the_plain_python_source_gives_the_bits_of_the_compiled(given_margins: list[float]) -> None:
    array = np.array(given_margins, dtype=np.float64)
    for above, below in ((0.7, 0.7), (0.4, 1.3)):
        out = np.empty(len(array))
        plain(sigmoid)(array, above, below, 0.3, out)
        assert out.tobytes() == Calibration("beta", above, below, 0.3).apply(array).tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        ("horoscope",),
        ("platt", math.nan, 1.0, 0.0),
        ("platt", 1.0, 1.0, "0"),
        ("beta", 1.0, -0.1, 0.0),
        ("isotonic",),
        ("isotonic", 1.0, 1.0, 0.0, (0.0, 0.0), (1.0, 2.0)),
        ("isotonic", 1.0, 1.0, 0.0, (0.0, 1.0), (2.0, 1.0)),
        ("isotonic", 1.0, 1.0, 0.0, (0.0, 1.0), (2.0,)),
        ("platt", 1.0, 1.0, 0.0, (0.0,), (2.0,)),
    ],
)
def test_a_damaged_map_is_refused(wrong: tuple[object, ...]) -> None:
    with pytest.raises(BundleCorrupt, match="calibration is damaged"):
        Calibration(*wrong)  # type: ignore[arg-type]
