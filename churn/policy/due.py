"""By when an action is to be taken.

What is owed has its own term (`within_hours`). Anything else is to come before the customer has
decided: by the day by which a tenth of such customers have bought again, as the risk curve has it,
since later ever more of those who come back would have come anyway; and within half of the
customer's own usual gap between purchases, since silence is felt in proportion to it. Not before
tomorrow, not after the horizon, and never after the action's own term.
"""

import numpy as np

from churn.compiled import Floats, Integers
from churn.events import MICROSECONDS_PER_DAY

_HOUR = MICROSECONDS_PER_DAY // 24


def due_days(earliest: float, gap: float, lead_days: int, horizon_days: int) -> float:
    """Days from `as_of` within which to act.

    Parameters
    ----------
    earliest : float
        Days after the lead time by which a tenth have bought again; NaN beyond the curve.
    gap : float
        The customer's average gap between purchase days; NaN where there is none.
    lead_days, horizon_days : int
        The model's.
    """
    due = float(lead_days + horizon_days)
    if lead_days + earliest < due:
        due = lead_days + earliest
    if gap / 2.0 < due:
        due = gap / 2.0
    return due if due > 1.0 else 1.0


def due_days_of_many(earliest: Floats, gap: Floats, lead_days: int, horizon_days: int) -> Floats:
    """`due_days` of n customers, shape (n,)."""
    due = np.fmin(lead_days + earliest, float(lead_days + horizon_days))
    return np.maximum(np.fmin(due, gap / 2.0), 1.0)


def act_by(as_of: int, due: float, within_hours: int | None, is_owed: bool) -> int:
    """The date, days since 1970-01-01, UTC."""
    span = int(due * MICROSECONDS_PER_DAY)
    if within_hours is not None and (is_owed or within_hours * _HOUR < span):
        span = within_hours * _HOUR
    return (as_of + span) // MICROSECONDS_PER_DAY


def act_by_of_many(
    as_of: Integers, due: Floats, within_hours: int | None, is_owed: bool
) -> Integers:
    """`act_by` of n customers for whom the same action was chosen, shape (n,)."""
    span = (due * MICROSECONDS_PER_DAY).astype(np.int64)
    if within_hours is not None:
        term = np.int64(within_hours * _HOUR)
        span = np.full_like(span, term) if is_owed else np.minimum(span, term)
    days: Integers = (as_of + span) // MICROSECONDS_PER_DAY
    return days
