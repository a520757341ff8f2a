"""What the loops of `churn.tree_kernel` read beside the rows, in the order of their parameters."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from churn import tree_kernel as kernel
from churn.compiled import Booleans, Floats, Integers, Unsigned
from churn.tree_dump import ONE_OF, UP_TO, UP_TO_ZERO_MISSING
from churn.tree_parts import LIMITS, Limits, Shape
from churn.tree_tables import tabulate

if TYPE_CHECKING:
    from churn.trees import FlatTrees


class Program(NamedTuple):
    """Decisions and tables; see `churn.tree_tables.Tables` for those not told here.

    Attributes
    ----------
    used : ndarray of uint64, shape (n_used,)
        Features that are tested at all.
    feature, how, threshold : ndarray of uint64, int64 and float64, shape (n_decisions,)
        Position of the decision's feature among those used; as in `churn.tree_kernel`.
    odd : ndarray of uint64, 2 columns
        Group and bit of each decision that is no plain comparison.
    """

    used: Unsigned
    feature: Unsigned
    how: Integers
    threshold: Floats
    set_start: Integers
    set_words: Integers
    groups: Unsigned
    odd: Unsigned
    runs: Unsigned
    parts: Unsigned
    conditions: Unsigned
    slots: Unsigned
    long: Unsigned
    edges: Unsigned
    table: Floats


def program(
    trees: "FlatTrees", how: Integers, families: Integers, limits: Limits = LIMITS
) -> Program:
    """Prepare an ensemble for explaining rows.

    Parameters
    ----------
    trees : FlatTrees
        The ensemble.
    how : ndarray of int64, shape (n_nodes,)
        As `ways` gives it.
    families : ndarray of int64, shape (n_features,)
        Player of each feature.
    limits : Limits
        How large tables may become.
    """
    shape = Shape(*(getattr(trees, name) for name in Shape._fields))
    tables = tabulate(shape, families, limits)
    used, feature = np.unique(trees.feature[tables.node], return_inverse=True)
    how = how[tables.node]
    starts = tables.groups.astype(np.int64)
    odd = np.flatnonzero(how[: starts[-1]] >= kernel.ZERO_RIGHT)  # long leaves ask for themselves
    group = np.searchsorted(starts, odd, side="right") - 1
    return Program(
        used=used.astype(np.uint64),
        feature=feature.astype(np.uint64),
        how=how,
        threshold=trees.threshold[tables.node],
        set_start=trees.set_start,
        set_words=trees.set_words,
        odd=np.column_stack([group, odd - starts[group]]).astype(np.uint64).ravel(),
        **{name: array for name, array in tables._asdict().items() if name != "node"},
    )


def as_lists(made: Program) -> Program:
    """The same as lists, which plain Python reads faster than arrays."""
    return Program(*(array.tolist() for array in made))


def ways(decision: Integers, threshold: Floats, default_left: Booleans) -> Integers:
    """How each node decides, as `churn.tree_kernel` names it: one number for all that matters."""
    # Where NaN is not a value of its own, it is zero.
    goes_left = np.where(decision == UP_TO, threshold >= 0.0, default_left)
    how = np.where(goes_left, kernel.NAN_LEFT, kernel.NAN_RIGHT)
    zero = np.where(goes_left, kernel.ZERO_LEFT, kernel.ZERO_RIGHT)
    how = np.where(decision == UP_TO_ZERO_MISSING, zero, how)
    return np.where(decision == ONE_OF, kernel.ONE_OF, how).astype(np.int64)
