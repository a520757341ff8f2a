"""What treated customers teach the churn model: nothing; and who stands for them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from churn.events import MICROSECONDS_PER_DAY as DAY
from tests.decisions_table import START, row, table
from training.policy.decisions import of
from training.snapshots import Snapshots
from training.treated import MOST_REPEATS, Treatments
from training.value.rows import ValueRows

ZERO = int((START - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000
WINDOW = 60 * DAY


def snapshots(*rows: tuple[str, int]) -> Snapshots:
    n = len(rows)
    return Snapshots(
        X=np.arange(n, dtype=np.float64)[:, None],
        as_of=np.array([ZERO + day * DAY for _, day in rows], dtype=np.int64),
        is_churn=np.zeros(n, dtype=np.bool_),
        next_purchase_days=np.zeros(n),
        customer_id=np.array([who for who, _ in rows], dtype=object),
    )


def left(found: Snapshots) -> list[float]:
    return found.X[:, 0].tolist()


def test_a_row_with_a_treatment_in_its_window_is_left_out() -> None:
    told = Treatments.of(of(table([row(customer_id="a", day=100)])))
    rows = snapshots(("a", 40), ("a", 41), ("a", 100), ("a", 101), ("b", 100))
    kept, counted = told.leave_out(rows, WINDOW, 1)
    assert left(kept) == [0.0, 3.0, 4.0]
    assert (counted.rows, counted.treated) == (5, 2)
    assert "holdout_share" in counted.sentence()


def test_those_withheld_stand_for_the_treated() -> None:
    rows = [row(customer_id=f"t{k}", day=10) for k in range(30)]
    rows += [row(customer_id=f"w{k}", day=10, withheld=True, propensity=0.1) for k in range(10)]
    told = Treatments.of(of(table(rows)))
    assert told.repeats == 4.0
    seen = snapshots(*((f"t{k}", 0) for k in range(30)), *((f"w{k}", 0) for k in range(10)))
    kept, counted = told.leave_out(seen, WINDOW, 1)
    assert len(kept) == 40
    assert set(kept.customer_id.tolist()) == {f"w{k}" for k in range(10)}
    assert "count 4.0 times" in counted.sentence()


def test_the_churn_rate_comes_out_as_if_nobody_had_been_treated() -> None:
    rng = np.random.default_rng(1)
    n = 40_000
    at_risk = rng.random(n) < 0.3
    held = rng.random(n) < 0.1
    treated = at_risk & ~held
    churn = rng.random(n) < np.where(at_risk, np.where(held, 0.8, 0.4), 0.2)
    rows = [
        row(customer_id=f"c{k}", day=1, withheld=bool(held[k]), propensity=0.1 if held[k] else 0.9)
        for k in np.flatnonzero(at_risk).tolist()
    ]
    seen = snapshots(*((f"c{k}", 0) for k in range(n)))
    seen = Snapshots(seen.X, seen.as_of, churn, seen.next_purchase_days, seen.customer_id)
    kept, counted = Treatments.of(of(table(rows))).leave_out(seen, WINDOW, 3)
    assert counted.treated == treated.sum()
    assert churn.mean() < 0.30  # as the log has it
    assert kept.is_churn.mean() == pytest.approx(0.3 * 0.8 + 0.7 * 0.2, abs=0.012)


def test_service_and_nothing_are_no_treatment() -> None:
    rows = [
        row(customer_id="a", action="senior_call", propensity=1.0, situation="open_complaint"),
        row(customer_id="b", action="none", propensity=0.5),
    ]
    seen = snapshots(("a", 0), ("b", 0))
    kept, counted = Treatments.of(of(table(rows))).leave_out(seen, WINDOW, 1)
    assert kept is seen
    assert counted.treated == 0


def test_without_a_holdout_the_treated_are_left_out_all_the_same() -> None:
    told = Treatments.of(of(table([row(customer_id="a", propensity=1.0)])))
    assert len(told.leave_out(snapshots(("a", 0)), WINDOW, 1)[0]) == 0


def test_a_tiny_holdout_is_not_repeated_without_end() -> None:
    rows = [row(customer_id=f"t{k}") for k in range(100)]
    rows.append(row(customer_id="w", withheld=True, propensity=0.01))
    assert Treatments.of(of(table(rows))).repeats == MOST_REPEATS


def test_values_are_learnt_without_the_treated() -> None:
    nothing = np.zeros(3)
    ids = np.array(["t", "w", "b"], dtype=object)
    rows = ValueRows(
        np.arange(3.0)[:, None], snapshots(("t", 40), ("w", 40), ("b", 40)).as_of,
        nothing, nothing, nothing, nothing, nothing, ids,
    )  # fmt: skip
    told = Treatments.of(
        of(table([row(customer_id="t", day=200), row(customer_id="w", day=50, withheld=True)]))
    )
    assert told.leave_out(rows, WINDOW, 1)[0] is rows  # it came after the window
    kept, _ = told.leave_out(rows, 2 * WINDOW + 100 * WINDOW, 1)
    assert set(kept.customer_id.tolist()) == {"w", "b"}
