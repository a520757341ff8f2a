"""Each customer's favourite category at one date, so that quality can be told by category."""

import numpy as np
from numpy.typing import NDArray

from churn.events import KIND_CODES, MICROSECONDS_PER_DAY, EventLog, Kind
from training.ingest import Ingested

ENOUGH = 50_000  # customers: more make the intervals no narrower than a reader can see

_PURCHASE = KIND_CODES[Kind.PURCHASE]


def favourite_categories(
    ingested: Ingested,
    customer_id: NDArray[np.object_],
    as_of: int,
    observation_window_days: int,
) -> NDArray[np.object_] | None:
    """The category of most purchase lines in the observation window; None if the log has none.

    Parameters
    ----------
    ingested : Ingested
        The log in buckets.
    customer_id : ndarray of object, shape (n,)
        Whose; each once.
    as_of : int
        Only lines before it, and known before it, count; microseconds since 1970-01-01 UTC.
    observation_window_days : int
        How far back they count.

    Returns
    -------
    ndarray of object, shape (n,)
        "" where it is unknown, and for whoever comes after the first `ENOUGH` customers.
    """
    row_of = {name: row for row, name in enumerate(customer_id.tolist())}
    found = np.full(len(customer_id), "", dtype=object)
    seen = 0
    since = as_of - observation_window_days * MICROSECONDS_PER_DAY
    for k in range(ingested.n_buckets):
        names = ingested.categories(k)
        if not names or seen >= ENOUGH:
            continue
        log = ingested.bucket(k)
        for customer, category in zip(*_most_bought(log, since, as_of), strict=True):
            row = row_of.get(log.customer_ids[customer])
            if row is not None:
                found[row] = names[category]
                seen += 1
    return found if seen else None


def _most_bought(
    log: EventLog, since: int, as_of: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Customers who bought of a category, and the one they bought most; the first one of equals."""
    lines = np.flatnonzero(
        (log.kind == _PURCHASE)
        & (log.category >= 0)
        & (log.time >= since)
        & (log.time < as_of)
        & (log.known_at < as_of)
    )
    customer = np.searchsorted(log.offsets, lines, side="right") - 1
    n_names = int(log.category.max(initial=0)) + 1
    pairs, count = np.unique(customer * n_names + log.category[lines], return_counts=True)
    customer, category = np.divmod(pairs, n_names)
    order = np.lexsort((category, -count, customer))
    first = np.flatnonzero(np.diff(customer[order], prepend=-1))
    return customer[order][first], category[order][first]
