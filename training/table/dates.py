"""A ready table whose rows have dates: judged out of time, never on what was not yet known.

The outcome of a row is known a lead time and a horizon after its date. Whatever is made as of a
date learns from rows whose outcome was known by then.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np

from churn.compiled import Floats, Integers
from churn.errors import DataError, TooLittleData
from churn.events import MICROSECONDS_PER_DAY
from training.backtest import MODEL
from training.calendar import date_of, instant
from training.config import Problem
from training.progress import Progress
from training.table.baselines import predict_baselines
from training.table.calibrate import Decision, decide
from training.table.fit import CAPACITIES, boost, check_enough, is_enough
from training.table.folds import decide_in_folds
from training.table.judged import Judged
from training.table.rows import Rows, row_numbers

LATEST_SHARE = 0.2
"""Of the rows, at least: those of the latest dates, to be judged on or to choose by."""


def out_of_time(
    rows: Rows,
    as_of: Integers,
    problem: Problem,
    asked: Sequence[date] | None,
    seed: int,
    progress: Progress,
) -> Judged:
    """Judge on rows from each test date on (to the next one), by models made as of that date.

    Parameters
    ----------
    rows : Rows
        With labels.
    as_of : ndarray of int64, shape (n,)
        Their dates, microseconds since 1970-01-01 UTC.
    problem : Problem
        How long after its date the outcome of a row is known.
    asked : sequence of date, optional
        Test dates; by default the latest with a fifth of the rows from it on.
    seed : int
        Of the sampling.
    progress : Progress
        Told of the stages.

    Raises
    ------
    DataError
        Too few rows were known by a test date, or there are none from it on.
    """
    window = window_of(problem)
    starts = [_latest_start(as_of)] if asked is None else sorted({_midnight(day) for day in asked})
    ends = [*starts[1:], np.iinfo(np.int64).max]
    test_date = np.full(len(rows), -1, dtype=np.int64)
    learnt = np.zeros(len(rows), dtype=np.bool_)
    probabilities: dict[str, Floats] = {}
    numbers = row_numbers(rows.X)
    for start, end in zip(starts, ends, strict=True):
        known, there = as_of + window <= start, (as_of >= start) & (as_of < end)
        train, test = rows.where(known), rows.where(there)
        _check(train, test, start, problem)
        progress.stage(f"judging as of {date_of(start, UTC)}")
        decision = decide_by_date(train, as_of[known], window, seed, progress)
        boosted = boost(train, decision.capacity, seed)
        predicted = predict_baselines(train, test, seed)
        predicted[MODEL] = decision.calibration.apply(boosted.margins(test.X))
        for name in (MODEL, *(name for name in predicted if name != MODEL)):
            probabilities.setdefault(name, np.empty(len(rows)))[there] = predicted[name]
        test_date[there] = start
        learnt[there] = np.isin(numbers[there], numbers[known])
    tested = test_date >= 0
    return Judged(
        rows.where(tested),
        {name: p[tested] for name, p in probabilities.items()},
        tuple(starts),
        test_date[tested],
        learnt[tested],
    )


def decide_by_date(
    rows: Rows, as_of: Integers, window: int, seed: int, progress: Progress
) -> Decision:
    """Choose by the two latest blocks of dates; by folds where they leave too little to learn."""
    last = _latest_start(as_of)
    before = as_of < last
    starts = [last]
    if before.any():
        starts.append(_latest_start(as_of[before]))
    ends = [np.iinfo(np.int64).max, last]
    part = np.full(len(rows), -1, dtype=np.int64)
    told = {capacity: np.empty(len(rows)) for capacity in CAPACITIES}
    for at, (start, end) in enumerate(zip(starts, ends, strict=False)):
        train = rows.where(as_of + window <= start)
        there = (as_of >= start) & (as_of < end)
        if not (is_enough(train) and is_enough(rows.where(there))):
            return decide_in_folds(rows, seed, progress)
        part[there] = at
        for capacity, margin in told.items():
            margin[there] = boost(train, capacity, seed).margins(rows.X[there])
    asked = part >= 0
    chosen = {capacity: margin[asked] for capacity, margin in told.items()}
    return decide(chosen, rows.is_churn[asked], part[asked])


def window_of(problem: Problem) -> int:
    """How long after its date the outcome of a row is known, in microseconds."""
    return (problem.lead_time_days + problem.horizon_days) * MICROSECONDS_PER_DAY


def _latest_start(as_of: Integers) -> int:
    """The latest date with at least `LATEST_SHARE` of the rows from it on."""
    ordered = np.sort(as_of)
    return int(ordered[len(ordered) - max(1, int(np.ceil(LATEST_SHARE * len(ordered))))])


def _midnight(day: date) -> int:
    return instant(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _check(train: Rows, test: Rows, start: int, problem: Problem) -> None:
    day = date_of(start, UTC)
    if len(test) == 0 or test.is_churn.all() or not test.is_churn.any():
        raise DataError(
            f"the rows from {day} on ({len(test):,}) do not have both outcomes: choose an earlier "
            "--as-of, or leave out [table] as_of to judge in folds"
        )
    try:
        check_enough(train)
    except TooLittleData as error:
        days = problem.lead_time_days + problem.horizon_days
        raise TooLittleData(
            f"as of {day}, of the rows made {days} days (lead time and horizon) or longer before: "
            f"{error}; or choose a later --as-of, or leave out [table] as_of to judge in folds"
        ) from None
