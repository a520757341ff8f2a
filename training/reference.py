"""What the customers look like whom a model is made for: what drift is counted from.

These are the eligible customers at the date the model is made for, whom nobody has learnt from:
those whom the service would have scored that day, with the probabilities that it would have given.
The rows learnt from would be the wrong measure: they are of two years, each customer many times,
and a model is surer of what it has seen.
"""

from collections.abc import Sequence

import numpy as np

from churn.bounds import MOST_BINS
from churn.compiled import Floats
from churn.drift import Binning, Sorting
from churn.manifest import Bins, DriftEntry
from churn.schema import Schema

BINS = 10


def reference(
    schema: Schema, names: Sequence[str], X: Floats, probability: Floats, as_of: str | None
) -> DriftEntry:
    """Count customers in bins of about as many each.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    names : sequence of str
        The input columns that the model uses.
    X : ndarray of float64, shape (n, n_inputs)
        Input columns; n > 0.
    probability : ndarray of float64, shape (n,)
        What the model says of these customers, of none of whom it has learnt.
    as_of : str or None
        The date, where there is one.
    """
    known = schema.settled(X)
    sortings, categories = {}, {}
    for name in names:
        column = schema.extra(name)
        values = known[:, schema.position[name]]
        if column is None or column.kind == "numeric":
            sortings[name] = Sorting(_edges(values))
        else:
            codes = _most_common(values, column.codes)
            sortings[name] = Sorting(codes=codes)
            categories[name] = [str(column.decode(code)) for code in codes]
    of_probability = Sorting(_edges(probability))
    counts = Binning(schema, sortings, of_probability).count(X, probability).tolist()
    bins = [
        Bins(
            edges=list(sorting.edges),
            categories=categories.get(name),
            counts=line[: sorting.n_bins],
            missing=line[-1],
        )
        for (name, sorting), line in zip(
            [*sortings.items(), ("", of_probability)], counts, strict=True
        )
    ]
    return DriftEntry(
        as_of=as_of, features=dict(zip(names, bins[:-1], strict=True)), probability=bins[-1]
    )


def _edges(values: Floats) -> tuple[float, ...]:
    """Edges between bins of about as many customers each; fewer where many have the same value."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return ()
    least, most = float(known.min()), float(known.max())
    if least == most:  # whatever is not the same as ever lies beside it
        return float(np.nextafter(least, -np.inf)), least
    at = np.quantile(known, np.arange(1, BINS) / BINS, method="inverted_cdf")
    edges: list[float] = []
    below = 0
    for edge in sorted({float(f"{edge:.6g}") for edge in at.tolist()}):
        upto = int(np.count_nonzero(known <= edge))
        # What lies between a value of many and the next edge may be next to nobody.
        if upto - below >= len(known) / (2 * BINS) and edge < most:
            edges.append(edge)
            below = upto
    return tuple(edges)


def _most_common(values: Floats, codes: Sequence[int]) -> tuple[float, ...]:
    """The codes of the most common categories, in order; the others share a bin."""
    counts = {code: int(np.count_nonzero(values == code)) for code in codes}
    kept = sorted(counts, key=lambda code: (-counts[code], code))[: MOST_BINS - 1]
    return tuple(float(code) for code in sorted(kept))
