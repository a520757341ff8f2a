"""The checks that every registered feature passes, whoever wrote it."""

import ast
import inspect
import re
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from churn.events import Event, Kind, canonical, customer_log
from churn.features import (
    FEATURE_NAMES,
    FEATURES,
    Family,
    Feature,
    FeatureSettings,
    assortment,
    cheque,
    complaints,
    discount,
    engagement,
    feature_rows,
    features,
    frequency,
    returns,
    satisfaction,
    silence,
    tenure,
)
from tests.feature_catalogue import PAGE, page
from tests.random_logs import AS_OF, DAY, log_of, random_histories

MODULES = (
    silence, frequency, tenure, cheque, complaints, returns, engagement, satisfaction, discount,
    assortment,
)  # fmt: skip
UNITS = {
    "days", "log days", "orders", "events", "categories", "money", "ratio", "share", "rating",
    "code",
}  # fmt: skip
WINDOW_DAYS = 730
SETTINGS = FeatureSettings(WINDOW_DAYS, 60)
# What is certain of a customer of whom nothing is known: that nothing was counted.
ZERO_WITHOUT_EVENTS = {
    "complaints_30d", "complaints_90d", "complaints_365d", "open_complaints", "returns_90d",
    "returns_365d", "cancellations_90d", "cancellations_365d", "returns_since_last_purchase",
    "visits_7d", "visits_30d", "visits_90d", "visits_since_last_purchase", "carts_abandoned_30d",
    "carts_abandoned_90d", "ratings_365d",
}  # fmt: skip
Histories = dict[str, list[Event]]
Matrix = NDArray[np.float64]

every_feature = pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)


@cache
def histories() -> Histories:
    return random_histories(300, seed=11)


def one_of_each(occurred_at: int, known_at: int | None = None) -> list[Event]:
    """Every kind of event, every column filled."""
    return [
        Event(
            occurred_at, kind, f"new {kind}", 12_345.67, 9.0, 2.0, 3.0, f"new {kind}", None, "web",
            None, known_at,
        )
        for kind in Kind
    ]  # fmt: skip


def with_more(*more: Event) -> Histories:
    return {name: [*events, *more] for name, events in histories().items()}


def matrix(of: Histories) -> Matrix:
    return features(log_of(of), AS_OF, SETTINGS)


def bits(column: Matrix) -> list[int]:
    return np.ascontiguousarray(column).view(np.int64).tolist()


@cache
def as_given() -> Matrix:
    return matrix(histories())


@cache
def with_the_future() -> Matrix:
    return matrix(with_more(*one_of_each(AS_OF + 1), *one_of_each(AS_OF + 40 * DAY)))


@cache
def with_events_at_as_of() -> Matrix:
    return matrix(with_more(*one_of_each(AS_OF)))


@cache
def with_events_known_too_late() -> Matrix:
    late = [
        *one_of_each(AS_OF - 1, known_at=AS_OF),
        *one_of_each(AS_OF - 40 * DAY, known_at=AS_OF),
        *one_of_each(AS_OF - 200 * DAY, known_at=AS_OF + DAY),
    ]
    return matrix(with_more(*late))


@cache
def with_events_just_in_time() -> Matrix:
    """One microsecond before, or long before but learnt of one microsecond before."""
    return matrix(
        with_more(
            *one_of_each(AS_OF - 1),
            *one_of_each(AS_OF - 100 * DAY, known_at=AS_OF - 1),
            *one_of_each(AS_OF - 350 * DAY, known_at=AS_OF - 1),
        )
    )


@cache
def with_events_before_the_window() -> Matrix:
    return matrix(with_more(*one_of_each(AS_OF - WINDOW_DAYS * DAY - 1)))


@cache
def shuffled_and_repeated() -> Matrix:
    rng = np.random.default_rng(5)
    return matrix(
        {
            name: [events[i] for i in rng.permutation([*range(len(events))] * 2)]
            for name, events in histories().items()
        }
    )


@cache
def by_plain_python() -> Matrix:
    log = log_of(histories())
    customers = np.arange(log.n_customers)
    as_ofs = np.full(log.n_customers, AS_OF)
    return feature_rows(log, customers, as_ofs, SETTINGS, compiled=False)


@cache
def one_customer_at_a_time() -> Matrix:
    return np.concatenate([matrix({name: events}) for name, events in histories().items()])


def at(feature: Feature) -> int:
    return FEATURES.index(feature)


def assert_same(feature: Feature, one: Matrix, other: Matrix) -> None:
    column = at(feature)
    assert bits(one[:, column]) == bits(other[:, column]), feature.name


@every_feature
def test_an_event_after_as_of_is_not_seen(feature: Feature) -> None:
    assert_same(feature, with_the_future(), as_given())


