"""`python -m benchmarks hillstrom`: a published campaign of 64,000 customers, drawn at random.

Two e-mails and none; visits of the two weeks after. The lift of each e-mail against none is known,
so it has to come out; whom the e-mail changes is asked of the uplift model, whatever it says. The
file is named by KEEPWELL_EVAL_DATA, its folder.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.report import Result, machine
from training.intervals import Interval
from training.policy import clustered
from training.policy.qini import qini
from training.policy.uplift import cross_fitted

FILE = "hillstrom.parquet"
NONE = "No E-Mail"
PUBLISHED = {"Mens E-Mail": 0.183, "Womens E-Mail": 0.151}
PUBLISHED_NONE = 0.106
NUMBERS = ("recency", "history", "mens", "womens", "newbie")
NAMES = ("zip_code", "channel")
SEED = 7


@dataclass(frozen=True)
class Arm:
    """One e-mail against none.

    Attributes
    ----------
    name : str
    visited, visited_without : float
        Shares of customers.
    lift : Interval
    qini : Interval
        Of an X-learner that saw none of the customers it ranks; 1 is everybody.
    """

    name: str
    visited: float
    visited_without: float
    lift: Interval
    qini: Interval


def path() -> Path | None:
    """The file, if there is one."""
    folder = os.environ.get("KEEPWELL_EVAL_DATA")
    found = None if folder is None else Path(folder) / FILE
    return found if found is not None and found.exists() else None


def measure(file: Path) -> list[Arm]:
    """Both e-mails."""
    table = pq.read_table(file)
    segment = np.asarray(table["segment"].to_numpy(), dtype=str)
    visit = np.asarray(table["visit"].to_numpy(), dtype=np.float64)
    X = _columns(table)
    arms = []
    for name in PUBLISHED:
        rows = np.flatnonzero(np.isin(segment, [name, NONE]))
        treated, outcome, customer = segment[rows] == name, visit[rows], np.arange(len(rows))
        with_it, without = clustered.difference(outcome, treated, customer)
        uplift = cross_fitted(X[rows], treated, outcome, customer, SEED)
        arms.append(
            Arm(
                name,
                with_it.value,
                without.value,
                (with_it - without).interval(),
                qini(uplift, treated, outcome, customer, seed=SEED),
            )
        )
    return arms


def _columns(table: object) -> NDArray[np.float64]:
    assert hasattr(table, "__getitem__")
    columns = [np.asarray(table[name].to_numpy(), dtype=np.float64) for name in NUMBERS]
    for name in NAMES:
        words = np.asarray(table[name].to_numpy(), dtype=str)
        columns += [(words == word).astype(np.float64) for word in np.unique(words)[:-1]]
    return np.column_stack(columns)


def run() -> Result:
    """The table."""
    load = os.getloadavg()[0]
    file = path()
    if file is None:
        raise SystemExit(f"KEEPWELL_EVAL_DATA names no folder with {FILE}")
    arms = measure(file)
    off = max(abs(round(arm.visited, 3) - PUBLISHED[arm.name]) for arm in arms)
    result = Result(
        "Hillstrom's e-mails",
        "64,000 customers in three arms drawn at random; visits within two weeks, in percent. "
        "Qini: area between the gain of sending from the top of the uplift model's ranking down "
        "and a straight line, in points per customer; intervals of 95%.",
        ("e-mail", "visited", "without", "lift", "Qini of the X-learner"),
        [
            [
                arm.name,
                100.0 * arm.visited,
                100.0 * arm.visited_without,
                _points(arm.lift, 2),
                _points(arm.qini, 3),
            ]
            for arm in arms
        ],
        {"the published rates (.183, .151 and .106)": f"Off by {off:.3f} at most"},
    )
    result.machine = machine(load)
    return result


def _points(interval: Interval, digits: int) -> str:
    value, low, high = (f"{100.0 * one:+.{digits}f}" for one in interval)
    return f"{value} [{low}, {high}]"
