"""Learn the expectations that a customer's value is made of, from rows that are there already."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import PoissonRegressor

from churn.compiled import Booleans, Floats, Integers
from churn.features import POSITION
from churn.linear import MOST_DEVIATIONS
from churn.value import PARTS, CustomerValue
from training.value.rows import ValueRows

COLUMNS = (
    "days_since_last_purchase",
    "tenure_days",
    "purchases_total",
    "purchases_per_month",
    "is_one_time_buyer",
)
"""More of them ranked no better on either log, and travelled worse from date to date."""
MIN_ROWS = 50
PENALTY = 0.01
SEGMENT_SHARES = (0.2, 0.5)
"""Share of customers in A, and in A and B together."""
_LEAST_ORDERS = 1e-6
_NOTHING = 1e-12
_STEADY = 20.0  # orders in either half that speak for neither more nor less to come


def learn_value(
    rows: ValueRows,
    reference: Floats,
    *,
    days: int,
    horizon_days: int,
    window_days: int,
    margin_rate: float,
) -> CustomerValue | None:
    """Fit on rows that are there already.

    Parameters
    ----------
    rows : ValueRows
        Whose orders were counted over `window_days`.
    reference : ndarray of float64, shape (n, n_inputs)
        Customers whom the limits of the segments refer to.
    days : int
        Over which value is to be counted. Where the window is no longer than the horizon, nothing
        is known of later orders, and it is counted over the horizon.
    horizon_days, window_days : int
        Of the rows.
    margin_rate : float
        Share of an amount that is margin.
    """
    cheque = _cheque(rows)
    if cheque is None or int(rows.came_back.sum()) < MIN_ROWS:
        return None
    column = np.array([POSITION[name] for name in COLUMNS], dtype=np.int64)
    center, scale, missing, z = _standardised(rows.X, column)
    back = rows.came_back
    parts = [_log_linear(z[back], rows.within_orders[back] - 1.0)]
    for whom in (back, ~back):
        later = _log_linear(z[whom], rows.later_orders[whom])
        stretch = _stretch(rows, whom, days, horizon_days, window_days)
        parts.append(later.plus(math.log(max(stretch, _NOTHING))))
    assert len(parts) == len(PARTS)
    unlimited = CustomerValue(
        days=days if window_days > horizon_days else horizon_days,
        column=column,
        center=center,
        scale=scale,
        missing=missing,
        weight=np.array([part.weight for part in parts]),
        intercept=np.array([part.intercept for part in parts]),
        low=np.array([part.low for part in parts]),
        high=np.array([part.high for part in parts]),
        margin_rate=float(margin_rate),
        cheque=cheque[0],
        cheque_weight=cheque[1],
        limits=np.zeros(2),
    )
    value = unlimited.value(reference)[0]
    value = value[~np.isnan(value)]
    if len(value) == 0:
        return None
    limits = np.quantile(value, [1.0 - share for share in SEGMENT_SHARES])
    return replace(unlimited, limits=limits)


@dataclass(frozen=True, slots=True)
class _LogLinear:
    weight: Floats
    intercept: float
    low: float
    high: float

    def plus(self, log: float) -> "_LogLinear":
        """The same with all logarithms higher by so much."""
        return _LogLinear(self.weight, self.intercept + log, self.low + log, self.high + log)


def _stretch(rows: ValueRows, whom: Booleans, days: int, horizon_days: int, seen: int) -> float:
    """How many times the later orders that were counted are expected by the end of `days`.

    The rate falls from one half of the later time to the next as it did between the two that were
    seen; it is not taken to rise. 0 where no later time was seen.
    """
    if seen <= horizon_days:
        return 0.0
    last = float(rows.last_orders[whom].sum())
    first = float(rows.later_orders[whom].sum()) - last
    falls = -math.log(min((last + _STEADY) / (first + _STEADY), 1.0))
    halves = 2.0 * (days - horizon_days) / (seen - horizon_days)
    if falls < 1e-9:
        return halves / 2.0
    return math.expm1(-falls * halves) / math.expm1(-falls * 2.0)


def _log_linear(z: Floats, counts: Floats) -> _LogLinear:
    """Poisson regression; the mean alone where there is too little to tell more."""
    if len(counts) < MIN_ROWS or counts.sum() < MIN_ROWS:
        mean = math.log(max(float(counts.mean()) if len(counts) else 0.0, _LEAST_ORDERS))
        return _LogLinear(np.zeros(z.shape[1]), mean, mean, mean)
    model = PoissonRegressor(alpha=PENALTY, max_iter=1000).fit(z, counts)
    log = z @ model.coef_ + model.intercept_
    return _LogLinear(
        np.asarray(model.coef_, dtype=np.float64),
        float(model.intercept_),
        float(log.min()),
        float(log.max()),
    )


def _standardised(X: Floats, column: Integers) -> tuple[Floats, Floats, Floats, Floats]:
    """Centers, scales, what a missing number counts as, and the deviations, shape (n, k)."""
    logs = np.sign(X[:, column]) * np.log1p(np.abs(X[:, column]))
    known = ~np.isnan(logs)
    center, missing = np.zeros((2, len(column)))
    scale = np.ones(len(column))
    for k in range(len(column)):
        there = logs[known[:, k], k]
        if len(there) and there.std() > 0.0:
            center[k], scale[k] = there.mean(), there.std()
            missing[k] = (np.median(there) - center[k]) / scale[k]
    z = np.clip((logs - center) / scale, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return center, scale, missing, np.where(known, z, missing)


def _cheque(rows: ValueRows) -> tuple[float, float] | None:
    """The population's cheque, and how many orders of a customer's own it weighs as much as.

    Both minimise the gamma deviance of later cheques, an order each: it judges by proportions, so
    that a few large buyers do not decide for everybody.
    """
    own = rows.X[:, POSITION["average_cheque"]]
    n = rows.X[:, POSITION["purchases_total"]]
    told = (rows.spend > 0.0) & (rows.orders > 0.0) & (own > 0.0) & (n > 0.0)
    if int(told.sum()) < MIN_ROWS:
        return None
    own, n, orders = own[told], n[told], rows.orders[told]
    later = rows.spend[told] / orders

    def deviance(logs: Floats) -> float:
        cheque, weight = np.exp(logs)
        ratio = later * (weight + n) / (weight * cheque + n * own)
        return float(orders @ (ratio - 1.0 - np.log(ratio)) / orders.sum())

    start = np.array([math.log(float(own.mean())), 0.0])
    bounds = [(start[0] - 7.0, start[0] + 7.0), (math.log(1e-3), math.log(1e4))]
    found = minimize(deviance, start, method="L-BFGS-B", bounds=bounds)
    cheque, weight = np.exp(found.x).tolist()
    return cheque, weight
