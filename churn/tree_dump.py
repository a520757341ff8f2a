"""From what LightGBM tells of a booster (`Booster.dump_model`) to flat arrays."""

from typing import Any

import numpy as np

from churn.errors import BundleUnsupported

MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
_MISSING_TYPES = {"None": MISSING_NONE, "Zero": MISSING_ZERO, "NaN": MISSING_NAN}
COLUMNS: dict[str, type] = {
    "feature": np.int64,
    "missing_type": np.int64,
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
    node_start, leaf_start = [0], [0]
    for tree in dump["tree_info"]:
        _visit(tree["tree_structure"], columns, node_start[-1], leaf_start[-1])
        node_start.append(len(columns["feature"]))
        leaf_start.append(len(columns["leaf_value"]))
    return {
        "node_start": np.array(node_start, dtype=np.int64),
        "leaf_start": np.array(leaf_start, dtype=np.int64),
    } | {name: np.array(columns[name], dtype=dtype) for name, dtype in COLUMNS.items()}


def _visit(
    part: dict[str, Any], columns: dict[str, list[Any]], node_base: int, leaf_base: int
) -> int:
    """Append a subtree, each node before its children; return how its parent names it."""
    if "split_index" not in part:
        if "leaf_const" in part:
            raise BundleUnsupported("the booster has linear trees; train without linear_tree")
        columns["leaf_count"].append(part.get("leaf_count", 1))
        columns["leaf_value"].append(part["leaf_value"])
        return leaf_base - len(columns["leaf_value"])
    if part["decision_type"] != "<=":
        raise BundleUnsupported(
            "the booster has categorical splits, which this version cannot explain; "
            "encode categories as numbers before training"
        )
    at = len(columns["feature"])
    columns["feature"].append(part["split_feature"])
    columns["missing_type"].append(_MISSING_TYPES[part["missing_type"]])
    columns["threshold"].append(part["threshold"])
    columns["default_left"].append(part["default_left"])
    columns["node_count"].append(part["internal_count"])
    columns["left"].append(0)
    columns["right"].append(0)
    columns["left"][at] = _visit(part["left_child"], columns, node_base, leaf_base)
    columns["right"][at] = _visit(part["right_child"], columns, node_base, leaf_base)
    return at - node_base
