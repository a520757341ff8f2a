"""What to do about one customer: the candidates, their expected values, the choice.

Service is owed: a complaint or bad quality is answered whatever it costs. Among the other
candidates the one of the greatest expected value is chosen, if that is above nothing's. A part of
the customers is held out, and a part of the decisions is random; both are drawn by
`churn.policy.chance`, and the decision says with which probability it was what it is.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from churn.policy.chance import draw
from churn.policy.contacts import Contact, is_answered, recent
from churn.policy.policy import NONE, Policy, Situation
from churn.policy.ready import Candidate, Option, Ready

__all__ = ["Candidates", "Contact", "Decision", "Facts", "Option", "candidates", "decide"]

NoneBecause = Literal[
    "low_risk", "not_foreseen", "contacted", "not_allowed", "nothing_pays", "answered"
]
"""Why there is nothing to be done: the risk is low, the table names nothing, the customer was
contacted lately, allows no channel that is asked for, nothing is worth its cost, or what is owed
has been done since."""
NONE_BECAUSE: tuple[NoneBecause, ...] = get_args(NoneBecause)


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
    if options:
        return _drawn(policy.ready, facts, options)
    sure = NOTHING if owed is None else owed
    action, expected, lower, cost = sure
    return Decision(
        action, expected, lower, cost, (), False, False, 1.0, policy.ready.version, why_none
    )


def candidates(policy: Policy, facts: Facts) -> Candidates:
    """What may be done: what is owed, or else what the rules allow and is worth its cost."""
    ready = policy.ready
    _, as_of, probability, band, segment, value, situation, channels, contacts, since = facts
    owed, every, plain = ready.cases[situation, band, segment]
    if owed is not None:
        if contacts and is_answered(policy, owed.code, contacts, as_of, since):
            return Candidates(None, (), "answered")
        return Candidates(owed.option(probability, value), ())
    if not every:
        return Candidates(None, (), "low_risk" if band == "low" else "not_foreseen")
    stops, told = ready.never, False
    if contacts:
        stops, told = recent(policy, contacts, as_of)
    if stops:
        return Candidates(None, (), "contacted")
    if channels is not None:
        every, plain = _allowed(every, channels), _allowed(plain, channels)
        if not every:
            return Candidates(None, (), "not_allowed")
    # A message before an incentive, unless none is possible.
    some = plain if plain and ready.message_first and not told else every
    options = []
    for one in some:
        option = one.option(probability, value)
        expected = option[1]
        if expected is None:
            if not one.gives:  # nothing is claimed, so nothing is given away
                options.append(option)
        elif expected > 0.0 and (not one.gives or (option[2] or 0.0) > 0.0):
            options.append(option)
    return Candidates(None, tuple(options), None if options else "nothing_pays")


def is_held_out(policy: Policy, customer_id: str) -> bool:
    """Whether a customer belongs to those from whom actions are withheld."""
    return draw(customer_id, policy.rules.holdout_salt, "holdout") < policy.rules.holdout_share


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


def _allowed(some: Sequence[Candidate], channels: frozenset[str]) -> tuple[Candidate, ...]:
    return tuple([one for one in some if one.consent is None or one.consent in channels])


def _drawn(ready: Ready, facts: Facts, options: Sequence[Option]) -> Decision:
    """Draw, and tell what was drawn with its probability."""
    best = chosen = options[0] if len(options) == 1 else best_of(options)
    customer_id, salt, rate = facts.customer_id, ready.salt, ready.rate
    if rate > 0.0:
        epoch = str(facts.as_of // ready.epoch)
        if draw(customer_id, salt, "explore", epoch) < rate:
            drawn_from = sorted((*options, NOTHING), key=lambda one: one.action)
            at = draw(customer_id, salt, "choose", epoch)
            chosen = drawn_from[int(at * len(drawn_from))]
    explored = chosen is not best
    propensity = rate / (len(options) + 1)
    if not explored:
        propensity += 1.0 - rate
    # Who gets nothing is not held out of anything.
    holdout = False
    if chosen is not NOTHING:
        share = ready.share
        holdout = draw(customer_id, salt, "holdout") < share
        propensity *= share if holdout else 1.0 - share
    others: tuple[Option, ...] = ()
    if len(options) > 1 or explored:
        left = [option for option in options if option is not chosen]
        others = tuple(sorted(left, key=lambda one: -(one.expected_value or 0.0)))
    action, expected, lower, cost = chosen
    return Decision(
        action, expected, lower, cost, others, holdout, explored, propensity, ready.version
    )
