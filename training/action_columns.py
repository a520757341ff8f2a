"""Suggestions of many customers as columns, for the file of scores."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.policy.advise_many import NO_DATE, ManyActions
from churn.policy.policy import SITUATIONS

OPTION = pa.struct(
    [
        ("code", pa.string()),
        ("expected_value", pa.float64()),
        ("lower_bound", pa.float64()),
        ("cost", pa.float64()),
    ]
)
FIELDS = [
    ("action", pa.string()),
    ("action_channel", pa.string()),
    ("act_by", pa.date32()),
    ("action_expected_value", pa.float64()),
    ("action_lower_bound", pa.float64()),
    ("action_cost", pa.float64()),
    ("holdout", pa.bool_()),
    ("explored", pa.bool_()),
    ("propensity", pa.float64()),
    ("situation", pa.string()),
    ("action_why", pa.string()),
    ("action_alternatives", pa.list_(OPTION)),
]
"""As in `churn.policy.action.Action`; null for whom nothing is suggested, not even none."""


def action_columns(many: ManyActions, why: NDArray[np.object_]) -> dict[str, pa.Array]:
    """The columns of `FIELDS`; `why` has the sentences."""
    none = many.code < 0
    at = np.maximum(many.code, 0)
    undated = many.act_by == NO_DATE
    days = np.where(undated, 0, many.act_by).astype(np.int32)
    arrays = [
        _named(many.codes, at, none),
        _named(many.channels, at, none),
        pa.array(days, mask=undated).cast(pa.date32()),
        pa.array(many.expected_value, from_pandas=True),
        pa.array(many.lower_bound, from_pandas=True),
        pa.array(many.cost, from_pandas=True),
        pa.array(many.holdout, mask=none),
        pa.array(many.explored, mask=none),
        pa.array(many.propensity, from_pandas=True),
        _named(SITUATIONS, np.maximum(many.situation, 0), none),
        pa.array(why, pa.string()),
        _alternatives(many, none),
    ]
    return {name: array for (name, _), array in zip(FIELDS, arrays, strict=True)}


def _alternatives(many: ManyActions, none: np.ndarray) -> pa.Array:
    others = many.alternatives
    assert others is not None
    columns = [
        pa.array(many.codes, pa.string()).take(pa.array(others.code)),
        pa.array(others.expected_value, from_pandas=True),
        pa.array(others.lower_bound, from_pandas=True),
        pa.array(others.cost, from_pandas=True),
    ]
    options = pa.StructArray.from_arrays(columns, fields=list(OPTION))
    offsets = np.concatenate([[0], np.cumsum(others.counts)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), options, mask=pa.array(none))


def _named(names: tuple[str, ...], at: np.ndarray, none: np.ndarray) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(at.astype(np.int64), mask=none))
