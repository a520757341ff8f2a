"""What is at stake with a customer: the margin that hangs on whether they come back.

V = margin rate x expected cheque x (E[orders | buys within the horizon] - E[orders | does not]),
counted over `days` from the end of the lead time. Whoever does not buy within the horizon often
buys later, so taking all orders to come would count what is not lost.

Orders are expected in three parts: within the horizon, by those who buy there at all; and after
it, by those who did and by those who did not. Each is log-linear in a few columns of the loop. The
expected cheque is the customer's own average, drawn towards the population's as far as few orders
tell little.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churn.bounds import MOST_DAYS, MOST_EXPONENT, are_sane, is_sane
from churn.compiled import Codes, Floats, Integers, compiled
from churn.errors import BundleCorrupt
from churn.features import FEATURES, POSITION
from churn.linear import deviation

SEGMENTS = ("A", "B", "C")
"""Value segments, the most valuable first."""
PARTS = ("within", "back", "gone")
"""Orders within the horizon of those who buy there; after it of those who did, and did not."""

_CHEQUE, _ORDERS = POSITION["average_cheque"], POSITION["purchases_total"]
_OF_COLUMN = ("center", "scale", "missing")
_OF_PART = ("intercept", "low", "high")


@dataclass(frozen=True, slots=True)
class CustomerValue:
    """The fitted expectations, and the limits of the segments.

    Attributes
    ----------
    days : int
        Over which margin is counted, from the end of the lead time.
    column : ndarray of int64, shape (k,)
        Positions in the input columns.
    center, scale : ndarray of float64, shape (k,)
        Mean and standard deviation of the columns' logarithms (of 1 + x), signed.
    missing : ndarray of float64, shape (k,)
        What a missing number counts as, in deviations.
    weight : ndarray of float64, shape (3, k)
        Of each deviation, in the logarithm of the orders of each of `PARTS`; those within the
        horizon are counted beyond the first, which is certain.
    intercept : ndarray of float64, shape (3,)
        Of that logarithm.
    low, high : ndarray of float64, shape (3,)
        It is level beyond these.
    margin_rate : float
        Share of an amount that is margin, in (0, 1].
    cheque : float
        The population's expected cheque, in currency.
    cheque_weight : float
        How many orders of a customer's own it weighs as much as.
    limits : ndarray of float64, shape (2,)
        The least V of segments A and B, in currency.

    Raises
    ------
    BundleCorrupt
        Numbers of other types, shapes or ranges.
    """

    days: int
    column: Integers
    center: Floats
    scale: Floats
    missing: Floats
    weight: Floats
    intercept: Floats
    low: Floats
    high: Floats
    margin_rate: float
    cheque: float
    cheque_weight: float
    limits: Floats
    _table: Floats = field(init=False, repr=False, compare=False)
    _parts: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        k = len(self.column) if isinstance(self.column, np.ndarray) else -1
        shapes: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(_OF_COLUMN, (k,)),
            **dict.fromkeys(_OF_PART, (len(PARTS),)),
            "weight": (len(PARTS), k),
            "limits": (len(SEGMENTS) - 1,),
        }
        if not (
            isinstance(self.days, int)
            and 0 < self.days <= MOST_DAYS
            and k >= 0
            and self.column.dtype == np.int64
            and self.column.shape == (k,)
            and ((self.column >= 0) & (self.column < len(FEATURES))).all()
            and all(_is_table(getattr(self, name), shape) for name, shape in shapes.items())
            and (self.scale > 0).all()
            and (self.low <= self.high).all()
            and (self.high <= MOST_EXPONENT).all()
            and self.limits[0] >= self.limits[1]
            and all(
                is_sane(number) and number >= 0.0
                for number in (self.margin_rate, self.cheque, self.cheque_weight)
            )
            and self.margin_rate <= 1.0
        ):
            raise BundleCorrupt("the model's customer value is damaged; publish the bundle again")
        table = np.column_stack([self.center, self.scale, self.missing, self.weight.T])
        object.__setattr__(self, "_table", np.ascontiguousarray(table))
        parts = np.stack([self.intercept, self.low, self.high])
        object.__setattr__(self, "_parts", np.ascontiguousarray(parts))

    @property
    def tables(self) -> tuple[Integers, Floats, Floats, float, float, float, Floats]:
        """What `write_value` takes between the rows and what it writes."""
        return (
            self.column,
            self._table,
            self._parts,
            self.margin_rate,
            self.cheque,
            self.cheque_weight,
            self.limits,
        )

    def value(self, X: Floats) -> tuple[Floats, Codes]:
        """V and the segment of n customers.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns, the loop's first; NaN is missing.

        Returns
        -------
        value : ndarray of float64, shape (n,)
            V in currency, at least 0; NaN where no cheque of the customer's is known.
        segment : ndarray of int8, shape (n,)
            Position in `SEGMENTS`, -1 where V is not known.
        """
        value, segment = np.empty(len(X)), np.empty(len(X), dtype=np.int8)
        write_value(X, *self.tables, value, segment)
        return value, segment

    def orders(self, X: Floats) -> Floats:
        """Expected orders of each of `PARTS`, shape (n, 3), over `days`."""
        out = np.empty((len(X), len(PARTS)), dtype=np.float64)
        _orders(X, self.column, self._table, self._parts, out)
        return out

    def cheques(self, X: Floats) -> Floats:
        """Expected cheque in currency, shape (n,); NaN where none of the customer's is known."""
        out = np.empty(len(X), dtype=np.float64)
        _cheques(X, self.cheque, self.cheque_weight, out)
        return out

    def expected_margin(self, X: Floats, probability: Floats) -> Floats:
        """Expected margin over `days`, come back or not, shape (n,).

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns.
        probability : ndarray of float64, shape (n,)
            Of no purchase within the horizon.
        """
        within, back, gone = self.orders(X).T
        orders = (1.0 - probability) * (within + back) + probability * gone
        return np.asarray(self.margin_rate * self.cheques(X) * orders)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `CustomerValue(**d)` restores them."""
        fields = self.__dataclass_fields__
        return {name: getattr(self, name) for name in fields if not name.startswith("_")}


def _is_table(array: object, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(array, np.ndarray)
        and array.dtype == np.float64
        and array.shape == shape
        and are_sane(array)
    )


@compiled
def _cheque(X: Floats, row: int, cheque: float, cheque_weight: float) -> float:
    n = X[row, _ORDERS]
    own = X[row, _CHEQUE]
    if n != n or own != own or n <= 0.0:
        return math.nan
    expected: float = (cheque_weight * cheque + n * own) / (cheque_weight + n)
    return expected


@compiled
def _parts_of(
    X: Floats, row: int, column: Integers, table: Floats, parts: Floats
) -> tuple[float, float, float]:
    within = parts[0, 0]
    back = parts[0, 1]
    gone = parts[0, 2]
    for k in range(len(column)):
        z = deviation(X[row, column[k]], table[k, 0], table[k, 1], table[k, 2])
        within += table[k, 3] * z
        back += table[k, 4] * z
        gone += table[k, 5] * z
    within = 1.0 + math.exp(min(max(within, parts[1, 0]), parts[2, 0]))
    back = math.exp(min(max(back, parts[1, 1]), parts[2, 1]))
    gone = math.exp(min(max(gone, parts[1, 2]), parts[2, 2]))
    return within, back, gone


@compiled
def write_value(
    X: Floats, column: Integers, table: Floats, parts: Floats, margin_rate: float, cheque: float,
    cheque_weight: float, limits: Floats, value: Floats, segment: Codes,
) -> None:  # fmt: skip
    """Write V and the segment of each row; see `CustomerValue.value`."""
    for row in range(len(X)):
        expected = _cheque(X, row, cheque, cheque_weight)
        if expected != expected:
            value[row] = math.nan
            segment[row] = -1
            continue
        within, back, gone = _parts_of(X, row, column, table, parts)
        # Nobody buys less later for having bought; where the two fits say so, it is noise.
        v = margin_rate * expected * (within + max(back - gone, 0.0))
        value[row] = v
        segment[row] = 0 if v >= limits[0] else 1 if v >= limits[1] else 2


@compiled
def _orders(X: Floats, column: Integers, table: Floats, parts: Floats, out: Floats) -> None:
    for row in range(len(X)):
        within, back, gone = _parts_of(X, row, column, table, parts)
        out[row, 0] = within
        out[row, 1] = back
        out[row, 2] = gone


@compiled
def _cheques(X: Floats, cheque: float, cheque_weight: float, out: Floats) -> None:
    for row in range(len(X)):
        out[row] = _cheque(X, row, cheque, cheque_weight)
