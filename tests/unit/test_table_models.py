from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn.columns import Column
from churn.errors import DataError, TooLittleData
from churn.events import MICROSECONDS_PER_DAY
from training.config import Problem
from training.metrics import evaluate
from training.progress import Silent
from training.table.calibrate import decide
from training.table.dates import out_of_time, window_of
from training.table.fit import CAPACITIES, boost
from training.table.folds import FOLDS, OutOfFold, check_foldable, folds_of, in_folds
from training.table.rows import Rows

NAMES = ("a", "b", "c")


def column(name: str, kind: str = "numeric", n: int = 0) -> Column:
    return Column(
        name, kind, name, "number", {"en": name, "ru": name},
        categories=tuple(f"{at:04}" for at in range(n)), codes=tuple(range(1, n + 1)),
    )  # fmt: skip


def rows_of(X: np.ndarray, y: np.ndarray, columns: tuple[Column, ...] | None = None) -> Rows:
    n = len(X)
    return Rows(
        np.array([f"c{at}" for at in range(n)], dtype=object),
        X,
        columns or tuple(column(name) for name in NAMES[: X.shape[1]]),
        y.astype(np.bool_),
        None,
        np.arange(n),
    )


def telling(n: int, seed: int, noise: float = 1.0) -> Rows:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return rows_of(X, X[:, 0] - X[:, 1] + noise * rng.normal(size=n) > 0.8)


