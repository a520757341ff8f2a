"""What each part of a tree gives to each family, kept so that a row has little left to compute.

On the path to a leaf a family is either satisfied by a row or not, so the leaf's contributions
depend only on which of the path's families are satisfied. With s_i = 1 if the row satisfies family
i (else 0) and w_i the share of training rows that do, the Shapley value of family i in a leaf of
value v is

    v (s_i - w_i) * integral over t in [0, 1] of the product over j != i of (t s_j + (1 - t) w_j)

whose integrand is a polynomial in t: Gauss-Legendre quadrature with half as many nodes as there
are families is exact.

A *direct* table holds the sums of these over the leaves of a part (`churn.tree_parts`), for every
combination of its own decisions and of the families above it. A *joined* part has two smaller
tables of the product's value at each node of the quadrature (a lane): of the families that occur
above only, and of what is within; a row multiplies the two. The former families need no lanes of
their own: with E(S) the integral of the whole product over (1 - t) for a set S of satisfied
families,

    contribution of i = -E(S) if i is not in S, (1 - w_i) / w_i * E(S without i) if it is.

References
----------
Owen (1972), "Multilinear extensions of games", for the integral.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from churn.compiled import Floats, Integers, Unsigned
from churn.errors import BundleUnsupported
from churn.tree_fill import NONE, Leaves, fill, quadrature
from churn.tree_layout import FIRST, LAST
from churn.tree_parts import DIRECT, LIMITS, LONG, WORD, Limits, Part, Path, Shape, divided

MOST_NUMBERS = 20_000_000
"""Of all tables together: 160 MB. 300 trees of 31 leaves need a million or so."""


class Tables(NamedTuple):
    """An ensemble divided into parts; several columns are written one line after another.

    Attributes
    ----------
    node : ndarray of int64, shape (n_decisions,)
        Split that each decision asks. Decisions come in groups of a tree that fit one word: group
        g's k-th is bit k of its word. Those of long leaves are in no word and come last.
    groups : ndarray of uint64, shape (n_groups + 1,)
        Group g's first decision; the last ends the last.
    runs : ndarray of uint64, 10 columns
        Parts that are alike: their kind; how many families are above and not within, above and
        within, in all; lanes; own splits; first part, and the one after the last; first condition;
        first slot.
    parts : ndarray of uint64, 4 columns
        Group of a part; lowest bit of its own decisions; where its two tables begin.
    conditions : ndarray of uint64, 2 columns
        For each family above a part, the bits of the word that speak for it and what they have
        to be.
    slots : ndarray of uint64
        The families of each part: those above and not within, above and within, within only.
    long : ndarray of uint64, 7 columns
        Group of a long leaf; its edges from and to; first slot; how many families; lanes; where
        its numbers begin in the table (value, weights, quadrature).
    edges : ndarray of uint64, 3 columns
        Of long leaves: decision, place of its family among the slots, whether it has to go left.
    table : ndarray of float64
        All tables.
    """

    node: Integers
    groups: Unsigned
    runs: Unsigned
    parts: Unsigned
    conditions: Unsigned
    slots: Unsigned
    long: Unsigned
    edges: Unsigned
    table: Floats


def tabulate(shape: Shape, families: Integers, limits: Limits = LIMITS) -> Tables:
    """Divide an ensemble into parts and fill their tables.

    Parameters
    ----------
    shape : Shape
        The ensemble.
    families : ndarray of int64, shape (n_features,)
        Family of each feature.
    limits : Limits
        How large tables may become.

    Raises
    ------
    BundleUnsupported
        All tables together would be too large.
    """
    writer = _Writer(shape.leaf_value.tolist())
    for parts in divided(shape, families, limits):
        writer.tree(parts)
    return writer.tables()


class _Kept(NamedTuple):
    """A part with a table: what its run has in common, then its own."""

    alike: tuple[int, ...]  # the first columns of `Tables.runs`
    place: tuple[int, ...]  # as in `Tables.parts`
    conditions: list[tuple[int, int]]
    slots: list[int]


class _Writer:
    def __init__(self, leaf_value: list[float]) -> None:
        self.leaf_value = leaf_value
        self.node: list[int] = []
        self.groups: list[int] = []
        self.position: dict[int, int] = {}  # bit of each split of the current group
        self.kept: list[_Kept] = []
        self.long_leaves: list[tuple[int, Part]] = []
        self.leaves = Leaves()
        self.size = 0
        self.known: list[tuple[int, list[float]]] = []  # places of the table and their numbers

    def tree(self, parts: list[Part]) -> None:
        """Add a tree's parts, in as few groups as their decisions need."""
        self.group()
        for part in parts:
            if part.kind == LONG:
                self.long_leaves.append((len(self.groups) - 1, part))
                continue
            asked = {step.node for step in part.above}.union(part.nodes)
            if len(asked.union(self.position)) > WORD:
                self.group()
            self.part(part)

    def group(self) -> None:
        """Begin a word of decisions."""
        self.groups.append(len(self.node))
        self.position = {}

    def part(self, part: Part) -> None:
        """Add a part with a table, and its decisions to the word."""
        shift = len(self.position)  # its own splits are new here, and take the next bits
        for node in (*part.nodes, *(step.node for step in part.above)):
            if node not in self.position:
                self.position[node] = len(self.position)
                self.node.append(node)
        above = weights(part.above)
        own = dict.fromkeys(step.family for _, rest in part.leaves for step in rest)
        # A direct table's index has every family above, as a joined part's has the shared ones.
        apart = [f for f in above if f not in own and part.kind != DIRECT]
        shared = [f for f in above if f not in apart]
        slots = [*apart, *shared, *(f for f in own if f not in above)]
        deepest = 0
        for leaf, rest in part.leaves:
            whole = weights((*part.above, *rest))
            deepest = max(deepest, len(whole))
            entries = []
            for family, weight in whole.items():
                if family not in apart:
                    place = slots.index(family) - len(apart)
                    mask, word = self.condition(rest, family)
                    bit = place if family in above else NONE
                    entries.append((place, bit, mask >> shift, word >> shift, weight))
            self.leaves.add(self.leaf_value[leaf], entries)
        lanes = 0 if part.kind == DIRECT else (deepest + 1) // 2
        alike = (part.kind, len(apart), len(shared), len(slots), lanes, len(part.nodes))
        width = len(slots) - len(apart)
        width = lanes * (1 + width) if lanes else width
        self.leaves.end(self.size, width, lanes, len(shared), len(part.nodes))
        table = self.size
        self.size += (1 + width) << (len(shared) + len(part.nodes))
        top = self.size
        if apart:
            self.keep([(1.0 - above[family]) / above[family] for family in apart])
            self.keep(_products([above[family] for family in apart], lanes))
        where = (len(self.groups) - 1, shift, table, top)
        if self.size > MOST_NUMBERS:
            raise BundleUnsupported(
                f"the model's trees need tables of more than {MOST_NUMBERS:,} numbers to be "
                "explained; train fewer or smaller trees"
            )
        conditions = [self.condition(part.above, family) for family in apart + shared]
        self.kept.append(_Kept(alike, where, conditions, slots))

    def condition(self, path: Path, family: int) -> tuple[int, int]:
        """The bits of the word that a family's steps ask, and what they have to be."""
        mask = word = 0
        for step in path:
            if step.family == family:
                mask |= 1 << self.position[step.node]
                word |= int(step.goes_left) << self.position[step.node]
        return mask, word

    def keep(self, numbers: list[float]) -> None:
        """Append numbers to the table."""
        self.known.append((self.size, numbers))
        self.size += len(numbers)

    def tables(self) -> Tables:
        """Everything as arrays."""
        groups = [*self.groups, len(self.node)]
        # Parts that are alike one after another: loops of one length are well predicted.
        kept = sorted(self.kept, key=lambda part: part.alike)
        runs: list[list[int]] = []
        slots: list[int] = []
        conditions: list[tuple[int, int]] = []
        for at, part in enumerate(kept):
            if not runs or tuple(runs[-1][:FIRST]) != part.alike:
                runs.append([*part.alike, at, at, len(conditions), len(slots)])
            runs[-1][LAST] = at + 1
            slots += part.slots
            conditions += part.conditions
        long, edges = self.long(slots)
        table = np.zeros(self.size, dtype=np.float64)
        for start, numbers in self.known:
            table[start : start + len(numbers)] = numbers
        fill(self.leaves, table)
        return Tables(
            node=np.array(self.node, dtype=np.int64),
            groups=_flat(groups),
            runs=_flat(runs),
            parts=_flat([part.place for part in kept]),
            conditions=_flat(conditions),
            slots=_flat(slots),
            long=_flat(long),
            edges=_flat(edges),
            table=table,
        )

    def long(self, slots: list[int]) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Lines and edges of the long leaves, whose families are appended to the slots."""
        lines: list[tuple[int, ...]] = []
        edges: list[tuple[int, ...]] = []
        for group, part in self.long_leaves:
            ((leaf, _),) = part.leaves
            known = weights(part.above)
            families = list(known)
            lanes = (len(families) + 1) // 2
            first = len(edges)
            for step in part.above:
                edges.append((len(self.node), families.index(step.family), step.goes_left))
                self.node.append(step.node)
            lines.append((group, first, len(edges), len(slots), len(families), lanes, self.size))
            slots += families
            nodes, node_weights = quadrature(lanes)
            self.keep([self.leaf_value[leaf], *known.values(), *nodes, *node_weights])
        return lines, edges


def weights(path: Path) -> dict[int, float]:
    """The share of training rows that each family on a path lets through."""
    found: dict[int, float] = {}
    for step in path:
        found[step.family] = found.get(step.family, 1.0) * step.share
    return found


def _products(known: list[float], lanes: int) -> list[float]:
    """The product of families of these weights: a line of lanes for each set of satisfied ones."""
    nodes, _ = quadrature(lanes)
    lines = np.ones((1, lanes))
    for weight in known:
        failed = (1.0 - nodes) * weight
        lines = np.concatenate([lines * failed, lines * (nodes + failed)])
    flat: list[float] = lines.ravel().tolist()
    return flat


def _flat(lines: Sequence[int] | Sequence[Sequence[int]]) -> Unsigned:
    return np.array(lines, dtype=np.uint64).ravel()
