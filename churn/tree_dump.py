"""From what LightGBM tells of a booster (`Booster.dump_model`) to flat arrays."""

from typing import Any

import numpy as np

from churn.compiled import Integers
from churn.errors import BundleUnsupported

# How a node decides: by a threshold with nothing, zero or NaN missing, or by a set of codes.
UP_TO, UP_TO_ZERO_MISSING, UP_TO_NAN_MISSING, ONE_OF = 0, 1, 2, 3
_UP_TO = {"None": UP_TO, "Zero": UP_TO_ZERO_MISSING, "NaN": UP_TO_NAN_MISSING}
BITS = 64  # codes in a word of a set
COLUMNS: dict[str, type] = {
    "feature": np.int64,
    "decision": np.int64,
    "threshold": np.float64,
    "default_left": np.bool_,
    "left": np.int64,
    "right": np.int64,
    "node_count": np.float64,
    "leaf_count": np.float64,
    "leaf_value": np.float64,
}


def flatten(dump: dict[str, Any]) -> dict[str, Any]:
    """The arrays of `churn.trees.FlatTrees`, but for the families.

    Raises
    ------
    BundleUnsupported
        As `FlatTrees.from_booster`.
    """
    if dump["num_tree_per_iteration"] != 1:
        raise BundleUnsupported("the booster has several classes; train a binary objective")
    if dump["average_output"]:
        raise BundleUnsupported("the booster averages its trees; train with boosting gbdt")
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    sets: list[Integers] = []
    node_start, leaf_start = [0], [0]
    for tree in dump["tree_info"]:
        _visit(tree["tree_structure"], columns, sets, node_start[-1], leaf_start[-1])
        node_start.append(len(columns["feature"]))
        leaf_start.append(len(columns["leaf_value"]))
    return {
        "node_start": np.array(node_start, dtype=np.int64),
        "leaf_start": np.array(leaf_start, dtype=np.int64),
        "set_start": np.cumsum([0, *map(len, sets)], dtype=np.int64),
        "set_words": np.concatenate([np.empty(0, dtype=np.int64), *sets]),
    } | {name: np.array(columns[name], dtype=dtype) for name, dtype in COLUMNS.items()}


def _visit(
    part: dict[str, Any],
    columns: dict[str, list[Any]],
    sets: list[Integers],
    node_base: int,
    leaf_base: int,
) -> int:
    """Append a subtree, each node before its children; return how its parent names it."""
    if "split_index" not in part:
        if "leaf_const" in part:
            raise BundleUnsupported("the booster has linear trees; train without linear_tree")
        columns["leaf_count"].append(part.get("leaf_count", 1))
        columns["leaf_value"].append(part["leaf_value"])
        return leaf_base - len(columns["leaf_value"])
    at = len(columns["feature"])
    columns["feature"].append(part["split_feature"])
    if part["decision_type"] == "==":
        columns["decision"].append(ONE_OF)
        columns["threshold"].append(len(sets))
        sets.append(_words(part["threshold"]))
    else:
        columns["decision"].append(_UP_TO[part["missing_type"]])
        # A split of the missing from all others has an infinite threshold, which the dump writes
        # as this number.
        infinite = part["threshold"] >= 1e300
        columns["threshold"].append(np.inf if infinite else part["threshold"])
    columns["default_left"].append(part["default_left"])
    columns["node_count"].append(part["internal_count"])
    columns["left"].append(0)
    columns["right"].append(0)
    columns["left"][at] = _visit(part["left_child"], columns, sets, node_base, leaf_base)
    columns["right"][at] = _visit(part["right_child"], columns, sets, node_base, leaf_base)
    return at - node_base


def _words(codes: str) -> Integers:
    """The set of codes "a||b||c" as bits: code c is bit ``c % BITS`` of word ``c // BITS``."""
    numbers = np.array([int(code) for code in codes.split("||") if code], dtype=np.int64)
    words = np.zeros(int(numbers.max(initial=0)) // BITS + 1, dtype=np.uint64)
    np.bitwise_or.at(words, numbers // BITS, np.uint64(1) << (numbers % BITS).astype(np.uint64))
    return words.view(np.int64)
