"""Decisions and what became of them, as columns: what campaigns are judged and learnt by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.errors import DataError
from churn.events import MICROSECONDS_PER_DAY
from churn.policy.policy import NONE

Texts = NDArray[np.object_]
Booleans = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TEXTS = (
    "decision_id", "customer_id", "action", "situation", "reason", "segment", "band",
    "model_version", "policy_version", "facts",
)  # fmt: skip
NUMBERS = ("propensity", "probability", "value", "expected_value", "cost", "horizon_days")
FLAGS = ("withheld", "explored", "purchased")
TIMES = (
    "decided_at", "as_of", "delivered_at", "accepted_at", "rejected_at", "ignored_at",
    "retained_at", "lost_at",
)  # fmt: skip
COLUMNS = (*TEXTS, *NUMBERS, *FLAGS, *TIMES)
REQUIRED = frozenset(COLUMNS)


@dataclass(frozen=True, slots=True)
class Decisions:
    """One entry per recorded decision.

    Attributes
    ----------
    decision_id, customer_id, action, situation, reason, segment, band : ndarray of object
        None where there was none.
    decided_at, as_of : ndarray of int64
        Microseconds since 1970-01-01 UTC.
    withheld, explored : ndarray of bool
        Held out; drawn at random.
    propensity : ndarray of float64
        With which the policy did what it did, in (0, 1].
    probability, value, expected_value, cost : ndarray of float64
        As the decision said; NaN where it claimed nothing.
    horizon_days : ndarray of float64
    model_version, policy_version : ndarray of object
    delivered, accepted : ndarray of bool
        Reported as outcomes.
    retained : ndarray of float64
        1 if the customer bought within the horizon, 0 if not, NaN while it is not known.
    facts : ndarray of object
        Mappings: what else the decision saw.
    """

    decision_id: Texts
    customer_id: Texts
    decided_at: Integers
    as_of: Integers
    action: Texts
    withheld: Booleans
    explored: Booleans
    propensity: Floats
    situation: Texts
    reason: Texts
    segment: Texts
    band: Texts
    probability: Floats
    value: Floats
    expected_value: Floats
    cost: Floats
    horizon_days: Floats
    model_version: Texts
    policy_version: Texts
    delivered: Booleans
    accepted: Booleans
    retained: Floats
    facts: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.decision_id)

    def where(self, chosen: NDArray[Any]) -> "Decisions":
        """The chosen rows, by a mask or by positions."""
        return Decisions(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


def read(path: Path) -> Decisions:
    """Read the file that `keepwell store export --decisions` writes.

    Raises
    ------
    DataError
        It is not there, is no Parquet file, or lacks a column.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; write it with `keepwell store export --decisions`"
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a Parquet file of decisions: {error}") from None
    return of(table, str(path))


def of(table: pa.Table, name: str = "decisions") -> Decisions:
    """Take decisions from the columns of a table.

    Raises
    ------
    DataError
        A column is missing or of another type.
    """
    missing = sorted(REQUIRED - set(table.column_names))
    if missing:
        raise DataError(
            f"{name}: has no column {', '.join(missing)}; "
            "write the file with `keepwell store export --decisions`"
        )
    try:
        found = _columns(table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, orjson.JSONDecodeError) as error:
        raise DataError(f"{name}: {error}") from None
    known = found.propensity[np.isfinite(found.propensity)]
    if len(known) < len(found) or (known <= 0.0).any() or (known > 1.0).any():
        raise DataError(f"{name}: a propensity is not in (0, 1]")
    return found


def _columns(table: pa.Table) -> Decisions:
    texts = {name: _texts(table[name]) for name in TEXTS}
    numbers = {name: _numbers(table[name]) for name in NUMBERS}
    columns: dict[str, Any] = {**texts, **numbers}
    happened = {
        name: np.asarray(pc.is_valid(table[name]).to_numpy(), dtype=np.bool_) for name in TIMES
    }
    facts: NDArray[np.object_] = np.empty(table.num_rows, dtype=object)
    for at, text in enumerate(columns.pop("facts")):
        facts[at] = {} if text is None else orjson.loads(text)
    return Decisions(
        **columns,
        decided_at=_instants(table["decided_at"]),
        as_of=_instants(table["as_of"]),
        withheld=_flags(table["withheld"]),
        explored=_flags(table["explored"]),
        delivered=happened["delivered_at"],
        accepted=happened["accepted_at"],
        retained=_retained(table["purchased"], happened),
        facts=facts,
    )


def _retained(purchased: pa.ChunkedArray, happened: Mapping[str, Booleans]) -> Floats:
    """What was seen in the purchases, else what was reported."""
    reported = np.where(happened["retained_at"], 1.0, np.where(happened["lost_at"], 0.0, np.nan))
    seen = _numbers(purchased.cast(pa.bool_()).cast(pa.int8()))
    return np.asarray(np.where(np.isnan(seen), reported, seen))


def _texts(column: pa.ChunkedArray) -> Texts:
    return np.asarray(column.cast(pa.string()).to_numpy(), dtype=object)


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(
        column.cast(pa.float64()).fill_null(float("nan")).to_numpy(), dtype=np.float64
    )


def _flags(column: pa.ChunkedArray) -> Booleans:
    return np.asarray(column.cast(pa.bool_()).fill_null(False).to_numpy(), dtype=np.bool_)


def _instants(column: pa.ChunkedArray) -> Integers:
    whole = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    return np.asarray(whole.to_numpy(), dtype=np.int64)


def episodes(decisions: Decisions, counts: Booleans) -> Booleans:
    """Which decisions begin an episode: the outcome of each is looked at once.

    A customer's decisions before the end of the horizon of one that is counted are part of what
    happened after it: their windows overlap, and one purchase would be counted several times.

    Parameters
    ----------
    decisions : Decisions
    counts : ndarray of bool, shape (n,)
        Which decisions may begin one.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    begins = np.zeros(len(decisions), dtype=np.bool_)
    rows = np.flatnonzero(counts)
    order = rows[np.lexsort((decisions.decided_at[rows], decisions.customer_id[rows].astype(str)))]
    who, over = None, 0
    for at in order.tolist():
        customer, decided = decisions.customer_id[at], int(decisions.decided_at[at])
        if customer != who or decided >= over:
            begins[at] = True
            who = customer
            lead = decisions.facts[at].get("lead_time_days", 0)
            over = decided + int((lead + decisions.horizon_days[at]) * MICROSECONDS_PER_DAY)
    return begins


def is_offer(decisions: Decisions) -> Booleans:
    """Whether anything was chosen."""
    return np.asarray(decisions.action != NONE, dtype=np.bool_)
