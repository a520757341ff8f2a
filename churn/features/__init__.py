"""The one definition of every feature: name, unit, family, words, and the loop that computes it.

`features` gives all customers of a log at one `as_of`; `feature_rows` any pairs of customer and
`as_of`. Both see only events with ``occurred_at < as_of`` and ``known_at < as_of``.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.compiled import HAS_NUMBA, plain
from churn.events import MICROSECONDS_PER_DAY, EventLog, Feed
from churn.features import (
    assortment,
    cheque,
    complaints,
    discount,
    engagement,
    frequency,
    kernel,
    returns,
    satisfaction,
    silence,
    tenure,
)
from churn.features.definition import FAMILIES, Family, Feature

__all__ = [
    "FAMILIES",
    "FEATURES",
    "FEATURE_NAMES",
    "POSITION",
    "Family",
    "Feature",
    "FeatureSettings",
    "absent_features",
    "feature_rows",
    "features",
    "mask_absent_feeds",
]

# In the order in which the kernel writes them.
FEATURES: tuple[Feature, ...] = (
    *silence.FEATURES,
    *frequency.FEATURES,
    *tenure.FEATURES,
    *cheque.FEATURES,
    *complaints.FEATURES,
    *returns.FEATURES,
    *engagement.FEATURES,
    *satisfaction.FEATURES,
    *discount.FEATURES,
    *assortment.FEATURES,
)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
POSITION: dict[str, int] = {name: position for position, name in enumerate(FEATURE_NAMES)}

_plain_rows = plain(kernel.write_rows)


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """How far features look back, and the horizon that some of them are measured against."""

    observation_window_days: int = 730
    horizon_days: int = 60


def features(log: EventLog, as_of: int, settings: FeatureSettings) -> NDArray[np.float64]:
    """Compute every feature of every customer of a log at one instant.

    Parameters
    ----------
    log : EventLog
        Events of n customers.
    as_of : int
        Microseconds since 1970-01-01 UTC; later events, and events known later, are not seen.
    settings : FeatureSettings
        Window and horizon.

    Returns
    -------
    ndarray of float64, shape (n_customers, n_features)
        Columns as in `FEATURES`; NaN is missing.
    """
    customers = np.arange(log.n_customers, dtype=np.int64)
    return feature_rows(log, customers, np.full(len(customers), as_of, dtype=np.int64), settings)


def feature_rows(
    log: EventLog,
    customers: NDArray[np.int64],
    as_ofs: NDArray[np.int64],
    settings: FeatureSettings,
    *,
    compiled: bool = True,
) -> NDArray[np.float64]:
    """Compute the features of chosen (customer, `as_of`) pairs.

    Parameters
    ----------
    log : EventLog
        Events of the customers.
    customers : ndarray of int64, shape (n,)
        Positions in ``log.customer_ids``.
    as_ofs : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    settings : FeatureSettings
        Window and horizon.
    compiled : bool
        False runs the plain Python source, as happens where Numba is absent.

    Returns
    -------
    ndarray of float64, shape (n, n_features)
        Columns as in `FEATURES`; NaN is missing.
    """
    columns: list[Any] = [
        log.time, log.known_at, log.kind, log.amount, log.value, log.discount,
        log.order, log.case, log.category, log.offsets, customers, as_ofs,
    ]  # fmt: skip
    window = settings.observation_window_days * MICROSECONDS_PER_DAY
    horizon = settings.horizon_days * MICROSECONDS_PER_DAY
    if compiled and HAS_NUMBA:
        out = np.empty((len(customers), len(FEATURES)), dtype=np.float64)
        kernel.write_rows(*[*columns, window, horizon, out])
        return out
    rows = [[0.0] * len(FEATURES) for _ in customers]
    _plain_rows(*[*(column.tolist() for column in columns), window, horizon, rows])
    return np.array(rows, dtype=np.float64).reshape(len(customers), len(FEATURES))


def mask_absent_feeds(matrix: NDArray[np.float64], feeds: frozenset[Feed]) -> None:
    """Set, in place, the features of every feed that is not in `feeds` to missing."""
    absent = absent_features(feeds)
    if len(absent):
        matrix[:, absent] = np.nan


@lru_cache(maxsize=1 << len(Feed))
def absent_features(feeds: frozenset[Feed]) -> NDArray[np.int64]:
    """Positions of the features of every feed that is not in `feeds`."""
    absent = [position for position, feature in enumerate(FEATURES) if feature.feed not in feeds]
    return np.array(absent, dtype=np.int64)
