"""Whether flat arrays are trees: compiled code follows their indices without looking."""

from typing import TYPE_CHECKING

import numpy as np

from churn.bounds import are_sane
from churn.errors import BundleCorrupt, BundleUnsupported
from churn.tree_dump import COLUMNS, ONE_OF, UP_TO

if TYPE_CHECKING:
    from churn.trees import FlatTrees

MOST_LEAVES = 60_000
"""Six times those of the largest model that is meant to serve: 300 trees of 31 leaves."""
MOST_DEPTH = 100
"""Decisions on the longest path; paths are divided by a function that calls itself."""
_TYPES = {
    "families": np.int64,
    "node_start": np.int64,
    "leaf_start": np.int64,
    "set_start": np.int64,
    "set_words": np.int64,
    **COLUMNS,
}


def check(trees: "FlatTrees") -> None:
    """Refuse arrays that are no trees.

    Raises
    ------
    BundleCorrupt
        Wrong types or lengths, an index out of range, a node that is nobody's child or that of
        two, a number that is none, more training rows below a node than at it.
    BundleUnsupported
        More leaves, or longer paths, than can be explained in time.
    """
    for name, dtype in _TYPES.items():
        array = getattr(trees, name)
        if not (isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == 1):
            raise _wrong(f"{name} is not a column of {np.dtype(dtype).name}")
    if len(trees.leaf_value) > MOST_LEAVES:
        raise BundleUnsupported(
            f"the model has {len(trees.leaf_value):,} leaves, more than {MOST_LEAVES:,}; train a "
            "smaller one"
        )
    _check_columns(trees)
    _check_sets(trees)
    _check_structure(trees)
    _check_paths(trees)


def _check_columns(trees: "FlatTrees") -> None:
    n_nodes = len(trees.feature)
    for name in ("decision", "threshold", "default_left", "left", "right", "node_count"):
        if len(getattr(trees, name)) != n_nodes:
            raise _wrong(f"{name} has another length than feature")
    if len(trees.leaf_count) != len(trees.leaf_value):
        raise _wrong("leaf_count has another length than leaf_value")
    if not _within(trees.feature, 0, len(trees.families)):
        raise _wrong("a node tests a feature that does not exist")
    if type(trees.n_families) is not int or not _within(trees.families, 0, trees.n_families):
        raise _wrong("a feature has a family that does not exist")
    if not _within(trees.decision, UP_TO, ONE_OF + 1):
        raise _wrong("decision is not one of 0, 1, 2 and 3")
    if not (trees.threshold > -np.inf).all():
        raise _wrong("threshold is not a number")
    for name in ("leaf_value", "node_count", "leaf_count"):
        if not are_sane(getattr(trees, name)):
            raise _wrong(f"{name} is not a number, or an absurd one")
    if not ((trees.node_count > 0).all() and (trees.leaf_count >= 0).all()):
        raise _wrong("a count of training rows is negative, or none reached a node")


def _check_sets(trees: "FlatTrees") -> None:
    start = trees.set_start
    if len(start) == 0 or start[0] != 0 or start[-1] != len(trees.set_words):
        raise _wrong("set_start does not divide set_words into sets of codes")
    if (start[1:] <= start[:-1]).any():
        raise _wrong("a set of codes has no words")
    named = trees.threshold[trees.decision == ONE_OF]
    if not (_within(named, 0, len(start) - 1) and (named == np.floor(named)).all()):
        raise _wrong("a node names a set of codes that does not exist")


def _check_structure(trees: "FlatTrees") -> None:
    starts = {"node_start": len(trees.feature), "leaf_start": len(trees.leaf_value)}
    for name, end in starts.items():
        start = getattr(trees, name)
        if len(start) == 0 or start[0] != 0 or start[-1] != end or (start[1:] < start[:-1]).any():
            raise _wrong(f"{name} does not divide the ensemble into trees")
    if len(trees.node_start) != len(trees.leaf_start):
        raise _wrong("leaf_start has another length than node_start")
    n_nodes, n_leaves = np.diff(trees.node_start), np.diff(trees.leaf_start)
    if (n_leaves != n_nodes + 1).any():
        raise _wrong("a tree does not have one leaf more than nodes")
    for tree, first in enumerate(trees.node_start[:-1]):
        own = slice(first, trees.node_start[tree + 1])
        children = np.concatenate([trees.left[own], trees.right[own]])
        # As many leaves as there are: each child but the root is named once, leaves as -1 - leaf.
        expected = np.arange(-n_leaves[tree], n_nodes[tree])
        expected = expected[expected != 0] if n_nodes[tree] else expected[:0]
        if not np.array_equal(np.sort(children), expected):
            raise _wrong("a node or leaf is nobody's child, or that of two")
        # A child after its parent in the list: no path can return to where it was.
        nodes = np.tile(np.arange(n_nodes[tree]), 2)
        if (children[children >= 0] <= nodes[children >= 0]).any():
            raise _wrong("a node comes before its parent")


def _check_paths(trees: "FlatTrees") -> None:
    node_start, leaf_start = trees.node_start.tolist(), trees.leaf_start.tolist()
    node_count, leaf_count = trees.node_count.tolist(), trees.leaf_count.tolist()
    children = list(zip(trees.left.tolist(), trees.right.tolist(), strict=True))
    depth = [1] * len(children)
    for tree, first in enumerate(node_start[:-1]):
        for node in range(first, node_start[tree + 1]):
            for child in children[node]:
                if child >= 0:
                    depth[first + child] = depth[node] + 1
                    count = node_count[first + child]
                else:
                    count = leaf_count[leaf_start[tree] - 1 - child]
                if count > node_count[node]:
                    raise _wrong("more training rows reached a child than its parent")
    if max(depth, default=0) > MOST_DEPTH:
        raise BundleUnsupported(
            f"the model has a path of {max(depth)} decisions, more than {MOST_DEPTH}; train with "
            "fewer leaves or a limit to their depth"
        )


def _within(numbers: np.ndarray, low: int, high: int) -> bool:
    return bool(((numbers >= low) & (numbers < high)).all())


def _wrong(what: str) -> BundleCorrupt:
    return BundleCorrupt(f"the model's trees are damaged: {what}; publish the bundle again")
