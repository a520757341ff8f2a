"""A policy with everything settled that does not depend on the customer.

A request is answered within the time of a few hundred attribute look-ups, so those of the policy
are done once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from churn.events import MICROSECONDS_PER_DAY

if TYPE_CHECKING:
    from churn.policy.policy import Policy


class Option(NamedTuple):
    """A candidate, with what it is expected to bring and cost; None where nothing is claimed."""

    action: str
    expected_value: float | None
    lower_bound: float | None
    cost: float


class Candidate(NamedTuple):
    """An action that may be considered.

    Attributes
    ----------
    code : str
        Of the catalogue.
    consent : str or None
        The channel that the customer has to allow; None where nobody has to be asked.
    gives : bool
        Whether it has an incentive.
    weigh : callable or None
        From probability and value to expected value, lower bound and cost; None where nothing is
        claimed.
    unclaimed : Option
        What it is where nothing can be claimed.
    """

    code: str
    consent: str | None
    gives: bool
    weigh: Callable[[float, float], tuple[float, float, float]] | None
    unclaimed: Option

    def option(self, probability: float, value: float | None) -> Option:
        """What it is expected to bring one customer."""
        if self.weigh is None or value is None:
            return self.unclaimed
        return Option(self.code, *self.weigh(probability, value))


class Case(NamedTuple):
    """What is considered in one situation, band and segment.

    Attributes
    ----------
    owed : Candidate or None
        Service, which nothing is weighed against.
    every, plain : tuple of Candidate
        The others, and those of them without an incentive.
    """

    owed: Candidate | None
    every: tuple[Candidate, ...]
    plain: tuple[Candidate, ...]


class Ready:
    """A policy ready to decide with.

    Parameters
    ----------
    policy : Policy
        A checked one.

    Attributes
    ----------
    cases : dict
        By situation, band and segment; complete.
    salt, share, rate, epoch
        Of the holdout and of exploration; `epoch` in microseconds.
    reach : int
        For so long a delivery may matter, microseconds.
    message_first : bool
        As in the policy's rules.
    never : bool
        No customer may be contacted at all.
    """

    def __init__(self, policy: "Policy") -> None:
        rules = policy.rules
        self.cases: dict[tuple[str, str, str], Case] = {}
        for key, considered in policy.considered.items():
            where = key[:2]
            is_open = where[0] == "open_complaint"
            every = tuple(
                self._candidate(policy, code, where)
                for code in considered.codes
                if not (is_open and policy.actions[code].promotion)
            )
            plain = tuple(one for one in every if not one.gives)
            owed = considered.owed and self._candidate(policy, considered.owed, where)
            self.cases[key] = Case(owed or None, every, plain)
        self.version = policy.version
        self.salt = rules.holdout_salt
        self.share = rules.holdout_share
        self.rate = rules.exploration_rate
        self.epoch = rules.exploration_days * MICROSECONDS_PER_DAY
        self.reach = rules.reach_days * MICROSECONDS_PER_DAY
        self.message_first = rules.message_first
        self.never = rules.contact_cap == 0

    @staticmethod
    def _candidate(policy: "Policy", code: str, where: tuple[str, str]) -> Candidate:
        action = policy.actions[code]
        return Candidate(
            code,
            action.channel if action.needs_consent else None,
            action.incentive_cost > 0.0,
            action.weigh_in.get(where),
            Option(code, None, None, action.contact_cost),
        )
