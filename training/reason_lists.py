"""Reasons of many customers as a column of lists, for the file of scores."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn.compiled import Floats, Integers
from churn.reasons_by_column import ManyReasons

REASON = pa.struct(
    [
        ("code", pa.string()),
        ("family", pa.string()),
        ("contribution", pa.float64()),
        ("share", pa.float64()),
        ("feature", pa.string()),
        ("value", pa.float64()),
        ("norm", pa.float64()),
        ("category", pa.string()),
        ("usual_category", pa.string()),
        ("controllable", pa.bool_()),
        ("text", pa.string()),
    ]
)
"""A reason as in `churn.reasons.Reason`; a category stands apart, for a column has one type."""


def listed(many: ManyReasons, families: Sequence[str]) -> pa.Array:
    """Each customer's reasons as a list of `REASON`.

    Parameters
    ----------
    many : ManyReasons
        Of n customers.
    families : sequence of str
        The schema's.
    """
    clues = many.clues
    is_named = np.array([clue.column is not None and clue.column.kind == "categorical"
                         for clue in clues], dtype=np.bool_)[many.clue]  # fmt: skip
    fields = [
        _named([clue.code for clue in clues], many.clue),
        _named([str(family) for family in families], many.family),
        pa.array(many.contribution),
        pa.array(many.share),
        _named([clue.feature for clue in clues], many.clue),
        pa.array(many.value, mask=is_named | np.isnan(many.value)),
        pa.array(many.norm, mask=is_named | np.isnan(many.norm)),
        _categories(many, many.value),
        _categories(many, many.norm),
        pa.array(np.array([clue.controllable for clue in clues], dtype=np.bool_)[many.clue]),
        pa.array(many.text, pa.string()),
    ]
    reasons = pa.StructArray.from_arrays(fields, fields=list(REASON))
    offsets = pa.array(np.concatenate([[0], np.cumsum(many.counts)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, reasons, type=pa.list_(REASON))


def _named(names: list[str], at: Integers) -> pa.Array:
    return pc.take(pa.array(names, pa.string()), pa.array(at))


def _categories(many: ManyReasons, codes: Floats) -> pa.Array:
    """Names of the categories among the numbers, null elsewhere."""
    names = np.full(len(codes), None, dtype=object)
    for at, clue in enumerate(many.clues):
        if clue.column is not None and clue.column.kind == "categorical":
            here = np.flatnonzero(many.clue == at)
            known, whose = np.unique(codes[here], return_inverse=True)
            decoded = np.array([clue.column.decode(code) for code in known], dtype=object)
            names[here] = decoded[whose]
    return pa.array(names, pa.string())
