"""The way to each leaf of a tree, and what the leaf gives to each reason family on it.

On the path to a leaf a family is either satisfied by a row or not, so the leaf's contributions
depend only on which of the path's families are satisfied. For a leaf of few families they are
tabulated once for every such set; for one of many they are integrated for the row at hand.

With s_i = 1 if the row satisfies family i (else 0) and w_i the share of training rows that do, the
Shapley value of family i in a leaf of value v is

    v (s_i - w_i) * integral over t in [0, 1] of the product over j != i of (t s_j + (1 - t) w_j)

whose integrand is a polynomial in t: Gauss-Legendre quadrature with half as many nodes as there
are families is exact.

References
----------
Owen (1972), "Multilinear extensions of games", for the integral.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Floats, Integers, compiled

MOST_TABULATED = 6  # families on a path: a table of 3 kB; one more doubles it


class Shape(NamedTuple):
    """The arrays of a flat ensemble that its paths depend on; see `churn.trees.FlatTrees`."""

    families: Integers
    node_start: Integers
    leaf_start: Integers
    feature: Integers
    left: Integers
    right: Integers
    node_count: Floats
    leaf_count: Floats


class Tables(NamedTuple):
    """Paths and tables of every leaf.

    Attributes
    ----------
    edge_start : ndarray of int64, shape (n_leaves + 1,)
        Leaf l is reached over edges ``edge_start[l]:edge_start[l + 1]``.
    edge_node, edge_slot : ndarray of int64, shape (n_edges,)
        Node within the tree that decides the edge; position of its family on the path.
    edge_left : ndarray of bool, shape (n_edges,)
        Whether the edge is the left one.
    slot_start : ndarray of int64, shape (n_leaves + 1,)
        Leaf l has families ``slot_start[l]:slot_start[l + 1]`` on its path.
    slot_family : ndarray of int64, shape (n_slots,)
        The family.
    slot_weight : ndarray of float64, shape (n_slots,)
        Share of training rows that the family's splits on the path let through.
    table_start : ndarray of int64, shape (n_leaves + 1,)
        Leaf l has entries ``table_start[l] + satisfied_set * n_slots + slot``.
    table : ndarray of float64
        Contributions of the leaves with at most `MOST_TABULATED` families.
    nodes, weights : ndarray of float64
        Of the quadrature on [0, 1].
    decided, satisfied : ndarray of bool, ndarray of float64
        Scratch of the right size, to be copied by each call.
    """

    edge_start: Integers
    edge_node: Integers
    edge_left: Booleans
    edge_slot: Integers
    slot_start: Integers
    slot_family: Integers
    slot_weight: Floats
    table_start: Integers
    table: Floats
    nodes: Floats
    weights: Floats
    decided: Booleans
    satisfied: Floats


def tabulate(shape: Shape, leaf_value: Floats) -> tuple[Tables, float]:
    """Tabulate an ensemble.

    Returns
    -------
    Tables
        What explaining a row needs.
    float
        The margin of the average training row.
    """
    edges: list[tuple[int, bool, int]] = []
    edge_start = [0]
    slot_family: list[int] = []
    slot_weight: list[float] = []
    slot_start = [0]
    expected = 0.0
    for leaf, path in enumerate(_paths(shape)):
        weights: dict[int, float] = {}
        reach = 1.0
        for node, family, goes_left, share in path:
            weights[family] = weights.get(family, 1.0) * share
            reach *= share
            edges.append((node, goes_left, list(weights).index(family)))
        edge_start.append(len(edges))
        slot_family.extend(weights)
        slot_weight.extend(weights.values())
        slot_start.append(len(slot_family))
        expected += reach * float(leaf_value[leaf])
    starts = np.array(slot_start, dtype=np.int64)
    widths = np.diff(starts)
    small = np.where(widths <= MOST_TABULATED, widths, 0)
    table_start = np.concatenate([[0], np.cumsum(small << small)]).astype(np.int64)
    deepest = int(widths.max(initial=0))
    nodes, node_weights = np.polynomial.legendre.leggauss(deepest // 2 + 1)
    tables = Tables(
        edge_start=np.array(edge_start, dtype=np.int64),
        edge_node=np.array([edge[0] for edge in edges], dtype=np.int64),
        edge_left=np.array([edge[1] for edge in edges], dtype=np.bool_),
        edge_slot=np.array([edge[2] for edge in edges], dtype=np.int64),
        slot_start=starts,
        slot_family=np.array(slot_family, dtype=np.int64),
        slot_weight=np.array(slot_weight, dtype=np.float64),
        table_start=table_start,
        table=np.zeros(int(table_start[-1]), dtype=np.float64),
        nodes=np.asarray((nodes + 1.0) / 2.0, dtype=np.float64),
        weights=np.asarray(node_weights / 2.0, dtype=np.float64),
        decided=np.zeros(int(np.diff(shape.node_start).max(initial=0)), dtype=np.bool_),
        satisfied=np.zeros(deepest, dtype=np.float64),
    )
    fill(
        leaf_value, tables.slot_start, tables.slot_weight, tables.table_start, tables.nodes,
        tables.weights, tables.satisfied, tables.table,
    )  # fmt: skip
    return tables, expected


def _paths(shape: Shape) -> Iterator[list[tuple[int, int, bool, float]]]:
    """Each leaf's path: (node, family, goes left, share of the node's rows that go there)."""
    for tree in range(len(shape.node_start) - 1):
        first_node, first_leaf = int(shape.node_start[tree]), int(shape.leaf_start[tree])
        paths: dict[int, list[tuple[int, int, bool, float]]] = {0: []}
        stack: list[tuple[int, list[tuple[int, int, bool, float]]]] = []
        if shape.node_start[tree + 1] > first_node:
            stack.append((0, []))
        while stack:
            node, path = stack.pop()
            at = first_node + node
            family = int(shape.families[shape.feature[at]])
            for child, goes_left in ((int(shape.left[at]), True), (int(shape.right[at]), False)):
                count = (
                    shape.node_count[first_node + child]
                    if child >= 0
                    else shape.leaf_count[first_leaf - 1 - child]
                )
                share = float(count) / float(shape.node_count[at])
                longer = [*path, (node, family, goes_left, share)]
                if child >= 0:
                    stack.append((child, longer))
                else:
                    paths[-1 - child] = longer
        for leaf in range(int(shape.leaf_start[tree + 1]) - first_leaf):
            yield paths[leaf]


@compiled
def received(
    i: int, first: int, d: int, slot_weight: Floats, satisfied: Floats, nodes: Floats,
    weights: Floats,
) -> float:  # fmt: skip
    """Part of a leaf's value that the family in slot i of d receives; see the module's formula."""
    total = 0.0
    for q in range(len(nodes)):
        product = weights[q]
        for j in range(d):
            if j != i:
                product *= nodes[q] * satisfied[j] + (1.0 - nodes[q]) * slot_weight[first + j]
        total += product
    difference: float = satisfied[i] - slot_weight[first + i]
    return total * difference


@compiled
def fill(
    leaf_value: Floats, slot_start: Integers, slot_weight: Floats, table_start: Integers,
    nodes: Floats, weights: Floats, satisfied: Floats, table: Floats,
) -> None:  # fmt: skip
    """Tabulate, for each leaf and each set of satisfied families, what each family receives."""
    for leaf in range(len(leaf_value)):
        if table_start[leaf + 1] == table_start[leaf]:
            continue
        first = slot_start[leaf]
        d = slot_start[leaf + 1] - first
        for mask in range(1 << d):
            for i in range(d):
                satisfied[i] = 1.0 if (mask >> i) & 1 else 0.0
            for i in range(d):
                table[table_start[leaf] + mask * d + i] = leaf_value[leaf] * received(
                    i, first, d, slot_weight, satisfied, nodes, weights
                )
