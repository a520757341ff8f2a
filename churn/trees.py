"""LightGBM's trees as flat arrays: the margin and exact contributions of reason families.

The contributions are path-dependent Shapley values in which a family of features is one player;
`churn.tree_tables` tells how they are found. One walk over the leaves gives both.

References
----------
Lundberg, Erion, Lee (2018), "Consistent individualized feature attribution for tree ensembles",
for the value function; Owen (1977) for players that are groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churn.compiled import Booleans, Floats, Integers, compiled
from churn.tree_checks import check
from churn.tree_dump import BITS, ONE_OF, UP_TO_NAN_MISSING, UP_TO_ZERO_MISSING, flatten
from churn.tree_tables import MOST_TABULATED, Shape, Tables, received, tabulate

_ZERO = float(np.float32(1e-35))  # what LightGBM takes for zero, in the precision it does


@dataclass(frozen=True, slots=True)
class FlatTrees:
    """A boosted ensemble as arrays; immutable and safe to share between threads.

    Attributes
    ----------
    families : ndarray of int64, shape (n_features,)
        Family of each feature.
    n_families : int
        Number of families.
    node_start, leaf_start : ndarray of int64, shape (n_trees + 1,)
        Tree t owns nodes ``node_start[t]:node_start[t + 1]`` and likewise leaves.
    feature : ndarray of int64, shape (n_nodes,)
        Feature tested.
    decision : ndarray of int64, shape (n_nodes,)
        How: 0 to 2, whether the value is up to the threshold, with nothing, zero or NaN missing;
        3, whether the value is one of a set of codes.
    threshold : ndarray of float64, shape (n_nodes,)
        A value up to the threshold goes left; for a set of codes, the number of the set.
    default_left : ndarray of bool, shape (n_nodes,)
        Where a missing value goes; one that is no code of a set goes right.
    left, right : ndarray of int64, shape (n_nodes,)
        Child node within the tree, or ``-1 - leaf``.
    node_count, leaf_count : ndarray of float64
        Training rows that reached it.
    leaf_value : ndarray of float64, shape (n_leaves,)
        Log-odds.
    set_start : ndarray of int64, shape (n_sets + 1,)
        Set s is ``set_words[set_start[s]:set_start[s + 1]]``.
    set_words : ndarray of int64
        Code c of a set is bit ``c % 64`` of its word ``c // 64``.
    expected_margin : float
        Log-odds of the average training row.

    Raises
    ------
    BundleCorrupt
        The arrays are no trees.
    """

    families: Integers
    n_families: int
    node_start: Integers
    leaf_start: Integers
    feature: Integers
    decision: Integers
    threshold: Floats
    default_left: Booleans
    left: Integers
    right: Integers
    node_count: Floats
    leaf_count: Floats
    leaf_value: Floats
    set_start: Integers
    set_words: Integers
    expected_margin: float = field(init=False)
    _tables: Tables = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(self)
        shape = Shape(*(getattr(self, name) for name in Shape._fields))
        tables, expected = tabulate(shape, self.leaf_value)
        object.__setattr__(self, "_tables", tables)
        object.__setattr__(self, "expected_margin", expected)

    @classmethod
    def from_booster(cls, booster: Any, families: Sequence[int]) -> "FlatTrees":
        """Flatten a LightGBM booster.

        Parameters
        ----------
        booster : lightgbm.Booster
            Binary classifier or regression, one tree per iteration.
        families : sequence of int, length n_features
            Family of each feature, from 0.

        Raises
        ------
        BundleUnsupported
            If the booster has linear trees, several trees per iteration or averaged trees.
        """
        return cls(
            families=np.asarray(families, dtype=np.int64),
            n_families=max(families) + 1,
            **flatten(booster.dump_model()),
        )

    def margin(self, X: Floats) -> Floats:
        """Log-odds of each row before calibration.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_features)
            NaN is missing.

        Returns
        -------
        ndarray of float64, shape (n,)
            Equal to LightGBM's raw score to the last bit.
        """
        out = np.empty(len(X), dtype=np.float64)
        _margin(
            X, self.node_start, self.leaf_start, self.feature, self.decision, self.threshold,
            self.default_left, self.left, self.right, self.leaf_value, self.set_start,
            self.set_words, out,
        )  # fmt: skip
        return out

    def explain(self, X: Floats) -> tuple[Floats, Floats]:
        """Log-odds of each row and what each family contributes to them.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_features)
            NaN is missing.

        Returns
        -------
        margin : ndarray of float64, shape (n,)
            As `margin` gives it.
        contributions : ndarray of float64, shape (n, n_families)
            Log-odds; with `expected_margin` they sum to the margin.
        """
        margin = np.empty(len(X), dtype=np.float64)
        contributions = np.zeros((len(X), self.n_families), dtype=np.float64)
        _explain(
            X, self.node_start, self.leaf_start, self.feature, self.decision, self.threshold,
            self.default_left, self.leaf_value, self.set_start, self.set_words, self._tables,
            margin, contributions,
        )  # fmt: skip
        return margin, contributions

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `FlatTrees(**d)` restores them."""
        return {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("expected_margin", "_tables")
        }