@given(
    st.lists(st.integers(0, 40), min_size=10, max_size=300),
    st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_a_group_lies_in_one_fold_and_the_folds_are_even(group: list[int], seed: int) -> None:
    numbers = np.array(group)
    is_churn = np.random.default_rng(seed).random(len(group)) < 0.3
    fold = folds_of(numbers, is_churn, seed)
    for number in set(group):
        assert len(set(fold[numbers == number].tolist())) == 1
    groups = np.bincount([fold[numbers == number][0] for number in set(group)], minlength=FOLDS)
    assert groups.max() - groups.min() <= 1


def test_churn_is_spread_over_the_folds() -> None:
    is_churn = np.arange(1000) < 100
    fold = folds_of(np.arange(1000), is_churn, seed=5)
    assert np.bincount(fold[is_churn]).tolist() == [20] * FOLDS


def test_copies_within_a_group_do_not_tell_what_nothing_tells() -> None:
    rng = np.random.default_rng(4)
    X = np.repeat(rng.normal(size=(150, 3)), 2, axis=0)
    rows = rows_of(X, np.repeat(rng.random(150) < 0.4, 2))
    together = replace(rows, group=np.arange(300) // 2)
    auc = {}
    for name, one in {"apart": rows, "together": together}.items():
        judged, _ = in_folds(one, 3, Silent())
        auc[name] = evaluate(judged.test.is_churn, judged.probabilities["keepwell"]).roc_auc
        assert judged.learnt.any() == (name == "apart")
    assert auc["apart"] > 0.8  # the trap is there
    assert 0.35 < auc["together"] < 0.65


def test_margins_of_a_fold_know_neither_it_nor_what_else_is_unseen() -> None:
    rows = telling(300, 6)
    known = OutOfFold(rows, 3, Silent())
    fold = known.fold
    found = known.margins("small trees", 1, 4)
    seen = (fold != 1) & (fold != 4)
    expected = boost(rows.where(seen), "small trees", 3).margins(rows.X[fold == 1])
    np.testing.assert_array_equal(found, expected)
    changed = replace(rows, is_churn=np.where(seen, rows.is_churn, ~rows.is_churn))
    again = OutOfFold(changed, 3, Silent())
    again.fold = fold
    np.testing.assert_array_equal(again.margins("small trees", 1, 4), expected)


def test_the_choices_for_a_fold_do_not_look_at_it() -> None:
    rows = telling(250, 7)
    known = OutOfFold(rows, 3, Silent())
    turned = np.where(known.fold == 2, ~rows.is_churn, rows.is_churn)
    again = OutOfFold(replace(rows, is_churn=turned), 3, Silent())
    again.fold = known.fold
    assert again.decision(2) == known.decision(2)


def test_hidden_columns_are_met_in_training() -> None:
    rows = telling(400, 8)
    booster = boost(rows, "small trees", 3)
    nothing = booster.margins(np.full((1, 3), np.nan))
    p = 1.0 / (1.0 + np.exp(-nothing[0]))
    assert abs(p - rows.is_churn.mean()) < 0.15
    kinds = {
        node["missing_type"]
        for tree in booster.booster.dump_model()["tree_info"]
        for node in [tree["tree_structure"]]
    }
    assert kinds == {"NaN"}


@pytest.mark.parametrize("capacity", CAPACITIES)
def test_no_capacity_is_larger_than_a_bundle_may_hold(capacity: str) -> None:
    rng = np.random.default_rng(9)
    X = np.column_stack([rng.integers(1, 60, 600), rng.normal(size=600)]).astype(float)
    rows = rows_of(X, rng.random(600) < 0.4, (column("a", "categorical", 60), column("b")))
    boosted = boost(rows, capacity, 3)
    trees = boosted.flat()
    assert len(trees.node_start) - 1 <= 300
    assert len(trees.leaf_value) <= 300 * 31
    known = boosted.schema.settled(X)
    np.testing.assert_array_equal(trees.margin(known), boosted.margins(X))


def decided(margins: dict[str, np.ndarray], y: np.ndarray) -> tuple[str, str]:
    found = decide(margins, y, np.arange(len(y)) % 5)
    return found.capacity, found.calibration.method


def drawn(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(10)
    margin = rng.normal(size=n) * 1.5 - 1.0
    return margin, rng.random(n) < 1.0 / (1.0 + np.exp(-margin))


def test_margins_that_are_right_are_left_as_they_are() -> None:
    margin, y = drawn()
    assert decided({"one": margin}, y) == ("one", "none")


def test_margins_that_say_too_much_are_mapped() -> None:
    margin, y = drawn()
    assert decided({"one": margin * 3.0}, y) == ("one", "platt")


def test_the_capacity_that_tells_more_is_taken_however_wide_its_margins() -> None:
    margin, y = drawn()
    blurred = margin + np.random.default_rng(11).normal(size=len(margin))
    assert decided({"blurred": blurred, "clear": margin * 5.0}, y)[0] == "clear"


def dated(n: int = 1500, days: int = 300, seed: int = 12) -> tuple[Rows, np.ndarray]:
    rows = telling(n, seed)
    day = np.random.default_rng(seed).integers(0, days, n)
    return rows, (20_000 + day) * MICROSECONDS_PER_DAY


START = date(2024, 10, 4)  # 20,000 days after 1970-01-01
PROBLEM = Problem(horizon_days=30, lead_time_days=10)


def test_rows_are_judged_from_the_test_date_to_the_next() -> None:
    rows, as_of = dated()
    days = [date(2025, 6, 1), date(2025, 7, 1)]
    rows = replace(rows, as_of=as_of)
    judged = out_of_time(rows, as_of, PROBLEM, days, 3, Silent())
    tested = as_of >= (date(2025, 6, 1) - date(1970, 1, 1)).days * MICROSECONDS_PER_DAY
    assert len(judged.test) == tested.sum()
    answer = judged.to_dict(30)
    assert answer["as_of"] == ["2025-06-01", "2025-07-01"]
    assert list(answer["models"]["keepwell"]["by_date"]) == answer["as_of"]
    assert answer["models"]["keepwell"]["roc_auc"] > 0.75
    assert sum(one["n"] for one in answer["models"]["logistic"]["by_date"].values()) == answer["n"]


def test_no_outcome_is_learnt_before_it_is_known() -> None:
    rows, as_of = dated()
    test_day = 20_000 + 240
    window = window_of(PROBLEM)
    late = as_of + window > test_day * MICROSECONDS_PER_DAY
    # What is not yet known as of the test date says the opposite: learnt from, it would show.
    told = rows.X[:, 0] - rows.X[:, 1] > 0.8
    rows = replace(rows, is_churn=np.where(late & (as_of < test_day * MICROSECONDS_PER_DAY),
                                           ~told, told), as_of=as_of)  # fmt: skip
    day = date.fromordinal(date(1970, 1, 1).toordinal() + test_day)
    judged = out_of_time(rows, as_of, PROBLEM, [day], 3, Silent())
    for name, p in judged.probabilities.items():
        assert evaluate(judged.test.is_churn, p).roc_auc > 0.93, name


def test_the_latest_fifth_is_judged_by_default() -> None:
    rows, as_of = dated()
    judged = out_of_time(replace(rows, as_of=as_of), as_of, PROBLEM, None, 3, Silent())
    assert 0.2 <= len(judged.test) / len(rows) < 0.22


@pytest.mark.parametrize(
    ("day", "message"),
    [
        (date(2026, 1, 1), r"the rows from 2026-01-01 on \(0\) do not have both outcomes"),
        (date(2024, 11, 1), r"as of 2024-11-01, of the rows made 40 days.*only 0 rows"),
    ],
)
def test_dates_that_leave_too_little_are_refused(day: date, message: str) -> None:
    rows, as_of = dated()
    with pytest.raises(DataError, match=message):
        out_of_time(replace(rows, as_of=as_of), as_of, PROBLEM, [day], 3, Silent())


def test_too_few_rows_outcomes_or_groups_are_refused() -> None:
    rows = telling(200, 13)
    with pytest.raises(TooLittleData, match="only 50 rows"):
        check_foldable(rows.where(np.arange(200) < 50))
    with pytest.raises(TooLittleData, match="0 of 200 rows churned"):
        check_foldable(replace(rows, is_churn=np.zeros(200, dtype=np.bool_)))
    with pytest.raises(TooLittleData, match="of 4 groups only"):
        check_foldable(replace(rows, group=np.arange(200) % 4))
