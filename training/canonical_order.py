"""The canonical order of a bucket's events: that of `churn.events.canonical`, customer by customer.

Customer, time and kind decide between almost all events, and as whole numbers they are sorted fast;
only what they leave tied, such as the lines of one order, is compared by everything else.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn.events import KIND_CODES

FIELDS = (
    "occurred_at", "kind_code", "order_id", "amount", "value", "quantity", "discount", "category",
    "case_id", "channel", "event_id", "known_at",
)  # fmt: skip
CONTENT = FIELDS[:10]
IDENTIFIERS = frozenset({"customer_id", "order_id", "category", "case_id", "channel", "event_id"})
_KINDS = 1 << (len(KIND_CODES) - 1).bit_length()


def canonical_order(rows: pa.Table, customer: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the positions of the rows in canonical order, shape (n,).

    Parameters
    ----------
    rows : Table
        Typed events; missing values come first, texts are compared by their UTF-8 bytes.
    customer : ndarray of int32, shape (n,)
        Rank of each row's customer.
    """
    moment = rows.column("occurred_at").to_numpy() * _KINDS + rows.column("kind_code").to_numpy()
    order = np.argsort(moment)
    # Sixteen bits are sorted by counting, in linear time.
    small = customer.max(initial=0) < 2**16
    order = order[
        np.argsort((customer.astype(np.uint16) if small else customer)[order], kind="stable")
    ]
    same = np.zeros(len(order) + 1, dtype=bool)
    same[1:-1] = (moment[order[1:]] == moment[order[:-1]]) & (
        customer[order[1:]] == customer[order[:-1]]
    )
    tied = np.flatnonzero(same[1:] | same[:-1])
    if len(tied):
        group = np.cumsum(~same[tied])
        keys = [key for key in _keys(rows.take(pa.array(order[tied]))) if _decides(key, group)]
        if keys:
            order[tied] = order[tied][np.lexsort([*reversed(keys), group])]
    return order


def _keys(rows: pa.Table) -> Iterator[NDArray[np.float64] | NDArray[np.int64]]:
    """Each field after the kind as numbers in its own order, what is missing first."""
    for name in FIELDS[2:]:
        if name not in rows.column_names:
            continue
        column = rows.column(name).combine_chunks()
        if name in IDENTIFIERS:
            coded = column.dictionary_encode()
            ascending = pc.array_sort_indices(coded.dictionary).to_numpy()
            rank = np.full(len(ascending) + 1, -1, dtype=np.int64)
            rank[ascending] = np.arange(len(ascending))
            yield rank[coded.indices.fill_null(-1).to_numpy()]
        else:
            # No event holds an infinite number, so nothing lies before what is missing.
            yield column.fill_null(-np.inf if column.type == pa.float64() else -1).to_numpy()


def _decides(key: NDArray[np.float64] | NDArray[np.int64], group: NDArray[np.int64]) -> bool:
    return bool(((key[1:] != key[:-1]) & (group[1:] == group[:-1])).any())
