import numpy as np
import pytest

from churn.compiled import plain
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Event, Kind, customer_log
from tests.unit.test_snapshots import AS_OF, Logs, bought, logs
from training.config import Problem
from training.value.rows import ValueRows, _count, collect_value

HORIZON = Problem(horizon_days=60)
LEAD = Problem(horizon_days=60, lead_time_days=7)


def taken(
    ingested: Logs, problem: Problem = HORIZON, window_days: int = 200, **more: object
) -> ValueRows:
    return collect_value(ingested, [AS_OF], problem, window_days=window_days, **more)  # type: ignore[arg-type]


def counts(rows: ValueRows) -> list[list[float]]:
    return np.transpose(
        [rows.within_orders, rows.within_spend, rows.later_orders, rows.later_spend]
    ).tolist()


def test_orders_are_told_apart_by_the_horizon_and_end_with_the_window() -> None:
    times = (0, 60 * DAY - 1, 60 * DAY, 100 * DAY, 200 * DAY - 1, 200 * DAY)
    rows = taken(logs(bought(AS_OF - 1, *(AS_OF + t for t in times))))
    assert counts(rows) == [[2.0, 20.0, 3.0, 30.0]]
    assert rows.last_orders.tolist() == [1.0]  # the later ones are from day 60 to 200
    assert rows.came_back.tolist() == [True]
    assert (rows.orders.tolist(), rows.spend.tolist()) == ([5.0], [50.0])


def test_days_are_counted_from_the_end_of_the_lead_time() -> None:
    times = (0, 7 * DAY - 1, 7 * DAY, 67 * DAY - 1, 67 * DAY, 207 * DAY - 1, 207 * DAY)
    rows = taken(logs(bought(AS_OF - 1, *(AS_OF + t for t in times))), LEAD)
    assert counts(rows) == [[2.0, 20.0, 2.0, 20.0]]


def test_lines_of_one_order_are_one_order_and_its_amounts_add_up() -> None:
    lines = [
        Event(AS_OF + DAY, Kind.PURCHASE, "o1", 10.0),
        Event(AS_OF + DAY, Kind.PURCHASE, "o1", 5.0),
        Event(AS_OF + DAY, Kind.PURCHASE, "o1"),
        Event(AS_OF + 2 * DAY, Kind.PURCHASE, "o2", 1.0),
        Event(AS_OF + 3 * DAY, Kind.PURCHASE, amount=2.0),
        Event(AS_OF + 4 * DAY, Kind.PURCHASE, amount=3.0),
    ]
    assert counts(taken(logs([*bought(AS_OF - 1), *lines]))) == [[4.0, 21.0, 0.0, 0.0]]


def test_other_events_are_no_orders() -> None:
    others = [Event(AS_OF + DAY, kind, amount=9.0) for kind in (Kind.RETURN, Kind.VISIT)]
    rows = taken(logs([*bought(AS_OF - 1), *others]))
    assert counts(rows) == [[0.0, 0.0, 0.0, 0.0]]
    assert rows.came_back.tolist() == [False]


def test_what_is_not_known_when_the_model_is_made_is_not_counted() -> None:
    late = Event(AS_OF + DAY, Kind.PURCHASE, amount=10.0, known_at=AS_OF + 50 * DAY)
    log = logs([*bought(AS_OF - 1), late])
    assert taken(log, known_until=AS_OF + 50 * DAY).orders.tolist() == [0.0]
    assert taken(log, known_until=AS_OF + 50 * DAY + 1).orders.tolist() == [1.0]


def test_a_part_of_the_rows_is_the_same_part_again() -> None:
    log = logs(*(bought(AS_OF - 1 - n) for n in range(200)))
    part, again = (taken(log, share=0.5, seed=3) for _ in range(2))
    assert 60 < len(part) < 140
    assert part.customer_id.tolist() == again.customer_id.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_plain_python_counts_as_the_compiled_kernel_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    events = [
        Event(
            AS_OF + int(rng.integers(-9, 220)) * DAY,
            Kind.PURCHASE,
            rng.choice(["a", "b", None]),
            float(rng.integers(1, 9)) if rng.random() < 0.8 else None,
        )
        for _ in range(40)
    ]
    log = customer_log("c", events)
    pairs = np.zeros(1, dtype=np.int64), np.array([AS_OF])
    spans = 7 * DAY, 60 * DAY, 200 * DAY, AS_OF + 400 * DAY
    columns = log.time, log.known_at, log.kind, log.amount, log.order, log.offsets
    fast, slow = np.zeros((2, 5, 1))
    _count(*columns, *pairs, *spans, fast)
    plain(_count)(*columns, *pairs, *spans, slow)
    assert fast.sum() > 0
    assert fast.tolist() == slow.tolist()
