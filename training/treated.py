"""Customers who got a retention action teach nothing about what happens without one.

Who was treated and stayed may have stayed for that; learnt as "stayed", the model would take the
riskiest for safe and stop suggesting what works. So a row in whose outcome window the customer was
treated is left out. That alone would leave out the riskiest, so the rows of those from whom the
action was withheld, by a draw of their id alone, stand for them too: each is there as often as one
in so many was withheld. Service, which everybody gets who complains, is part of what happens
anyway, and changes nothing here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from churn.policy.policy import ANSWERED, NONE
from training.policy.decisions import Decisions, read

Integers = NDArray[np.int64]
MOST_REPEATS = 20


class Rows(Protocol):
    """Rows of customers, each as of a date."""

    @property
    def customer_id(self) -> NDArray[np.object_]:
        """Whose each is."""
        ...

    @property
    def as_of(self) -> Integers:
        """Its date, microseconds since 1970-01-01 UTC."""
        ...

    def __len__(self) -> int: ...

    def where(self, chosen: Integers, /) -> Self:
        """Some of them, by position."""
        ...


R = TypeVar("R", bound=Rows)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What became of the rows.

    Attributes
    ----------
    rows : int
        Before.
    treated : int
        Left out.
    withheld : int
        Stand for those too.
    repeats : float
        How often each of these is there.
    """

    rows: int
    treated: int
    withheld: int
    repeats: float

    def sentence(self) -> str:
        """For people."""
        if not self.treated:
            return f"of {self.rows:,} rows, none is of a customer who was treated in its window"
        instead = (
            f"the {self.withheld:,} of customers from whom it was withheld count "
            f"{self.repeats:.1f} times instead"
            if self.withheld
            else "nobody was withheld an action, so those at risk are too few among what is left: "
            "raise [rules] holdout_share in policy.toml"
        )
        return (
            f"of {self.rows:,} rows, {self.treated:,} of customers who got a retention action in "
            f"the window of their outcome were left out; {instead}"
        )


@dataclass(frozen=True, slots=True)
class Treatments:
    """When customers were treated, and when an action was withheld from them.

    Attributes
    ----------
    treated, withheld : tuple of ndarray
        Customers' ids, as text and ascending, and the instants of each one's decisions in
        microseconds since 1970-01-01 UTC, by customer and time.
    repeats : float
        One in so many was withheld.
    """

    treated: tuple[NDArray[np.str_], Integers]
    withheld: tuple[NDArray[np.str_], Integers]
    repeats: float

    @classmethod
    def read(cls, path: Path) -> "Treatments":
        """Those of a file of `keepwell store export --decisions`.

        Raises
        ------
        DataError
            It cannot be read as one.
        """
        return cls.of(read(path))

    @classmethod
    def of(cls, decisions: Decisions) -> "Treatments":
        """Those of decisions.

        Service is what a complaint or bad quality is answered by for certain.
        """
        certain = decisions.propensity == 1.0
        service = certain & np.isin(decisions.situation.astype(str), ANSWERED)
        offers = decisions.where(np.asarray((decisions.action != NONE) & ~service))
        customers = len(set(offers.customer_id.tolist()))
        held = len(set(offers.customer_id[offers.withheld].tolist()))
        return cls(
            _sorted(offers.where(~offers.withheld)),
            _sorted(offers.where(offers.withheld)),
            min(customers / held, MOST_REPEATS) if held else 1.0,
        )

    def leave_out(self, rows: R, window: int, seed: int) -> tuple[R, LeftOut]:
        """Take out the treated, and let those withheld stand for them.

        Parameters
        ----------
        rows : Snapshots or ValueRows
        window : int
            For so long after a row's date its outcome is looked at, in microseconds.
        seed : int
            Of the part of a repeat that is drawn.
        """
        customer = rows.customer_id.astype(str)
        treated = _within(self.treated, customer, rows.as_of, window)
        withheld = _within(self.withheld, customer, rows.as_of, window) & ~treated
        times = np.where(treated, 0, 1)
        if treated.any():
            whole = int(self.repeats)
            more = np.random.default_rng(seed).random(len(rows)) < self.repeats - whole
            times = np.where(withheld, whole + more, times)
        left = LeftOut(len(rows), int(treated.sum()), int(withheld.sum()), self.repeats)
        if not treated.any():
            return rows, left
        return rows.where(np.repeat(np.arange(len(rows)), times)), left


def _sorted(decisions: Decisions) -> tuple[NDArray[np.str_], Integers]:
    customer = decisions.customer_id.astype(str)
    order = np.lexsort((decisions.decided_at, customer))
    return customer[order], decisions.decided_at[order]


def _within(
    decided: tuple[NDArray[np.str_], Integers],
    customer: NDArray[np.str_],
    as_of: Integers,
    window: int,
) -> NDArray[np.bool_]:
    """Whether each row's customer has a decision in ``[as_of, as_of + window)``."""
    ids, at = decided
    if not len(ids):
        return np.zeros(len(customer), dtype=np.bool_)
    known, first = np.unique(ids, return_index=True)
    last = np.append(first[1:], len(ids))
    place = np.minimum(np.searchsorted(known, customer), len(known) - 1)
    found = known[place] == customer
    inside = np.zeros(len(customer), dtype=np.bool_)
    for row in np.flatnonzero(found).tolist():
        of = at[first[place[row]] : last[place[row]]]
        next_one = np.searchsorted(of, as_of[row])
        inside[row] = next_one < len(of) and of[next_one] < as_of[row] + window
    return inside