@every_feature
def test_an_event_at_as_of_is_not_seen(feature: Feature) -> None:
    assert_same(feature, with_events_at_as_of(), as_given())


@every_feature
def test_an_event_that_is_not_yet_known_is_not_seen(feature: Feature) -> None:
    assert_same(feature, with_events_known_too_late(), as_given())


@every_feature
def test_an_event_known_just_before_as_of_is_seen(feature: Feature) -> None:
    column = at(feature)
    assert bits(with_events_just_in_time()[:, column]) != bits(as_given()[:, column])


@every_feature
def test_an_event_before_the_observation_window_is_not_seen(feature: Feature) -> None:
    assert_same(feature, with_events_before_the_window(), as_given())


def test_an_event_at_the_beginning_of_the_observation_window_is_seen() -> None:
    first = Event(AS_OF - WINDOW_DAYS * DAY, Kind.PURCHASE)
    assert matrix({"a": [first]})[0, FEATURE_NAMES.index("tenure_days")] == WINDOW_DAYS


@every_feature
def test_the_order_of_the_rows_and_their_repeats_do_not_matter(feature: Feature) -> None:
    assert_same(feature, shuffled_and_repeated(), as_given())


@every_feature
def test_the_other_customers_of_the_log_do_not_matter(feature: Feature) -> None:
    assert_same(feature, one_customer_at_a_time(), as_given())


@every_feature
def test_plain_python_gives_the_same_bits(feature: Feature) -> None:
    assert_same(feature, by_plain_python(), as_given())


@every_feature
def test_without_events_counts_are_zero_and_the_rest_is_missing(feature: Feature) -> None:
    value = matrix({"nobody": []})[0, at(feature)]
    assert value == 0.0 if feature.name in ZERO_WITHOUT_EVENTS else np.isnan(value)


@every_feature
def test_a_feature_is_never_infinite_and_always_a_double(feature: Feature) -> None:
    for found in (as_given(), by_plain_python(), with_events_just_in_time()):
        assert found.dtype == np.float64
        assert not np.isinf(found[:, at(feature)]).any()


@every_feature
def test_a_share_lies_between_zero_and_one(feature: Feature) -> None:
    values = with_events_just_in_time()[:, at(feature)]
    known = values[~np.isnan(values)]
    if feature.unit == "share" and feature.name != "returned_amount_share":
        assert ((known >= 0) & (known <= 1)).all()
    elif feature.unit != "rating" and not feature.name.endswith(("log_gap", "rating_change")):
        assert (known >= 0).all()


def test_no_customer_at_all_gives_no_rows() -> None:
    log = log_of({"a": []})
    nobody = np.zeros(0, dtype=np.int64)
    for compiled in (True, False):
        found = feature_rows(log, nobody, nobody, SETTINGS, compiled=compiled)
        assert found.shape == (0, len(FEATURES))


@every_feature
def test_a_feature_is_declared_in_full(feature: Feature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
    assert feature.unit in UNITS
    assert feature.direction in (-1, 0, 1)
    for words in (feature.en, feature.ru):
        assert words == words.strip() != ""
    assert re.search("[а-я]", feature.ru)
    assert not re.search("[а-я]", feature.en)
    for days in re.findall(r"_(\d+)d$", feature.name):
        assert re.search(rf"\b{days}\b", feature.en), "the words tell another span than the name"
        assert re.search(rf"\b{days}\b", feature.ru), "the words tell another span than the name"


def test_names_are_unique_and_so_are_words() -> None:
    for told in (FEATURE_NAMES, [f.en for f in FEATURES], [f.ru for f in FEATURES]):
        assert len(set(told)) == len(FEATURES)


def test_every_family_has_features_and_they_come_from_one_feed() -> None:
    for family in Family:
        assert len({feature.feed for feature in FEATURES if feature.family is family}) == 1


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split(".")[-1])
def test_a_family_returns_what_it_declares_in_that_order(module: ModuleType) -> None:
    declared = [feature.name for feature in module.FEATURES]
    (function,) = (
        part
        for part in ast.parse(inspect.getsource(module)).body
        if isinstance(part, ast.FunctionDef) and part.decorator_list
    )
    tuples = [part.value for part in ast.walk(function) if isinstance(part, ast.Return)]
    assert all(isinstance(value, ast.Tuple) for value in tuples)
    for value in tuples:
        assert isinstance(value, ast.Tuple)
        assert len(value.elts) == len(declared)
        for name, part in zip(declared, value.elts, strict=True):
            if isinstance(part, ast.Name) and part.id != "nan":
                assert part.id == name


