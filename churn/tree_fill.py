"""Filling the tables of an ensemble's parts by quadrature; `churn.tree_tables` has the formulas."""

from functools import lru_cache

import numpy as np

from churn.compiled import Floats, Integers, compiled

NONE = -1  # a family that occurs within a part only has no bit above it

_PART_COLUMNS = 6
_TABLE, _WIDTH, _LANES, _ABOVE, _OWN, _LEAVES = range(_PART_COLUMNS)


class Leaves:
    """The leaves of each part, and what each family on a leaf's path depends on."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, ...]] = []
        self.values: list[float] = []
        self.starts = [0]
        self.entries: list[tuple[int, ...]] = []
        self.weights: list[float] = []

    def add(self, value: float, families: list[tuple[int, int, int, int, float]]) -> None:
        """Add a leaf.

        Parameters
        ----------
        value : float
            The leaf's value.
        families : list of (int, int, int, int, float)
            Each family's place in a line of the table; its bit above the part, or `NONE`; which
            of the part's own decisions it asks, and what they have to be; its weight.
        """
        self.values.append(value)
        for *entry, weight in families:
            self.entries.append(tuple(entry))
            self.weights.append(weight)
        self.starts.append(len(self.entries))

    def end(self, table: int, width: int, lanes: int, above: int, own: int) -> None:
        """End a part: where its table begins, its columns after the first, its index's bits."""
        self.parts.append((table, width, lanes, above, own, len(self.values)))


def fill(leaves: Leaves, table: Floats) -> None:
    """Add what the leaves give to the parts' tables.

    A line of a direct table (of no lanes) is the value of the leaf that is reached, or zero, and
    each family's contribution; of a joined one's inner table the value, the lanes of the product
    over (1 - t), and each family's lanes.
    """
    starts = np.array(leaves.starts, dtype=np.int64)
    parts = np.array(leaves.parts, dtype=np.int64).reshape(-1, _PART_COLUMNS)
    deepest = int(np.diff(starts).max(initial=0))
    most = max((deepest + 1) // 2, int(parts[:, _LANES].max(initial=0)), 1)
    rules = [np.stack(quadrature(lanes)) for lanes in range(1, most + 1)]
    _fill(
        parts,
        np.array(leaves.values, dtype=np.float64),
        starts,
        np.array(leaves.entries, dtype=np.int64).reshape(-1, 4),
        np.array(leaves.weights, dtype=np.float64),
        np.concatenate(rules, axis=1),
        np.empty((1 << deepest, most * (deepest + 1)), dtype=np.float64),
        np.empty((3, deepest + 1), dtype=np.float64),
        table,
    )


@lru_cache
def quadrature(lanes: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(lanes)
    return np.asarray((nodes + 1.0) / 2.0), np.asarray(weights / 2.0)


@compiled
def _fill(
    parts: Integers, values: Floats, starts: Integers, entries: Integers, weights: Floats,
    rules: Floats, given: Floats, scratch: Floats, table: Floats,
) -> None:  # fmt: skip
    leaf = 0
    for part in range(len(parts)):
        lanes, above = parts[part, _LANES], parts[part, _ABOVE]
        each = max(lanes, 1)
        while leaf < parts[part, _LEAVES]:
            first = starts[leaf]
            d = starts[leaf + 1] - first
            for mask in range(1 << d):
                _give(
                    mask, d, lanes, values[leaf], weights[first : first + d], rules, scratch,
                    given[mask],
                )  # fmt: skip
            for index in range(1 << (parts[part, _OWN] + above)):
                mask = 0
                for i in range(d):
                    bit = entries[first + i, 1]
                    holds = ((index >> above) & entries[first + i, 2]) == entries[first + i, 3]
                    if bit != NONE and (index >> bit) & 1 == 0:
                        holds = False
                    mask |= int(holds) << i
                at = parts[part, _TABLE] + index * (1 + parts[part, _WIDTH])
                if mask == (1 << d) - 1:
                    table[at] += values[leaf]
                at += 1
                for q in range(lanes):
                    table[at + q] += given[mask, q]
                for i in range(d):
                    to = at + lanes + each * entries[first + i, 0]
                    for q in range(each):
                        table[to + q] += given[mask, lanes + each * i + q]
            leaf += 1


@compiled
def _give(
    mask: int, d: int, lanes: int, value: float, weights: Floats, rules: Floats, scratch: Floats,
    given: Floats,
) -> None:  # fmt: skip
    """What a leaf gives to its d families when those of the mask are satisfied."""
    difference, factor, before = scratch[0], scratch[1], scratch[2]
    nodes = lanes if lanes else (d + 1) // 2
    rule = nodes * (nodes - 1) // 2  # the rules of fewer nodes come first
    given[: (lanes + max(lanes, 1) * d)] = 0.0
    for i in range(d):
        difference[i] = ((mask >> i) & 1) - weights[i]
    for q in range(nodes):
        t = rules[0, rule + q]
        before[0] = value * rules[1, rule + q]
        for i in range(d):
            factor[i] = (1.0 - t) * weights[i] + (t if (mask >> i) & 1 else 0.0)
            before[i + 1] = before[i] * factor[i]
        if lanes:
            given[q] = before[d] / (1.0 - t)
        after = 1.0
        for i in range(d - 1, -1, -1):
            to = lanes * (i + 1) + q if lanes else i
            given[to] += before[i] * after * difference[i]
            after *= factor[i]
