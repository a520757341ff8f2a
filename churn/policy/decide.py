"""What to do about one customer: the candidates, their expected values, the choice.

Service is owed: a complaint or bad quality is answered whatever it costs. Among the other
candidates the one of the greatest expected value is chosen, if that is above nothing's. A part of
the customers is held out, and a part of the decisions is random; both are drawn by
`churn.policy.chance`, and the decision says with which probability it was what it is.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.chance import draw
from churn.policy.contacts import Contact, is_answered, recent
from churn.policy.policy import NONE, ActionTable, Policy, Situation

__all__ = ["Candidates", "Contact", "Decision", "Facts", "Option", "candidates", "decide"]

NoneBecause = Literal[
    "low_risk", "not_foreseen", "contacted", "not_allowed", "nothing_pays", "answered"
]
"""Why there is nothing to be done: the risk is low, the table names nothing, the customer was
contacted lately, allows no channel that is asked for, nothing is worth its cost, or what is owed
has been done since."""


class Facts(NamedTuple):
    """What a decision looks at.

    Attributes
    ----------
    customer_id : str
        Decides the draws.
    as_of : int
        Microseconds since 1970-01-01 UTC.
    probability : float
        Of churn.
    band : {"low", "medium", "high"}
        Risk band.
    segment : {"A", "B", "C"}
        Value segment.
    value : float or None
        V: the margin that hangs on keeping the customer; None where it is not known.
    situation : Situation
        The most pressing one.
    channels : frozenset of str or None
        The channels that the customer allows; None where nobody was asked: all.
    contacts : sequence of Contact
        What was delivered so far, in any order.
    owed_since : int or None
        Since when service is owed, microseconds since 1970-01-01 UTC: what of it was delivered
        after that is not owed again. None where that is not known: the cooldown goes.
    """

    customer_id: str
    as_of: int
    probability: float
    band: str
    segment: str
    value: float | None
    situation: Situation
    channels: frozenset[str] | None = None
    contacts: Sequence[Contact] = ()
    owed_since: int | None = None


class Option(NamedTuple):
    """A candidate, with what it is expected to bring and cost; None where nothing is claimed."""

    action: str
    expected_value: float | None
    lower_bound: float | None
    cost: float


class Candidates(NamedTuple):
    """What may be done about a customer.

    Attributes
    ----------
    owed : Option or None
        Service, which is done whatever else might be.
    options : tuple of Option
        What pays and is allowed, in the order of the table; none of them where service is owed.
    why_none : str or None
        Why there is neither; one of `NoneBecause`.
    """

    owed: Option | None
    options: tuple[Option, ...]
    why_none: NoneBecause | None = None


class Decision(NamedTuple):
    """What was chosen.

    Attributes
    ----------
    action : str
        Of the catalogue; ``none`` is one of them.
    expected_value, lower_bound : float or None
        In currency; the bound is exceeded with 90%. None where nothing is claimed.
    cost : float
        Expected, in currency.
    alternatives : tuple of Option
        The other candidates that were possible, the best first.
    holdout : bool
        The customer is held out: the action is to be withheld.
    explored : bool
        It was drawn at random.
    propensity : float
        With which probability the policy would have done what it did, in (0, 1]: chosen this
        action, and given it or withheld it.
    policy_version : str
        Of the policy.
    why_none : str or None
        Why there was nothing to choose from; one of `NoneBecause`.
    """

    action: str
    expected_value: float | None
    lower_bound: float | None
    cost: float
    alternatives: tuple[Option, ...]
    holdout: bool
    explored: bool
    propensity: float
    policy_version: str
    why_none: NoneBecause | None = None


NOTHING = Option(NONE, 0.0, 0.0, 0.0)


def decide(policy: Policy, facts: Facts) -> Decision:
    """Choose one action, or none.

    Parameters
    ----------
    policy : Policy
        A checked policy.toml.
    facts : Facts
        Of a scored customer.
    """
    owed, options, why_none = candidates(policy, facts)
    if owed is not None or not options:
        sure = NOTHING if owed is None else owed
        return Decision(*sure, (), False, False, 1.0, policy.version, why_none)
    return _drawn(policy, facts, options)


def candidates(policy: Policy, facts: Facts) -> Candidates:
    """What may be done: what is owed, or else what the rules allow and is worth its cost."""
    considered = policy.considered[facts.situation, facts.band, facts.segment]
    if considered.owed is not None:
        if is_answered(policy, considered.owed, facts.contacts, facts.as_of, facts.owed_since):
            return Candidates(None, (), "answered")
        return Candidates(_option(policy, facts, considered.owed), ())
    if not considered.codes:
        return Candidates(None, (), "low_risk" if facts.band == "low" else "not_foreseen")
    stops, told = recent(policy, facts.contacts, facts.as_of)
    if stops:
        return Candidates(None, (), "contacted")
    allowed = [code for code in considered.codes if is_allowed(policy, code, facts)]
    if not allowed:
        return Candidates(None, (), "not_allowed")
    options = []
    for code in messages_first(policy, allowed, told):
        option = _option(policy, facts, code)
        if pays(policy.actions[code], option):
            options.append(option)
    return Candidates(None, tuple(options), None if options else "nothing_pays")


def is_held_out(policy: Policy, customer_id: str) -> bool:
    """Whether a customer belongs to those from whom actions are withheld."""
    return draw(customer_id, policy.rules.holdout_salt, "holdout") < policy.rules.holdout_share


def is_allowed(policy: Policy, code: str, facts: Facts) -> bool:
    """Whether the customer allows the channel; and no promotion while a complaint is open."""
    action = policy.actions[code]
    if action.promotion and facts.situation == "open_complaint":
        return False
    return not action.needs_consent or facts.channels is None or action.channel in facts.channels


def messages_first(policy: Policy, codes: Sequence[str], told: bool) -> Sequence[str]:
    """Without incentives, unless a contact without one went before or there is none."""
    if told or not policy.rules.message_first:
        return codes
    return [code for code in codes if policy.actions[code].incentive_cost == 0.0] or codes


def pays(action: ActionTable, option: Option) -> bool:
    """Whether it may be suggested: nothing that loses, and no incentive that may well lose."""
    if option.expected_value is None or option.lower_bound is None:
        return action.incentive_cost == 0.0  # nothing is claimed, so nothing is given away
    if action.incentive_cost > 0.0 and option.lower_bound <= 0.0:
        return False
    return option.expected_value > 0.0


def best_of(options: Sequence[Option]) -> Option:
    """The option of the greatest expected value; where none is claimed, the cheapest."""
    best = options[0]
    for option in options[1:]:
        if option.expected_value is None or best.expected_value is None:
            if option.expected_value is not None:
                best = option
            elif best.expected_value is None and option.cost < best.cost:
                best = option
        elif option.expected_value > best.expected_value:
            best = option
    return best


def _option(policy: Policy, facts: Facts, code: str) -> Option:
    action = policy.actions[code]
    if action.weigh is None or facts.value is None:
        return Option(code, None, None, action.contact_cost)
    return Option(code, *action.weigh(facts.probability, facts.value))


def _drawn(policy: Policy, facts: Facts, options: Sequence[Option]) -> Decision:
    """Draw, and tell what was drawn with its probability."""
    rules = policy.rules
    best = chosen = best_of(options)
    rate = rules.exploration_rate
    if rate > 0.0:
        epoch = str(facts.as_of // (rules.exploration_days * MICROSECONDS_PER_DAY))
        if draw(facts.customer_id, rules.holdout_salt, "explore", epoch) < rate:
            drawn_from = sorted((*options, NOTHING), key=lambda one: one.action)
            at = draw(facts.customer_id, rules.holdout_salt, "choose", epoch)
            chosen = drawn_from[int(at * len(drawn_from))]
    explored = chosen is not best
    propensity = rate / (len(options) + 1)
    if not explored:
        propensity += 1.0 - rate
    # Who gets nothing is not held out of anything.
    holdout = False
    if chosen is not NOTHING:
        holdout = is_held_out(policy, facts.customer_id)
        propensity *= rules.holdout_share if holdout else 1.0 - rules.holdout_share
    others = [option for option in options if option is not chosen]
    if len(others) > 1:
        others.sort(key=lambda one: -(one.expected_value or 0.0))
    return Decision(*chosen, tuple(others), holdout, explored, propensity, policy.version)
