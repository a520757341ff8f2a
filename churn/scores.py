"""What a score is: of one customer with its words, of many as columns."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.policy.action import Action
from churn.reasons import Reason

STATUSES = ("scored", "lapsed", "insufficient_history")
UNKNOWN = "unknown_customer"
"""The status of a customer of whom nothing is stored."""
BANDS = ("low", "medium", "high")


class MatrixScores(NamedTuple):
    """Scores of n customers, as columns.

    Attributes
    ----------
    status : ndarray of int8, shape (n,)
        Position in `STATUSES`; only ``scored`` rows have numbers in the other columns.
    probability, margin : ndarray of float64, shape (n,)
        Calibrated probability of churn in (0, 1); log-odds before calibration. NaN if not scored.
    curve : ndarray of float64, shape (n, k)
        Probability of no purchase within each of the model's `curve.days`. NaN if not scored.
    interval : ndarray of float64, shape (n, 2)
        Ends of the 95% interval of the probability. NaN if not scored, or not known.
    band : ndarray of int8, shape (n,)
        Position in `BANDS`, -1 if not scored.
    contributions : ndarray of float64, shape (n, n_families), or None
        Log-odds per family, zero for a family whose feed is absent.
    base : ndarray of float64, shape (n,), or None
        The margin of the average customer; with the contributions it sums to the margin.
    value : ndarray of float64, shape (n,)
        What is at stake with the customer, in currency; at least 0, NaN if not known or not scored.
    segment : ndarray of int8, shape (n,)
        Position in `churn.value.SEGMENTS`, -1 where there is no value.
    category : ndarray of int8, shape (n,)
        Position in `churn.loss.CATEGORIES`, -1 if not scored, or not known.
    """

    status: NDArray[np.int8]
    probability: NDArray[np.float64]
    margin: NDArray[np.float64]
    curve: NDArray[np.float64]
    interval: NDArray[np.float64]
    band: NDArray[np.int8]
    contributions: NDArray[np.float64] | None
    base: NDArray[np.float64] | None
    value: NDArray[np.float64]
    segment: NDArray[np.int8]
    category: NDArray[np.int8]


class NextPurchase(NamedTuple):
    """When the next purchase is expected, in microseconds since 1970 UTC.

    It comes before `median` as likely as after, and with 80% between `earliest` and `latest`.
    None where that lies beyond the end of the risk curve.
    """

    median: int | None
    earliest: int | None
    latest: int | None


class Money(NamedTuple):
    """An amount in a currency, counted over so many days."""

    amount: float
    currency: str
    days: int


class CustomerScore(NamedTuple):
    """One customer's score, reasons and suggestion; `as_of` in microseconds since 1970 UTC.

    `risk_curve` has pairs of days after the lead time and the probability of no purchase until
    then, `interval` the ends of the 95% interval of `churn_probability` where it is known.
    The horizon begins `lead_time_days` after `as_of`.
    `customer_value` is the margin that hangs on keeping the customer.
    """

    customer_id: str
    status: str
    churn_probability: float | None
    interval: tuple[float, float] | None
    risk_band: str | None
    risk_curve: tuple[tuple[int, float], ...]
    next_purchase: NextPurchase | None
    lead_time_days: int
    horizon_days: int
    reasons: tuple[Reason, ...]
    loss_category: str | None
    value_segment: str | None
    customer_value: Money | None
    action: Action | None
    model_version: str
    policy_version: str
    as_of: int
    warnings: tuple[str, ...]
    features_missing: tuple[str, ...]
    features_out_of_range: tuple[str, ...]
    features_unseen: tuple[str, ...]
