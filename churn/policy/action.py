"""What is suggested about one customer, as the answer tells it."""

from typing import NamedTuple

from churn.policy.decide import Option
from churn.policy.policy import Situation

BY_SCORE, BY_PLAN = "score", "plan"
"""What may decide. A plan draws nothing but who is held out."""


class Action(NamedTuple):
    """One suggestion.

    Attributes
    ----------
    code, channel : str
        Of the policy's catalogue; ``none`` where the customer is left alone.
    act_by : int or None
        The last good day for it, days since 1970-01-01, UTC; None where nothing is to be done.
    expected_value, lower_bound : float or None
        What it is expected to bring in currency, its cost taken off, and what it exceeds with 90%;
        None where nothing is claimed.
    cost : float
        Expected, in currency.
    why : str
        One sentence.
    alternatives : tuple of Option
        The other candidates that were possible, the best first.
    holdout : bool
        The customer is held out: the action is to be withheld.
    explored : bool
        It was drawn at random.
    propensity : float
        With which probability the policy would have done what it did, in (0, 1].
    situation : Situation
        The customer's case.
    """

    code: str
    channel: str
    act_by: int | None
    expected_value: float | None
    lower_bound: float | None
    cost: float
    why: str
    alternatives: tuple[Option, ...]
    holdout: bool
    explored: bool
    propensity: float
    situation: Situation
