"""What a customer would look like without a reason: each feature's own norm, family by family.

A reason may hold the customer against a norm of their own: the usual gap, the earlier pace, the
earlier cheque. The tables of this package set each feature of such a family to it: what follows
from other features is computed from them, what is better than the norm stays, and what there
cannot be (gaps after one purchase) stays missing, so that a family's features still go together.
A complaint, a return or a cancellation is off everybody's norm, which is to have none.

Two families know no own norm: nobody usually has a longer relationship than they have, and who
buys on discounts does so by habit. The same goes for a reason that names none (few orders from
the first day on), and for columns of the user's own; `training.faithfulness` puts in what
customers at low risk have.
"""

from collections.abc import Mapping

import numpy as np

from churn.compiled import Booleans, Floats
from churn.features import FEATURES, POSITION, Family
from churn.reason_rules import RULES
from churn.reasons import first_that_holds
from training.norms.contact import ASSORTMENT, COMPLAINTS, ENGAGEMENT, RETURNS, SATISFACTION
from training.norms.definition import Norm, Rows
from training.norms.money import CHEQUE
from training.norms.rhythm import FREQUENCY, SILENCE

__all__ = ["NORMS", "OWN_NORM_REASONS", "WITHOUT_OWN_NORM", "has_own_norm", "to_own_norm", "told"]

NORMS: Mapping[Family, tuple[Norm, ...]] = {
    Family.SILENCE: SILENCE,
    Family.FREQUENCY: FREQUENCY,
    Family.CHEQUE: CHEQUE,
    Family.COMPLAINTS: COMPLAINTS,
    Family.RETURNS: RETURNS,
    Family.ENGAGEMENT: ENGAGEMENT,
    Family.SATISFACTION: SATISFACTION,
    Family.ASSORTMENT: ASSORTMENT,
}
"""In the order in which the features are set."""

WITHOUT_OWN_NORM = (Family.TENURE, Family.DISCOUNT)

OWN_NORM_REASONS = frozenset(
    {
        "long_silence",
        "slowing_rhythm",
        "frequency_drop",
        "cheque_decline",
        "small_last_cheque",
        "engagement_drop",
        "low_rating",
        "narrowing_assortment",
        "open_complaint",
        "repeated_complaints",
        "slow_resolution",
        "recent_complaint",
        "recent_returns",
        "recent_cancellations",
        "high_return_share",
    }
)
"""Codes of the reasons that are held against a norm of the customer's own."""

_TELLS = {
    Family.SILENCE: "average_gap_days",
    Family.FREQUENCY: "earlier_pace_90d",
    Family.CHEQUE: "last_cheque_ratio",
    Family.COMPLAINTS: "complaints_365d",
    Family.RETURNS: "returns_365d",
    Family.ENGAGEMENT: "earlier_visits_30d",
    Family.SATISFACTION: "rating_change",
    Family.ASSORTMENT: "categories_total",
}
_N_LOOP = len(FEATURES)


def told(X: Floats, family: Family) -> list[str]:
    """Code of the reason that tells of a family, for each row of loop features; "" for none."""
    rules = [rule for rule in RULES if rule.family is family]
    codes = []
    for row in X[:, :_N_LOOP].tolist():
        rule = first_that_holds(rules, dict(zip(POSITION, row, strict=True)))
        codes.append("" if rule is None else rule.code)
    return codes


def has_own_norm(X: Floats, family: Family) -> Booleans:
    """Whether each customer's history tells a norm of their own, shape (n,)."""
    if family in WITHOUT_OWN_NORM:
        return np.zeros(len(X), dtype=np.bool_)
    return ~np.isnan(X[:, POSITION[_TELLS[family]]])


def to_own_norm(X: Floats, family: Family, codes: list[str], horizon_days: float) -> Floats:
    """The same customers with one family at their own norm.

    Parameters
    ----------
    X : ndarray of float64, shape (n, n_inputs)
        Loop features first; left as it is.
    family : Family
        One of `NORMS`.
    codes : list of str, length n
        What the family's reason is, as `told` gives it.
    horizon_days : float
        Length of the outcome window.
    """
    was = {name: X[:, at] for name, at in POSITION.items()}
    reason = np.array(codes, dtype=object)
    is_told = {rule.code: reason == rule.code for rule in RULES if rule.family is family}
    rows = Rows(was, dict(was), is_told, horizon_days)
    out = X.copy()
    for norm in NORMS[family]:
        rows.now[norm.feature] = norm.how(rows)
        out[:, POSITION[norm.feature]] = rows.now[norm.feature]
    return out
