"""How far the customers who are scored have moved from those whom the model was made for.

The population stability index (PSI) of a column compares the shares of customers in its bins, then
and now: the sum of (now - then) * log(now / then). Chance alone gives a PSI above nothing, the more
the fewer the customers, so what chance is expected to give is taken off: what is left is about the
same for a hundred customers as for a million, and can be held against one limit.

References
----------
Yurdakul (2018), "Statistical properties of population stability index": under no shift the index
is about (bins - 1) (1 / then + 1 / now) on average.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Floats, Integers
from churn.errors import BundleCorrupt
from churn.manifest import Bins, DriftEntry
from churn.schema import Schema

PROBABILITY = "churn_probability"
_LESS_THAN_ONE = 0.5
_BLOCK = 256  # rows that stay in the nearest cache: a third of the time of 5,000 at once


class Sorting(NamedTuple):
    """Where a column's values go: by edges, or by the codes of categories.

    A number's bin is how many edges lie below it. A category's bin is its place among `codes`, the
    last one that of all others.
    """

    edges: tuple[float, ...] = ()
    codes: tuple[float, ...] | None = None

    @property
    def n_bins(self) -> int:
        """Bins, the missing aside."""
        return 1 + len(self.edges if self.codes is None else self.codes)


class Binning:
    """Sorts customers into bins, column by column.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    sortings : mapping of str to Sorting
        Of the input columns that are looked at.
    probability : Sorting
        Of the probability.

    Attributes
    ----------
    names : tuple of str
        The columns that are looked at.
    shape : (int, int)
        Of the counts: columns and the probability, bins and the missing.
    """

    def __init__(
        self, schema: Schema, sortings: Mapping[str, Sorting], probability: Sorting
    ) -> None:
        self.names = tuple(sortings)
        self._schema = schema
        self._columns = np.array([schema.position[name] for name in sortings], dtype=np.int64)
        every = [*sortings.values(), probability]
        self._n_bins = np.array([sorting.n_bins for sorting in every])
        width = int(self._n_bins.max()) + 1
        self._edges = np.full((max(len(sorting.edges) for sorting in every), len(every)), np.inf)
        for at, sorting in enumerate(every):
            self._edges[: len(sorting.edges), at] = sorting.edges
        self._coded = {
            at: np.array(sorting.codes)
            for at, sorting in enumerate(every)
            if sorting.codes is not None
        }
        self._starts = np.arange(len(every)) * width
        self.shape = (len(every), width)

    @property
    def exists(self) -> Booleans:
        """Which bins there are, shape (n_columns + 1, width)."""
        inside = np.arange(self.shape[1]) < self._n_bins[:, None]
        inside[:, -1] = True
        return inside

    def count(self, X: Floats, probability: Floats) -> Integers:
        """How many customers are in each bin.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns, as the model read them.
        probability : ndarray of float64, shape (n,)
            Theirs.

        Returns
        -------
        ndarray of int64, shape (n_columns + 1, width)
            A line for each column and one for the probability; the last bin is of the missing.
        """
        counts = np.zeros(self.shape, dtype=np.int64)
        for start in range(0, len(X), _BLOCK):
            block = slice(start, start + _BLOCK)
            counts += self._count(self._schema.settled(X[block]), probability[block])
        return counts

    def _count(self, X: Floats, probability: Floats) -> Integers:
        n_lines, width = self.shape
        values = np.empty((len(X), n_lines))
        np.take(X, self._columns, axis=1, out=values[:, :-1])
        values[:, -1] = probability
        place = np.zeros(values.shape, dtype=np.uint8)
        for edges in self._edges:
            place += (values > edges).view(np.uint8)
        for at, codes in self._coded.items():
            if len(codes):  # else there is but one bin: of others
                is_one = values[:, at, None] == codes
                place[:, at] = np.where(is_one.any(axis=1), is_one.argmax(axis=1), len(codes))
        place[np.isnan(values)] = width - 1
        flat = np.bincount((place + self._starts).ravel(), minlength=n_lines * width)
        return flat.reshape(self.shape)


class Reference:
    """The customers whom a model was made for, as a bundle tells of them.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    entry : DriftEntry
        Of the manifest.

    Attributes
    ----------
    binning : Binning
        Sorts others into the same bins.

    Raises
    ------
    BundleCorrupt
        The bins are of columns that the model does not have, or of another kind.
    """

    def __init__(self, schema: Schema, entry: DriftEntry) -> None:
        sortings = {name: _sorting(schema, name, bins) for name, bins in entry.features.items()}
        self.binning = Binning(schema, sortings, Sorting(tuple(entry.probability.edges)))
        self._counts = np.zeros_like(self.binning.exists, dtype=np.int64)
        for at, bins in enumerate([*entry.features.values(), entry.probability]):
            self._counts[at, : len(bins.counts)] = bins.counts
            self._counts[at, -1] = bins.missing

    def drift(self, counts: Integers) -> dict[str, float]:
        """PSI beyond chance of each column, and of the probability as `PROBABILITY`.

        Parameters
        ----------
        counts : ndarray of int64
            Of the customers now, as `Binning.count` gives them; at least one.
        """
        found = psi_beyond_chance(self._counts, counts, self.binning.exists)
        return dict(zip([*self.binning.names, PROBABILITY], found.tolist(), strict=True))


def psi_beyond_chance(then: Integers, now: Integers, exists: Booleans) -> Floats:
    """PSI of each line, less what chance is expected to give; at least 0.

    A bin in which nobody is counts as if half a customer were there: its share is not known better.

    Parameters
    ----------
    then, now : ndarray of int64, shape (n_lines, width)
        Customers by bin.
    exists : ndarray of bool, shape (n_lines, width)
        Which bins there are.

    Returns
    -------
    ndarray of float64, shape (n_lines,)

    Examples
    --------
    >>> then, every = np.array([[500, 500, 0]]), np.ones((1, 3), dtype=bool)
    >>> psi_beyond_chance(then, np.array([[510, 490, 0]]), every).tolist()
    [0.0]
    >>> psi_beyond_chance(then, np.array([[200, 800, 0]]), every).round(2).tolist()
    [0.41]
    """
    shares = []
    for counts in (then, now):
        smooth = np.where(exists, counts + _LESS_THAN_ONE, 0.0)
        shares.append(smooth / smooth.sum(axis=1, keepdims=True))
    before, after = (np.where(exists, share, 1.0) for share in shares)
    psi = ((after - before) * np.log(after / before)).sum(axis=1)
    bins = np.count_nonzero(then, axis=1)
    chance = (bins - 1) * (1.0 / then.sum(axis=1) + 1.0 / now.sum(axis=1))
    beyond: Floats = np.maximum(psi - chance, 0.0)
    return beyond


def _sorting(schema: Schema, name: str, bins: Bins) -> Sorting:
    if name not in schema.position:
        raise BundleCorrupt(f"the model has no column {name}")
    column = schema.extra(name)
    if column is None or column.kind == "numeric":
        if bins.categories is not None:
            raise BundleCorrupt(f"{name} is a number and has no categories")
        return Sorting(tuple(bins.edges))
    if bins.categories is None or not set(bins.categories) <= set(column.categories):
        raise BundleCorrupt(f"{name} has other categories")
    return Sorting(codes=tuple(float(column.encode(one)) for one in bins.categories))
