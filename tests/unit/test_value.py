import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn.compiled import plain
from churn.errors import BundleCorrupt
from churn.features import FEATURES, POSITION
from churn.value import SEGMENTS, CustomerValue, _cheques, _orders, write_value

SILENCE, ORDERS = POSITION["days_since_last_purchase"], POSITION["purchases_total"]
CHEQUE = POSITION["average_cheque"]


def fitted(**changes: object) -> CustomerValue:
    """Two columns; everything that a value depends on is at hand."""
    parts: dict[str, object] = {
        "days": 365,
        "column": np.array([SILENCE, ORDERS]),
        "center": np.array([3.0, 1.0]),
        "scale": np.array([1.0, 0.5]),
        "missing": np.array([0.2, -0.1]),
        "weight": np.array([[-0.2, 0.3], [-0.3, 0.6], [-0.1, 0.5]]),
        "intercept": np.array([-0.5, 0.7, -0.4]),
        "low": np.full(3, -3.0),
        "high": np.full(3, 3.0),
        "margin_rate": 0.3,
        "cheque": 50.0,
        "cheque_weight": 2.0,
        "limits": np.array([100.0, 40.0]),
    }
    return CustomerValue(**(parts | changes))  # type: ignore[arg-type]


def customers(*rows: tuple[float, float, float]) -> np.ndarray:
    """Input columns of customers by silence, orders and average cheque; the rest is missing."""
    X = np.full((len(rows), len(FEATURES)), np.nan)
    X[:, [SILENCE, ORDERS, CHEQUE]] = rows
    return X


amounts = st.one_of(st.just(math.nan), st.floats(0, 1e6), st.integers(0, 40).map(float))
histories = st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=8)


def test_a_value_worked_by_hand() -> None:
    silence, orders, cheque = (math.log1p(20.0) - 3.0), (math.log1p(4.0) - 1.0) / 0.5, 80.0
    within = 1.0 + math.exp(-0.5 - 0.2 * silence + 0.3 * orders)
    back = math.exp(0.7 - 0.3 * silence + 0.6 * orders)
    gone = math.exp(-0.4 - 0.1 * silence + 0.5 * orders)
    expected_cheque = (2.0 * 50.0 + 4.0 * cheque) / 6.0
    X = customers((20.0, 4.0, cheque))
    model = fitted()
    assert model.orders(X).tolist() == [pytest.approx([within, back, gone])]
    assert model.cheques(X).tolist() == [pytest.approx(expected_cheque)]
    value, segment = model.value(X)
    assert value.tolist() == [pytest.approx(0.3 * expected_cheque * (within + back - gone))]
    assert SEGMENTS[segment[0]] == "A"
    margin = model.expected_margin(X, np.array([0.25]))
    orders = 0.75 * (within + back) + 0.25 * gone
    assert margin.tolist() == [pytest.approx(0.3 * expected_cheque * orders)]


def test_value_is_what_coming_back_adds_to_the_expected_margin() -> None:
    X = customers((20.0, 4.0, 80.0), (5.0, 30.0, 20.0), (150.0, 1.0, 500.0))
    model = fitted()
    stays, leaves = (model.expected_margin(X, np.full(3, p)) for p in (0.0, 1.0))
    assert model.value(X)[0] == pytest.approx(stays - leaves)


def test_one_order_tells_little_of_a_cheque_and_many_tell_all() -> None:
    cheques = fitted().cheques(customers((9.0, 1.0, 500.0), (9.0, 10_000.0, 500.0)))
    assert cheques.tolist() == [200.0, pytest.approx(500.0, rel=1e-3)]


@pytest.mark.parametrize("row", [(9.0, math.nan, 5.0), (9.0, 2.0, math.nan), (9.0, 0.0, 5.0)])
def test_without_a_known_cheque_nothing_is_claimed(row: tuple[float, float, float]) -> None:
    value, segment = fitted().value(customers(row))
    assert math.isnan(value[0])
    assert segment.tolist() == [-1]


def test_what_else_is_missing_counts_as_the_median_customer() -> None:
    model = fitted()
    typical = math.expm1(3.0 + 0.2)
    known, missing = model.value(customers((typical, 4.0, 80.0), (math.nan, 4.0, 80.0)))[0]
    assert missing == pytest.approx(known)


