"""A linear part beside the trees: what rises evenly, a few small trees tell only in steps.

Each of its columns counts by the logarithm of its size, standardised, up to five deviations; a
missing one counts as the median. Its Shapley values need no paths: what a column adds, less what
it adds on average.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churn.bounds import are_sane, is_sane
from churn.compiled import Floats, Integers, compiled
from churn.errors import BundleCorrupt

MOST_DEVIATIONS = 5.0


@dataclass(frozen=True, slots=True)
class Linear:
    """The mean of two log-odds: `share` of a linear regression's, the rest of the trees'.

    Attributes
    ----------
    share : float
        In (0, 1).
    column : ndarray of int64, shape (k,)
        Positions in the columns of the trees.
    center, scale : ndarray of float64, shape (k,)
        Mean and standard deviation of the logarithms, signed.
    missing : ndarray of float64, shape (k,)
        What a missing value counts as, in deviations.
    mean : ndarray of float64, shape (k,)
        Average of the deviations, in training.
    weight : ndarray of float64, shape (k,)
        Log-odds per deviation.
    intercept : float
        Log-odds.
    expected : float
        Log-odds of the average training row.

    Raises
    ------
    BundleCorrupt
        Arrays of other types or shapes.
    """

    share: float
    column: Integers
    center: Floats
    scale: Floats
    missing: Floats
    mean: Floats
    weight: Floats
    intercept: float
    expected: float = field(init=False)

    def __post_init__(self) -> None:
        tables = (self.center, self.scale, self.missing, self.mean, self.weight)
        if not (
            all(isinstance(array, np.ndarray) for array in (self.column, *tables))
            and self.column.dtype == np.int64
            and (self.column >= 0).all()
            and all(array.dtype == np.float64 for array in tables)
            and all(array.shape == (len(self.column),) for array in (self.column, *tables))
            and all(are_sane(array) for array in tables)
            and (self.scale > 0).all()
            and is_sane(self.intercept)
            and isinstance(self.share, float)
            and 0.0 < self.share < 1.0
        ):
            raise BundleCorrupt("the model's linear part is damaged; publish the bundle again")
        expected = self.intercept + float(self.weight @ self.mean)
        object.__setattr__(self, "expected", expected)

    def blend(self, columns: Floats, margin: Floats) -> Floats:
        """The mean of the trees' log-odds and its own, shape (n,).

        Parameters
        ----------
        columns : ndarray of float64, shape (n, n_columns)
            Of the trees; NaN is missing.
        margin : ndarray of float64, shape (n,)
            What the trees say.
        """
        out = np.array(margin)
        blend_into(
            columns, self.column, self.center, self.scale, self.missing, self.weight,
            self.intercept, self.share, out,
        )  # fmt: skip
        return out

    def contribute(self, columns: Floats, contributions: Floats, family: Integers) -> None:
        """Turn the trees' contributions into those of `blend`, in place.

        Parameters
        ----------
        columns : ndarray of float64, shape (n, n_columns)
            As in `blend`.
        contributions : ndarray of float64, shape (n, n_families)
            What each family adds to the trees' log-odds.
        family : ndarray of int64, shape (n_columns,)
            Of each column.
        """
        contribute_into(
            columns, self.column, self.center, self.scale, self.missing, self.mean, self.weight,
            self.share, family, contributions,
        )  # fmt: skip

    @property
    def tables(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """What `contribute_into` takes of each column."""
        return self.center, self.scale, self.missing, self.mean, self.weight

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a bundle; `Linear(**d)` restores them."""
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "expected"
        }


@compiled
def deviation(number: float, center: float, scale: float, missing: float) -> float:
    """The logarithm of a number's size, signed and standardised; `missing` for NaN."""
    if number != number:
        return missing
    size = math.log1p(abs(number))
    z = ((size if number >= 0.0 else -size) - center) / scale
    return min(max(z, -MOST_DEVIATIONS), MOST_DEVIATIONS)


@compiled
def blend_into(
    columns: Floats, column: Integers, center: Floats, scale: Floats, missing: Floats,
    weight: Floats, intercept: float, share: float, out: Floats,
) -> None:  # fmt: skip
    """Turn the trees' margins into those of `Linear.blend`, in place."""
    for row in range(len(out)):
        total = intercept
        for k in range(len(column)):
            z = deviation(columns[row, column[k]], center[k], scale[k], missing[k])
            total += weight[k] * z
        out[row] = (1.0 - share) * out[row] + share * total


@compiled
def contribute_into(
    columns: Floats, column: Integers, center: Floats, scale: Floats, missing: Floats,
    mean: Floats, weight: Floats, share: float, family: Integers, out: Floats,
) -> None:  # fmt: skip
    """Do what `Linear.contribute` does."""
    for row in range(len(out)):
        for at in range(out.shape[1]):
            out[row, at] *= 1.0 - share
        for k in range(len(column)):
            z = deviation(columns[row, column[k]], center[k], scale[k], missing[k])
            out[row, family[column[k]]] += share * weight[k] * (z - mean[k])
