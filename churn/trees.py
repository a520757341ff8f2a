"""LightGBM's trees as flat arrays: the margin and exact contributions of reason families.

The contributions are path-dependent Shapley values in which a family of features is one player, or
every feature is. They are read from tables (`churn.tree_tables`) that are made of the trees when
the first row is explained, once for families and once for features; a bundle does not hold them.

References
----------
Lundberg, Erion, Lee (2018), "Consistent individualized feature attribution for tree ensembles",
for the value function; Owen (1977) for players that are groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from churn import tree_kernel as kernel
from churn.compiled import HAS_NUMBA, Booleans, Floats, Integers
from churn.tree_block import explain_blocks
from churn.tree_checks import check
from churn.tree_dump import flatten
from churn.tree_program import Program, as_lists, program, ways

FEW = 8  # rows; from so many on, going through them together is faster


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
    _how: Integers = field(init=False, repr=False, compare=False)
    _programs: dict[str, Program] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "_how", ways(self.decision, self.threshold, self.default_left))
        object.__setattr__(self, "_programs", {})
        object.__setattr__(self, "expected_margin", _expected(self))

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
        X = _rows(X)
        out = np.empty(len(X), dtype=np.float64)
        kernel.margins(
            X, self.node_start, self.leaf_start, self.feature, self._how, self.threshold, self.left,
            self.right, self.leaf_value, self.set_start, self.set_words, out,
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
        return self._explain(X, self._program("families"), self.n_families)

    def explain_features(self, X: Floats) -> tuple[Floats, Floats]:
        """Log-odds of each row and what each feature contributes to them.

        As `explain`, with every feature a family of its own: what LightGBM's ``pred_contrib``
        gives. A family's contribution is not the sum of its features'.

        Returns
        -------
        margin : ndarray of float64, shape (n,)
            As `margin` gives it.
        contributions : ndarray of float64, shape (n, n_features)
            Log-odds; with `expected_margin` they sum to the margin.
        """
        return self._explain(X, self._program("features"), len(self.families))

    @property
    def program(self) -> Program:
        """What `churn.tree_kernel.explain_rows` reads beside the rows, for the families."""
        return self._program("families")

    def make_ready(self) -> None:
        """Fill the families' tables and compile every loop now, not when the first row comes."""
        for rows in (1, FEW):
            X = np.zeros((rows, len(self.families)), dtype=np.float64)
            self.explain(X)
            self.margin(X)

    def to_dict(self) -> dict[str, Any]:
        """Plain arrays for a bundle; `FlatTrees(**d)` restores them."""
        return {at.name: getattr(self, at.name) for at in fields(self) if at.init}

    def _explain(self, X: Floats, made: Program, players: int) -> tuple[Floats, Floats]:
        X = _rows(X)
        margin = np.empty(len(X), dtype=np.float64)
        contributions = np.zeros((len(X), players), dtype=np.float64)
        if not HAS_NUMBA:
            kernel.explain_rows(X.tolist(), *made, margin, contributions)
        elif len(X) < FEW:
            kernel.explain_rows(X, *made, margin, contributions)
        else:
            explain_blocks(X, *made, margin, contributions)
        return margin, contributions

    def _program(self, players: str) -> Program:
        # Two threads may both make it: they make the same.
        made = self._programs.get(players)
        if made is None:
            everyone = np.arange(len(self.families), dtype=np.int64)
            made = program(self, self._how, self.families if players == "families" else everyone)
            if not HAS_NUMBA:
                made = as_lists(made)
            self._programs[players] = made
        return made


def _rows(X: Floats) -> Floats:
    """The rows in the one form that the loops are compiled for: any other would take seconds."""
    X = np.ascontiguousarray(X, dtype=np.float64)
    return X if X.flags.writeable else X.copy()


def _expected(trees: FlatTrees) -> float:
    """The margin of the average training row."""
    left, right = trees.left.tolist(), trees.right.tolist()
    node_count, leaf_count = trees.node_count.tolist(), trees.leaf_count.tolist()
    leaf_value = trees.leaf_value.tolist()
    total = 0.0
    for first, end, leaf in zip(
        trees.node_start.tolist(), trees.node_start[1:].tolist(), trees.leaf_start.tolist(),
        strict=False,
    ):  # fmt: skip
        means = [0.0] * (end - first)
        for node in range(end - first - 1, -1, -1):  # children come after their parents
            for child in (left[first + node], right[first + node]):
                mean = means[child] if child >= 0 else leaf_value[leaf - 1 - child]
                count = node_count[first + child] if child >= 0 else leaf_count[leaf - 1 - child]
                means[node] += mean * (count / node_count[first + node])
        total += means[0] if means else leaf_value[leaf]
    return total
