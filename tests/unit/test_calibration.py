import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.calibration import Calibration, _sigmoid
from churn.compiled import plain
from churn.errors import BundleCorrupt

margins = st.floats(-30, 30)


@given(margins)
def test_without_a_map_the_probability_is_the_margins_own(margin: float) -> None:
    (probability,) = Calibration().apply(np.array([margin]))
    assert 0 < probability < 1
    assert probability == pytest.approx(1 / (1 + math.exp(-margin)), rel=1e-12)


def test_platts_map_is_a_line_before_the_sigmoid() -> None:
    (probability,) = Calibration("platt", 0.5, -1.0).apply(np.array([4.0]))
    assert probability == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_no_margin_overflows() -> None:
    probability = Calibration().apply(np.array([-1e4, -800.0, 0.0, 800.0, 1e4]))
    assert probability.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


@given(margins, margins)
def test_a_rising_map_keeps_the_order(one: float, other: float) -> None:
    low, high = Calibration("platt", 0.7, 0.3).apply(np.array(sorted([one, other])))
    assert low <= high


@given(st.lists(margins, max_size=20))
def test_the_plain_python_source_gives_the_bits_of_the_compiled(given_margins: list[float]) -> None:
    array = np.array(given_margins, dtype=np.float64)
    out = np.empty(len(array))
    plain(_sigmoid)(array, 0.7, 0.3, out)
    assert out.tobytes() == Calibration("platt", 0.7, 0.3).apply(array).tobytes()


@pytest.mark.parametrize(
    "wrong", [("isotonic", 1.0, 0.0), ("platt", math.nan, 0.0), ("platt", 1.0, "0")]
)
def test_a_damaged_map_is_refused(wrong: tuple[object, ...]) -> None:
    with pytest.raises(BundleCorrupt, match="calibration is damaged"):
        Calibration(*wrong)  # type: ignore[arg-type]
