"""The canonical order of a bucket's events: that of `churn.events.canonical`, customer by customer.

Customer, time and kind decide between almost all events, and as whole numbers they are sorted fast;
only what they leave tied, such as the lines of one order, is compared by everything else.
"""

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
    group = np.cumsum(~same[tied])
    for name in FIELDS[2:]:
        if len(tied) == 0:
            break
        if name in rows.column_names:
            key = _key(rows.column(name).take(pa.array(order[tied])), name)
            if not _differs(key, group).any():
                continue
            by_key = np.lexsort([key, group])
            order[tied] = order[tied][by_key]
            apart = np.r_[True, _differs(key[by_key], group) | (group[1:] != group[:-1]), True]
            left = ~(apart[1:] & apart[:-1])
            tied, group = tied[left], np.cumsum(apart[:-1])[left]
    return order


def _key(column: pa.ChunkedArray, name: str) -> NDArray[np.float64] | NDArray[np.int64]:
    """Return a field as numbers in its own order, what is missing first."""
    if name in IDENTIFIERS:
        coded = column.combine_chunks().dictionary_encode()
        ascending = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank = np.full(len(ascending) + 1, -1, dtype=np.int64)  # the last entry is that of -1
        rank[ascending] = np.arange(len(ascending))
        ranks: NDArray[np.int64] = rank[coded.indices.fill_null(-1).to_numpy()]
        return ranks
    # No event holds an infinite number, so nothing lies before what is missing.
    lowest = -np.inf if column.type == pa.float64() else -1
    numbers: NDArray[np.float64] | NDArray[np.int64] = column.fill_null(lowest).to_numpy()
    return numbers


def _differs(
    key: NDArray[np.float64] | NDArray[np.int64], group: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each entry but the first differs from the one before it in its group."""
    return np.asarray((key[1:] != key[:-1]) & (group[1:] == group[:-1]))