def value_of(name: str, events: list[Event], as_of: int = AS_OF) -> float:
    found = features(log_of({"a": events}), as_of, SETTINGS)
    assert not np.isinf(found).any()
    return float(found[0, FEATURE_NAMES.index(name)])


@pytest.mark.parametrize("nothing", [5e-324, 1e-320, 1e-300])
@pytest.mark.parametrize("days", [(300, 200, 150, 120, 1), (300, 1), (300, 299)])
def test_a_norm_of_next_to_nothing_is_no_norm(nothing: float, days: tuple[int, ...]) -> None:
    bought = [
        Event(AS_OF - day * DAY, Kind.PURCHASE, amount=1e15 if day == 1 else nothing)
        for day in days
    ]
    events = [*bought, Event(AS_OF - DAY, Kind.RETURN, amount=1e15)]
    for name in ("spend_ratio_90d", "last_cheque_ratio", "last_3_cheques_ratio"):
        assert np.isnan(value_of(name, events)), name
    spent = sum(event.amount or 0.0 for event in bought)
    assert np.isnan(value_of("returned_amount_share", events)) == (spent < 1.0)


def test_a_complaint_made_before_1970_can_be_resolved() -> None:
    events = [Event(-4 * DAY, Kind.COMPLAINT), Event(-DAY, Kind.COMPLAINT_RESOLVED)]
    assert value_of("open_complaints", events, as_of=0) == 0.0
    assert value_of("last_resolution_days", events, as_of=0) == 3.0


MOMENTS = st.one_of(
    st.integers(-3 * DAY, 3 * DAY),
    st.integers(-800, 10).map(lambda days: days * DAY),
    st.integers(-800 * DAY, 10 * DAY),
)
IDENTIFIERS = st.none() | st.sampled_from(["a", "b", "ж"])
MONEY = st.none() | st.floats(5e-324, 1e15) | st.sampled_from([0.01, 10.0, 99.99])
NUMBERS = st.none() | st.floats(-1e15, 1e15)


@st.composite
def any_events(draw: st.DrawFn, around: int) -> list[Event]:
    rows: list[tuple[Any, ...]] = draw(
        st.lists(
            st.tuples(
                MOMENTS, st.sampled_from(Kind), IDENTIFIERS, MONEY, NUMBERS, MONEY,
                st.none() | st.floats(0, 1e15), IDENTIFIERS, IDENTIFIERS, st.none(), IDENTIFIERS,
                st.none() | st.integers(0, 40 * DAY),
            ),
            max_size=60,
        )
    )  # fmt: skip
    events = [Event(around + row[0], *row[1:]) for row in rows]
    return [
        event if event.known_at is None else event._replace(known_at=event.occurred_at + delay)
        for event, delay in zip(events, [row[11] for row in rows], strict=True)
    ]


@given(
    st.data(),
    st.sampled_from([AS_OF, 10 * DAY, -500 * DAY]),
    st.integers(1, 1000),
    st.integers(1, 400),
)
@settings(deadline=None, max_examples=100)
def test_any_history_gives_finite_numbers_and_the_same_bits_compiled_and_plain(
    data: st.DataObject, as_of: int, window_days: int, horizon_days: int
) -> None:
    log = customer_log("a", data.draw(any_events(as_of)))
    chosen = np.zeros(1, dtype=np.int64), np.full(1, as_of, dtype=np.int64)
    wanted = FeatureSettings(window_days, horizon_days)
    compiled = feature_rows(log, *chosen, wanted)
    plain = feature_rows(log, *chosen, wanted, compiled=False)
    for name, one, other in zip(FEATURE_NAMES, compiled[0], plain[0], strict=True):
        assert bits(one) == bits(other), name
        assert not np.isinf(one), name


def test_the_page_of_features_is_that_of_the_registry() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == page(), "run `python -m tests.feature_catalogue`"
    for feature in FEATURES:
        assert written.count(f"| `{feature.name}`") == 1


def test_an_event_sent_again_after_as_of_changes_nothing() -> None:
    known = [
        Event(AS_OF - 20 * DAY, Kind.PURCHASE, amount=5.0, event_id="e-1"),
        Event(AS_OF - 10 * DAY, Kind.PURCHASE, amount=6.0, event_id="e-2"),
    ]
    again = [
        known[0]._replace(occurred_at=AS_OF - 30 * DAY, known_at=AS_OF),
        known[1]._replace(amount=60.0, known_at=AS_OF + DAY),
    ]
    for events in ([*known, *again], [*again, *known]):
        assert canonical(events) == known
    before, after = (
        features(customer_log("c", events), AS_OF, SETTINGS) for events in (known, known + again)
    )
    np.testing.assert_array_equal(before, after)
