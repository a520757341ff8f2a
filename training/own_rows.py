"""Columns of the user's own, joined to any customer and date as they were known then.

A score as of a date uses the latest row that was known strictly before it, whole: what that row
leaves empty is missing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn.columns import Column
from churn.compiled import Floats, Integers, compiled
from training.own_columns import recoded
from training.own_report import OwnReport


@dataclass(frozen=True, slots=True)
class OwnRows:
    """The rows of the user's own columns, ready to be joined.

    Attributes
    ----------
    columns : tuple of Column
        What they are, with every category of the rows and its code.
    report : OwnReport
        What the query gave, for people.
    digest : bytes
        SHA-256 of the accepted rows, the same whatever order they came in.
    """

    columns: tuple[Column, ...]
    report: OwnReport
    digest: bytes
    folder: Path

    def joined(
        self, k: int, customer_ids: NDArray[np.object_], customers: Integers, as_ofs: Integers
    ) -> Floats:
        """Each pair's latest row known before `as_of`.

        Parameters
        ----------
        k : int
            The bucket that the customers lie in.
        customer_ids : ndarray of object
            Identifiers of the bucket's customers.
        customers, as_ofs : ndarray of int64, shape (n,)
            Position among them; microseconds since 1970-01-01 UTC.

        Returns
        -------
        ndarray of float64, shape (n, n_columns)
            As in `columns`; NaN where nothing is known.
        """
        with pa.memory_map(str(own_path(self.folder, k))) as source:
            table = pa.ipc.open_file(source).read_all()
            who = table.column("customer_id").combine_chunks()
            owner = pc.index_in(pa.array(customer_ids, pa.string()), who.dictionary)
            known_at = table.column("known_at").to_numpy()
            numbers = [table.column(f"own_{at}").to_numpy() for at in range(len(self.columns))]
            offsets = np.searchsorted(who.indices.to_numpy(), np.arange(len(who.dictionary) + 1))
            latest = np.empty(len(customers), dtype=np.int64)
            owner_of = owner.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
            _latest(known_at, offsets.astype(np.int64), owner_of, customers, as_ofs, latest)
            found = latest >= 0
            out = np.full((len(customers), len(self.columns)), np.nan)
            for at, column in enumerate(numbers):
                out[found, at] = column[latest[found]]
        return out

    def recoded(self, joined: Floats, columns: tuple[Column, ...]) -> Floats:
        """What `joined` gave, in a model's columns and codes; NaN for a column that is not here.

        Raises
        ------
        DataError
            A column is a number here and has categories in the model, or the reverse.
        """
        return recoded(joined, self.columns, columns, "features")


def own_path(folder: Path, k: int) -> Path:
    """Where the rows of bucket `k` lie."""
    return folder / f"{k:03d}.arrow"


@compiled
def _latest(
    known_at: Integers, offsets: Integers, owner: Integers, customers: Integers,
    as_ofs: Integers, out: Integers,
) -> None:  # fmt: skip
    """The position of each pair's last row with ``known_at < as_of``, -1 where there is none."""
    for row in range(len(out)):
        out[row] = -1
        own = owner[customers[row]]
        if own < 0:
            continue
        first = offsets[own]
        low = first
        high = offsets[own + 1]
        while low < high:
            middle = (low + high) // 2
            if known_at[middle] < as_ofs[row]:
                low = middle + 1
            else:
                high = middle
        if low > first:
            out[row] = low - 1