@compiled
def _goes_left(
    number: float, decision: int, threshold: float, default_left: bool, set_start: Integers,
    set_words: Integers,
) -> bool:  # fmt: skip
    """LightGBM's decision: numerical, or by a set of codes."""
    if decision == ONE_OF:
        first = set_start[int(threshold)]
        most = BITS * (set_start[int(threshold) + 1] - first)
        # As LightGBM truncates: -0.5 is code 0. NaN compares false, so that it is no code.
        if not (-1.0 < number < most):
            return False
        code = int(number)
        among: bool = (set_words[first + code // BITS] >> (code % BITS)) & 1 == 1
        return among
    if number != number:
        if decision == UP_TO_NAN_MISSING:
            return default_left
        number = 0.0
    if decision == UP_TO_ZERO_MISSING and abs(number) <= _ZERO:
        return default_left
    return number <= threshold


@compiled
def _margin(
    X: Floats, node_start: Integers, leaf_start: Integers, feature: Integers,
    decision: Integers, threshold: Floats, default_left: Booleans, left: Integers,
    right: Integers, leaf_value: Floats, set_start: Integers, set_words: Integers, out: Floats,
) -> None:  # fmt: skip
    for row in range(len(X)):
        total = 0.0
        for t in range(len(node_start) - 1):
            first = node_start[t]
            node = 0 if node_start[t + 1] > first else -1
            while node >= 0:
                at = first + node
                if _goes_left(
                    X[row, feature[at]], decision[at], threshold[at], default_left[at], set_start,
                    set_words,
                ):  # fmt: skip
                    node = left[at]
                else:
                    node = right[at]
            total += leaf_value[leaf_start[t] - 1 - node]
        out[row] = total


@compiled
def _explain(
    X: Floats, node_start: Integers, leaf_start: Integers, feature: Integers,
    decision: Integers, threshold: Floats, default_left: Booleans, leaf_value: Floats,
    set_start: Integers, set_words: Integers, tables: Tables, margin: Floats, contributions: Floats,
) -> None:  # fmt: skip
    # One scratch per call, so that threads do not share it.
    decided_left = tables.decided.copy()
    satisfied = tables.satisfied.copy()
    for row in range(len(X)):
        total = 0.0
        for t in range(len(node_start) - 1):
            first = node_start[t]
            for at in range(first, node_start[t + 1]):
                decided_left[at - first] = _goes_left(
                    X[row, feature[at]], decision[at], threshold[at], default_left[at], set_start,
                    set_words,
                )  # fmt: skip
            for leaf in range(leaf_start[t], leaf_start[t + 1]):
                at_slot = tables.slot_start[leaf]
                d = tables.slot_start[leaf + 1] - at_slot
                if d <= MOST_TABULATED:
                    everything = (1 << d) - 1
                    mask = everything
                    for e in range(tables.edge_start[leaf], tables.edge_start[leaf + 1]):
                        if decided_left[tables.edge_node[e]] != tables.edge_left[e]:
                            mask &= everything ^ (1 << tables.edge_slot[e])
                    if mask == everything:
                        total += leaf_value[leaf]
                    at_table = tables.table_start[leaf] + mask * d
                    for i in range(d):
                        family = tables.slot_family[at_slot + i]
                        contributions[row, family] += tables.table[at_table + i]
                    continue
                reached = True
                for i in range(d):
                    satisfied[i] = 1.0
                for e in range(tables.edge_start[leaf], tables.edge_start[leaf + 1]):
                    if decided_left[tables.edge_node[e]] != tables.edge_left[e]:
                        satisfied[tables.edge_slot[e]] = 0.0
                        reached = False
                if reached:
                    total += leaf_value[leaf]
                for i in range(d):
                    family = tables.slot_family[at_slot + i]
                    contributions[row, family] += leaf_value[leaf] * received(
                        i, at_slot, d, tables.slot_weight, satisfied, tables.nodes, tables.weights
                    )
        margin[row] = total
