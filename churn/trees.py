"""LightGBM's trees as flat arrays: the margin and exact contributions of reason families.

The contributions are path-dependent Shapley values in which a family of features is one player.
On the path to a leaf, a family is either satisfied by the row or not, so what the leaf gives to
each family depends only on which of the path's families are satisfied: it is tabulated once, at
load, and explaining a row is walking the leaves and adding table entries.

References
----------
Lundberg, Erion, Lee (2018), "Consistent individualized feature attribution for tree ensembles",
for the value function; Owen (1977) for players that are groups.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.compiled import compiled
from churn.errors import BundleUnsupported

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
_MISSING_TYPES = {"None": MISSING_NONE, "Zero": MISSING_ZERO, "NaN": MISSING_NAN}


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
    feature, missing_type : ndarray of int64, shape (n_nodes,)
        Feature tested, and what counts as missing there.
    threshold : ndarray of float64, shape (n_nodes,)
        A value up to the threshold goes left.
    default_left : ndarray of bool, shape (n_nodes,)
        Where a missing value goes.
    left, right : ndarray of int64, shape (n_nodes,)
        Child node within the tree, or ``-1 - leaf``.
    node_count, leaf_count : ndarray of float64
        Training rows that reached it.
    leaf_value : ndarray of float64, shape (n_leaves,)
        Log-odds.
    """

    families: NDArray[np.int64]
    n_families: int
    node_start: NDArray[np.int64]
    leaf_start: NDArray[np.int64]
    feature: NDArray[np.int64]
    missing_type: NDArray[np.int64]
    threshold: NDArray[np.float64]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    node_count: NDArray[np.float64]
    leaf_count: NDArray[np.float64]
    leaf_value: NDArray[np.float64]
    expected_margin: float = field(init=False)
    _tables: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tables, expected = _tabulate(self)
        object.__setattr__(self, "_tables", tables)
        object.__setattr__(self, "expected_margin", expected)

    @classmethod
    def from_booster(cls, booster: Any, families: Sequence[int]) -> "FlatTrees":
        """Flatten a LightGBM booster.

        Parameters
        ----------
        booster : lightgbm.Booster
            Binary classifier or regression, one tree per iteration, numerical splits.
        families : sequence of int, length n_features
            Family of each feature, from 0.

        Raises
        ------
        BundleUnsupported
            If the booster has linear trees, categorical splits or several trees per iteration.
        """
        dump = booster.dump_model()
        if dump["num_tree_per_iteration"] != 1:
            raise BundleUnsupported("the booster has several classes; train a binary objective")
        nodes: dict[str, list[Any]] = {
            name: []
            for name in (
                "feature", "missing_type", "threshold", "default_left", "left", "right",
                "node_count",
            )
        }  # fmt: skip
        leaves: dict[str, list[float]] = {"leaf_count": [], "leaf_value": []}
        node_start, leaf_start = [0], [0]
        for tree in dump["tree_info"]:
            _flatten(tree["tree_structure"], nodes, leaves, node_start[-1], leaf_start[-1])
            node_start.append(len(nodes["feature"]))
            leaf_start.append(len(leaves["leaf_value"]))
        return cls(
            families=np.asarray(families, dtype=np.int64),
            n_families=max(families) + 1,
            node_start=np.array(node_start, dtype=np.int64),
            leaf_start=np.array(leaf_start, dtype=np.int64),
            feature=np.array(nodes["feature"], dtype=np.int64),
            missing_type=np.array(nodes["missing_type"], dtype=np.int64),
            threshold=np.array(nodes["threshold"], dtype=np.float64),
            default_left=np.array(nodes["default_left"], dtype=np.bool_),
            left=np.array(nodes["left"], dtype=np.int64),
            right=np.array(nodes["right"], dtype=np.int64),
            node_count=np.array(nodes["node_count"], dtype=np.float64),
            leaf_count=np.array(leaves["leaf_count"], dtype=np.float64),
            leaf_value=np.array(leaves["leaf_value"], dtype=np.float64),
        )

    def margin(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
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
            X, self.node_start, self.leaf_start, self.feature, self.missing_type, self.threshold,
            self.default_left, self.left, self.right, self.leaf_value, out,
        )  # fmt: skip
        return out

    def explain(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
            X, self.node_start, self.leaf_start, self.feature, self.missing_type, self.threshold,
            self.default_left, self.leaf_value, *self._tables, margin, contributions,
        )  # fmt: skip
        return margin, contributions

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `FlatTrees(**d)` restores them."""
        return {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("expected_margin", "_tables")
        }


def _flatten(
    root: dict[str, Any],
    nodes: dict[str, list[Any]],
    leaves: dict[str, list[float]],
    node_base: int,
    leaf_base: int,
) -> None:
    def visit(part: dict[str, Any]) -> int:
        if "split_index" not in part:
            if "leaf_const" in part:
                raise BundleUnsupported("the booster has linear trees; train without linear_tree")
            leaves["leaf_count"].append(float(part.get("leaf_count", 1)))
            leaves["leaf_value"].append(float(part["leaf_value"]))
            return -1 - (len(leaves["leaf_value"]) - 1 - leaf_base)
        if part["decision_type"] != "<=":
            raise BundleUnsupported(
                "the booster has categorical splits, which this version cannot explain; "
                "encode categories as numbers before training"
            )
        at = len(nodes["feature"])
        nodes["feature"].append(int(part["split_feature"]))
        nodes["missing_type"].append(_MISSING_TYPES[part["missing_type"]])
        nodes["threshold"].append(float(part["threshold"]))
        nodes["default_left"].append(bool(part["default_left"]))
        nodes["node_count"].append(float(part["internal_count"]))
        nodes["left"].append(0)
        nodes["right"].append(0)
        nodes["left"][at] = visit(part["left_child"])
        nodes["right"][at] = visit(part["right_child"])
        return at - node_base

    visit(root)


def _tabulate(trees: FlatTrees) -> tuple[tuple[Any, ...], float]:
    """Paths and contribution tables of every leaf, and the expected margin."""
    edge_node: list[int] = []
    edge_left: list[bool] = []
    edge_slot: list[int] = []
    edge_start = [0]
    slot_family: list[int] = []
    slot_weight: list[float] = []
    slot_start = [0]
    expected = 0.0
    for t in range(len(trees.node_start) - 1):
        first_node, first_leaf = int(trees.node_start[t]), int(trees.leaf_start[t])
        n_leaves = int(trees.leaf_start[t + 1]) - first_leaf
        paths = _paths(trees, first_node, int(trees.node_start[t + 1]) - first_node)
        for leaf in range(n_leaves):
            slots: dict[int, int] = {}
            weights: list[float] = []
            reach = 1.0
            for node, goes_left, share in paths.get(leaf, []):
                family = int(trees.families[trees.feature[first_node + node]])
                slot = slots.setdefault(family, len(slots))
                if slot == len(weights):
                    weights.append(1.0)
                weights[slot] *= share
                reach *= share
                edge_node.append(node)
                edge_left.append(goes_left)
                edge_slot.append(slot)
            edge_start.append(len(edge_node))
            slot_family.extend(slots)
            slot_weight.extend(weights)
            slot_start.append(len(slot_family))
            expected += reach * float(trees.leaf_value[first_leaf + leaf])
    starts = np.array(slot_start, dtype=np.int64)
    widths = np.diff(starts)
    table_start = np.concatenate([[0], np.cumsum(widths << widths)]).astype(np.int64)
    table = np.zeros(int(table_start[-1]), dtype=np.float64)
    deepest = int(widths.max(initial=0))
    _fill_tables(
        starts, np.array(slot_weight, dtype=np.float64), trees.leaf_value, table_start,
        _shapley_weights(deepest), np.zeros(deepest + 1), table,
    )  # fmt: skip
    return (
        np.array(edge_start, dtype=np.int64),
        np.array(edge_node, dtype=np.int64),
        np.array(edge_left, dtype=np.bool_),
        np.array(edge_slot, dtype=np.int64),
        starts,
        np.array(slot_family, dtype=np.int64),
        table_start,
        table,
        np.zeros(int(np.diff(trees.node_start).max(initial=0)), dtype=np.bool_),
    ), expected


def _paths(
    trees: FlatTrees, first_node: int, n_nodes: int
) -> dict[int, list[tuple[int, bool, float]]]:
    """For each leaf of a tree the (node, goes left, share of rows that go there) on its path."""
    paths: dict[int, list[tuple[int, bool, float]]] = {}
    first_leaf = int(trees.leaf_start[np.searchsorted(trees.node_start, first_node, "right") - 1])
    stack: list[tuple[int, list[tuple[int, bool, float]]]] = [(0, [])] if n_nodes else []
    while stack:
        node, path = stack.pop()
        at = first_node + node
        for child, goes_left in ((int(trees.left[at]), True), (int(trees.right[at]), False)):
            count = (
                trees.node_count[first_node + child]
                if child >= 0
                else trees.leaf_count[first_leaf - 1 - child]
            )
            share = float(count) / max(float(trees.node_count[at]), 1.0)
            extended = [*path, (node, goes_left, share)]
            if child >= 0:
                stack.append((child, extended))
            else:
                paths[-1 - child] = extended
    return paths


def _shapley_weights(most: int) -> NDArray[np.float64]:
    """Weight k!(d-1-k)!/d! of a coalition of k among d players, as ``[d, k]``."""
    weights = np.zeros((most + 1, most + 1), dtype=np.float64)
    for d in range(1, most + 1):
        for k in range(d):
            weights[d, k] = 1.0 / (d * math.comb(d - 1, k))
    return weights


@compiled
def _fill_tables(slot_start, slot_weight, leaf_value, table_start, shapley, polynomial, table):
    """Tabulate, for each leaf and each set of satisfied families, what each family receives."""
    for leaf in range(len(leaf_value)):
        first = slot_start[leaf]
        d = slot_start[leaf + 1] - first
        for mask in range(1 << d):
            for i in range(d):
                # Coefficient k of the polynomial: the coalitions of k of the other families.
                for k in range(d):
                    polynomial[k] = 0.0
                polynomial[0] = 1.0
                degree = 0
                for j in range(d):
                    if j == i:
                        continue
                    satisfied = 1.0 if (mask >> j) & 1 else 0.0
                    weight = slot_weight[first + j]
                    degree += 1
                    for back in range(degree):
                        k = degree - back
                        polynomial[k] = polynomial[k] * weight + polynomial[k - 1] * satisfied
                    polynomial[0] *= weight
                total = 0.0
                for k in range(d):
                    total += polynomial[k] * shapley[d, k]
                satisfied = 1.0 if (mask >> i) & 1 else 0.0
                table[table_start[leaf] + mask * d + i] = (
                    leaf_value[leaf] * total * (satisfied - slot_weight[first + i])
                )


@compiled
def _goes_left(number, missing_type, threshold, default_left):
    """LightGBM's numerical decision."""
    if number != number:
        if missing_type == 2:
            return default_left
        number = 0.0
    if missing_type == 1 and abs(number) <= 1e-35:
        return default_left
    return number <= threshold


