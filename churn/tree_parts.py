"""Dividing each tree into parts, and choosing how what each part gives is kept.

A part is a subtree: a leaf, a few splits with their leaves, or a whole small tree. What its leaves
give to the reason families depends on how its own splits decide and on which families of the path
above it the row satisfies. Three ways to keep that, see `churn.tree_tables`:

* direct: a table of contributions for every combination of both;
* joined: a table for what is above and one for what is within, multiplied lane by lane;
* long: nothing is kept; a leaf with more families on its path than tables can bear is integrated
  for the row at hand.

Fewer and larger parts leave less to look up, but a table doubles with each bit of its index. The
cheapest division is found from the leaves upwards (ADR 6 has the figures).
"""

from collections.abc import Iterator
from typing import NamedTuple

from churn.compiled import HAS_NUMBA, Floats, Integers

DIRECT, JOINED, LONG = 0, 1, 2
WORD = 63  # decisions that one word holds

# What a part costs one row, in units of about a nanosecond.
_FIXED, _CONDITION, _FAMILY = 3.0, 1.0, 1.0
_JOIN, _PRODUCT, _LANE = 4.0, 1.0, 0.5
_BYTE = 1 / 2000  # of a table: large ones leave the near cache
_NEVER = 1e18


class Limits(NamedTuple):
    """How large tables may become, as bits of their index.

    Attributes
    ----------
    own : int
        Splits within a part.
    direct : int
        Bits of a direct table.
    within, above : int
        Bits of the two tables of a joined part.
    """

    own: int
    direct: int
    within: int
    above: int


# Without Numba the interpreter fills the tables, so that they have to be small.
LIMITS = Limits(6, 8, 7, 10) if HAS_NUMBA else Limits(6, 6, 3, 5)


class Shape(NamedTuple):
    """The arrays of a flat ensemble that its paths depend on; see `churn.trees.FlatTrees`."""

    node_start: Integers
    leaf_start: Integers
    feature: Integers
    left: Integers
    right: Integers
    node_count: Floats
    leaf_count: Floats
    leaf_value: Floats


class Step(NamedTuple):
    """An edge of a path: the split, its family, its side, the share of rows that go there."""

    node: int
    family: int
    goes_left: bool
    share: float


Path = tuple[Step, ...]


class Part(NamedTuple):
    """A subtree.

    Attributes
    ----------
    kind : int
        `DIRECT`, `JOINED` or `LONG`.
    above : tuple of Step
        The path from the tree's root to the part.
    nodes : tuple of int
        Splits within the part.
    leaves : tuple of (int, tuple of Step)
        Its leaves, each with the rest of its path.
    """

    kind: int
    above: Path
    nodes: tuple[int, ...]
    leaves: tuple[tuple[int, Path], ...]


class _Division(NamedTuple):
    """The cheapest division of a subtree."""

    cost: float
    parts: list[tuple[int, int, Path]]  # kind, node, path above
    nodes: int
    families: frozenset[int]
    deepest: int  # families on the longest path


def divided(shape: Shape, families: Integers, limits: Limits = LIMITS) -> Iterator[list[Part]]:
    """The parts of each tree in turn, which together hold each of its leaves once.

    Parameters
    ----------
    shape : Shape
        The ensemble; nodes and leaves in the results count within all of it.
    families : ndarray of int64, shape (n_features,)
        Family of each feature.
    limits : Limits
        How large tables may become.
    """
    trees = _Trees(shape, families, limits)
    for tree in range(len(shape.node_start) - 1):
        root = 0 if shape.node_start[tree + 1] > shape.node_start[tree] else -1
        division = trees.divide(tree, root, (), frozenset(), True)
        yield [trees.part(tree, *part) for part in division.parts]


class _Trees:
    def __init__(self, shape: Shape, families: Integers, limits: Limits) -> None:
        self.limits = limits
        self.families = families[shape.feature].tolist()
        self.node_start, self.leaf_start = shape.node_start.tolist(), shape.leaf_start.tolist()
        self.left, self.right = shape.left.tolist(), shape.right.tolist()
        self.node_count, self.leaf_count = shape.node_count.tolist(), shape.leaf_count.tolist()

    def children(self, tree: int, node: int) -> Iterator[tuple[int, Step]]:
        first = self.node_start[tree]
        at = first + node
        for child, goes_left in ((self.left[at], True), (self.right[at], False)):
            if child >= 0:
                count = self.node_count[first + child]
            else:
                count = self.leaf_count[self.leaf_start[tree] - 1 - child]
            share = count / self.node_count[at]
            yield child, Step(at, self.families[at], goes_left, share)

    def divide(
        self, tree: int, node: int, path: Path, above: frozenset[int], seen: bool
    ) -> _Division:
        """`seen`: training rows went the whole path, so that its weights may divide."""
        if node < 0:
            kind, cost = self.keep(len(above), 0, 0, frozenset(), len(above), seen)
            if len(path) > WORD:
                kind = LONG
            return _Division(cost, [(kind, node, path)], 0, frozenset(), len(above))
        one, two = (
            self.divide(tree, child, (*path, step), above | {step.family}, seen and step.share > 0)
            for child, step in self.children(tree, node)
        )
        nodes = one.nodes + two.nodes + 1
        own = one.families | two.families | {self.families[self.node_start[tree] + node]}
        deepest = max(one.deepest, two.deepest)
        cost, parts = one.cost + two.cost, one.parts + two.parts
        if nodes <= self.limits.own and len(path) + nodes <= WORD:
            kind, whole = self.keep(len(above), nodes, len(above & own), own, deepest, seen)
            if kind != LONG and whole < cost:
                cost, parts = whole, [(kind, node, path)]
        return _Division(cost, parts, nodes, own, deepest)

    def keep(
        self, above: int, nodes: int, shared: int, own: frozenset[int], deepest: int, seen: bool
    ) -> tuple[int, float]:
        """The cheaper way to keep a part, and its cost; `LONG` where no table is possible."""
        width = above + len(own) - shared
        direct = joined = _NEVER
        if above + nodes <= self.limits.direct:
            numbers = (width + 1) << (above + nodes)
            direct = _FIXED + _CONDITION * above + _FAMILY * width + _BYTE * 8 * numbers
        apart = above - shared
        if seen and 0 < apart <= self.limits.above and shared + nodes <= self.limits.within:
            lanes = (deepest + 1) // 2
            numbers = (lanes << apart) + ((1 + lanes * (1 + len(own))) << (shared + nodes))
            products = (1 + 0.6 * apart + len(own)) * (_PRODUCT + _LANE * lanes)
            joined = _JOIN + _CONDITION * above + products + _BYTE * 8 * numbers
        if min(direct, joined) == _NEVER:
            return LONG, _JOIN + _LANE * deepest**2
        return (DIRECT, direct) if direct <= joined else (JOINED, joined)

    def part(self, tree: int, kind: int, node: int, path: Path) -> Part:
        nodes: list[int] = []
        leaves: list[tuple[int, Path]] = []
        stack: list[tuple[int, Path]] = [(node, ())]
        while stack:
            node, rest = stack.pop()
            if node < 0:
                leaves.append((self.leaf_start[tree] - 1 - node, rest))
                continue
            nodes.append(self.node_start[tree] + node)
            stack += [(child, (*rest, step)) for child, step in self.children(tree, node)]
        return Part(kind, path, tuple(nodes), tuple(leaves))
