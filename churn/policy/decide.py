"""What to do about one customer: the candidates, their expected values, the choice.

Service is owed: a complaint or bad quality is answered whatever it costs. Among the other
candidates the one of the greatest expected value is chosen, if that is above nothing's. A part of
the customers is held out, and a part of the decisions is random; both are drawn by
`churn.policy.chance`, and the decision says with which probability it was what it is.
"""

from collections.abc import Sequence
from typing import NamedTuple

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.chance import draw
from churn.policy.policy import NONE, ActionTable, Policy, Situation


class Contact(NamedTuple):
    """An action that was delivered: when, microseconds since 1970-01-01 UTC, and which."""

    at: int
    action: str


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


class Option(NamedTuple):
    """A candidate, with what it is expected to bring and cost; None where nothing is claimed."""

    action: str
    expected_value: float | None
    lower_bound: float | None
    cost: float


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


def decide(policy: Policy, facts: Facts) -> Decision:
    """Choose one action, or none.

    Parameters
    ----------
    policy : Policy
        A checked policy.toml.
    facts : Facts
        Of a scored customer.
    """
    asked = policy.table.get(facts.situation, policy.table["unknown"])
    codes = asked.of(facts.band, facts.segment)
    owed = [code for code in codes if policy.actions[code].service]
    if owed:
        return _decision(policy, facts, [_option(policy, facts, code) for code in owed], owed[0])
    if facts.band == "low":
        return _decision(policy, facts, [], NONE)
    allowed = [code for code in codes if code != NONE and _is_allowed(policy, facts, code)]
    options = [_option(policy, facts, code) for code in _messages_first(policy, facts, allowed)]
    possible = [option for option in options if _pays(policy.actions[option.action], option)]
    claimed = [option for option in possible if option.expected_value is not None]
    if claimed:
        best = max(claimed, key=lambda option: option.expected_value or 0.0).action
    else:
        best = possible[0].action if possible else NONE
    return _decision(policy, facts, possible, best)


def is_held_out(policy: Policy, customer_id: str) -> bool:
    """Whether a customer belongs to those from whom actions are withheld."""
    return draw(customer_id, policy.rules.holdout_salt, "holdout") < policy.rules.holdout_share


def _is_allowed(policy: Policy, facts: Facts, code: str) -> bool:
    """Consent, cooldown and cap; and no promotion while a complaint is open."""
    action, rules = policy.actions[code], policy.rules
    if action.promotion and facts.situation == "open_complaint":
        return False
    if action.needs_consent and facts.channels is not None and action.channel not in facts.channels:
        return False
    if _recent(policy, facts, rules.cooldown_days):
        return False
    return len(_recent(policy, facts, rules.contact_cap_days)) < rules.contact_cap


def _recent(policy: Policy, facts: Facts, days: int) -> list[Contact]:
    """Deliveries of the last so many days, service not counted."""
    since = facts.as_of - days * MICROSECONDS_PER_DAY
    return [
        contact
        for contact in facts.contacts
        if since < contact.at <= facts.as_of and not _is_service(policy, contact.action)
    ]


def _is_service(policy: Policy, code: str) -> bool:
    action = policy.actions.get(code)
    return action is not None and action.service


def _messages_first(policy: Policy, facts: Facts, codes: Sequence[str]) -> Sequence[str]:
    """Without incentives, unless a contact without one went before or there is none."""
    plain = [code for code in codes if policy.actions[code].incentive_cost == 0.0]
    if not policy.rules.message_first or not plain:
        return codes
    for contact in _recent(policy, facts, policy.rules.message_first_days):
        action = policy.actions.get(contact.action)
        if action is not None and action.incentive_cost == 0.0:
            return codes
    return plain


def _option(policy: Policy, facts: Facts, code: str) -> Option:
    action = policy.actions[code]
    economics = action.economics
    if economics is None or facts.value is None:
        return Option(code, None, None, action.contact_cost)
    p, value = facts.probability, facts.value
    return Option(
        code,
        float(economics.expected_value(p, value)),
        float(economics.lower_bound(p, value)),
        float(economics.expected_cost(p)),
    )


def _pays(action: ActionTable, option: Option) -> bool:
    """Whether it may be suggested: nothing that loses, and no incentive that may well lose."""
    if option.expected_value is None or option.lower_bound is None:
        return action.incentive_cost == 0.0  # nothing is claimed, so nothing is given away
    if action.incentive_cost > 0.0 and option.lower_bound <= 0.0:
        return False
    return option.expected_value > 0.0


def _decision(policy: Policy, facts: Facts, options: list[Option], best: str) -> Decision:
    """Draw, and tell what was drawn with its probability."""
    rules = policy.rules
    nothing = Option(NONE, 0.0, 0.0, 0.0)
    by_code = {option.action: option for option in (*options, nothing)}
    service = policy.actions[best].service
    chosen, rate = best, 0.0
    if options and not service:
        rate = rules.exploration_rate
        epoch = str(facts.as_of // (rules.exploration_days * MICROSECONDS_PER_DAY))
        if draw(facts.customer_id, rules.holdout_salt, "explore", epoch) < rate:
            at = draw(facts.customer_id, rules.holdout_salt, "choose", epoch)
            chosen = sorted(by_code)[int(at * len(by_code))]
    propensity = rate / len(by_code) + (1.0 - rate if chosen == best else 0.0)
    if not options or service:
        propensity = 1.0
    # Who gets nothing is not held out of anything.
    withholds = chosen != NONE and not service
    holdout = withholds and is_held_out(policy, facts.customer_id)
    if withholds:
        propensity *= rules.holdout_share if holdout else 1.0 - rules.holdout_share
    taken = by_code.pop(chosen)
    if chosen != NONE and service:
        by_code.pop(NONE)
    others = sorted(by_code.values(), key=lambda one: -(one.expected_value or 0.0))
    return Decision(
        taken.action,
        taken.expected_value,
        taken.lower_bound,
        taken.cost,
        tuple(one for one in others if one.action != NONE),
        holdout,
        chosen != best,
        propensity,
        policy.version,
    )