@compiled
def _margin(
    X, node_start, leaf_start, feature, missing_type, threshold, default_left,
    left, right, leaf_value, out,
):  # fmt: skip
    for row in range(len(X)):
        total = 0.0
        for t in range(len(node_start) - 1):
            first = node_start[t]
            node = 0 if node_start[t + 1] > first else -1
            while node >= 0:
                at = first + node
                if _goes_left(
                    X[row, feature[at]], missing_type[at], threshold[at], default_left[at]
                ):
                    node = left[at]
                else:
                    node = right[at]
            total += leaf_value[leaf_start[t] - 1 - node]
        out[row] = total


@compiled
def _explain(
    X, node_start, leaf_start, feature, missing_type, threshold, default_left, leaf_value,
    edge_start, edge_node, edge_left, edge_slot, slot_start, slot_family, table_start, table,
    scratch, margin, contributions,
):  # fmt: skip
    decided_left = scratch.copy()  # one per call, so that threads do not share it
    for row in range(len(X)):
        total = 0.0
        for t in range(len(node_start) - 1):
            first = node_start[t]
            for at in range(first, node_start[t + 1]):
                decided_left[at - first] = _goes_left(
                    X[row, feature[at]], missing_type[at], threshold[at], default_left[at]
                )
            for leaf in range(leaf_start[t], leaf_start[t + 1]):
                d = slot_start[leaf + 1] - slot_start[leaf]
                everything = (1 << d) - 1
                mask = everything
                for e in range(edge_start[leaf], edge_start[leaf + 1]):
                    if decided_left[edge_node[e]] != edge_left[e]:
                        mask &= everything ^ (1 << edge_slot[e])
                if mask == everything:
                    total += leaf_value[leaf]
                at_table = table_start[leaf] + mask * d
                at_slot = slot_start[leaf]
                for i in range(d):
                    contributions[row, slot_family[at_slot + i]] += table[at_table + i]
        margin[row] = total