def test_a_customer_at_a_limit_belongs_to_the_better_segment() -> None:
    X = customers((20.0, 4.0, 80.0))
    (value,) = fitted().value(X)[0]
    for limits, segment in (
        ((value, value), "A"),
        ((value * 1.001, value), "B"),
        ((value * 1.002, value * 1.001), "C"),
    ):
        assert SEGMENTS[fitted(limits=np.array(limits)).value(X)[1][0]] == segment


def test_nobody_is_worth_less_for_coming_back() -> None:
    model = fitted(intercept=np.array([-0.5, -2.0, 2.0]))
    X = customers((20.0, 4.0, 80.0))
    within = model.orders(X)[0, 0]
    assert model.value(X)[0].tolist() == [pytest.approx(0.3 * model.cheques(X)[0] * within)]


def test_beyond_what_was_learnt_from_the_orders_stay_as_they_are() -> None:
    far, farther = fitted().orders(customers((0.0, 1e5, 1.0), (0.0, 1e9, 1.0)))
    assert far.tolist() == farther.tolist()
    assert far[1] == pytest.approx(math.exp(3.0))


@given(histories)
def test_a_customer_has_the_same_bits_alone_and_among_others(
    rows: list[tuple[float, float, float]],
) -> None:
    X, model = customers(*rows), fitted()
    value, segment = model.value(X)
    for at in range(len(X)):
        alone, its_segment = model.value(X[at : at + 1])
        assert alone.tobytes() == value[at : at + 1].tobytes()
        assert its_segment.tolist() == [segment[at]]


@given(histories)
def test_a_value_is_a_finite_amount_of_at_least_nothing_or_not_known(
    rows: list[tuple[float, float, float]],
) -> None:
    value, segment = fitted().value(customers(*rows))
    known = ~np.isnan(value)
    assert (value[known] >= 0.0).all()
    assert np.isfinite(value[known]).all()
    assert ((segment == -1) == ~known).all()


@given(histories, st.floats(1.0, 10.0))
def test_value_rises_with_the_customers_cheque(
    rows: list[tuple[float, float, float]], times: float
) -> None:
    X, model = customers(*rows), fitted()
    value = model.value(X)[0]
    X[:, CHEQUE] *= times
    higher = model.value(X)[0]
    known = ~np.isnan(value)
    assert (higher[known] >= value[known]).all()


def test_the_plain_python_source_gives_the_bits_of_the_compiled() -> None:
    rng = np.random.default_rng(4)
    X = customers(*rng.lognormal(2.0, 1.5, size=(60, 3)).tolist(), (math.nan, 3.0, 2.0))
    model = fitted()
    n = len(X)
    orders, cheques = np.empty((n, 3)), np.empty(n)
    value, segment = np.empty(n), np.empty(n, dtype=np.int8)
    tables = X, model.column, model._table, model._parts
    plain(_orders)(*tables, orders)
    plain(_cheques)(X, 50.0, 2.0, cheques)
    plain(write_value)(*tables, 0.3, 50.0, 2.0, model.limits, value, segment)
    assert orders.tobytes() == model.orders(X).tobytes()
    assert cheques.tobytes() == model.cheques(X).tobytes()
    assert value.tobytes() == model.value(X)[0].tobytes()
    assert segment.tobytes() == model.value(X)[1].tobytes()


def test_what_a_bundle_holds_gives_the_same_value() -> None:
    X = customers((20.0, 4.0, 80.0))
    restored = CustomerValue(**fitted().to_dict())
    assert restored.value(X)[0].tobytes() == fitted().value(X)[0].tobytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"column": np.array([SILENCE, len(FEATURES)])},
        {"column": np.array([SILENCE, -1])},
        {"column": np.array([SILENCE])},
        {"column": np.array([1.0, 2.0])},
        {"scale": np.array([1.0, 0.0])},
        {"center": np.array([1.0, math.nan])},
        {"weight": np.zeros((2, 2))},
        {"low": np.full(3, 4.0)},
        {"limits": np.array([1.0, 2.0])},
        {"limits": np.array([1.0])},
        {"margin_rate": 1},
        {"margin_rate": 1.1},
        {"cheque": math.inf},
        {"cheque_weight": math.nan},
    ],
)
def test_a_damaged_value_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BundleCorrupt, match="customer value is damaged"):
        fitted(**wrong)
