"""With which probability a recorded policy would have done each thing to each customer.

A recorded decision says with which probability it came about. What another policy would have done
may be something else, and whoever was held out was done nothing to, whatever was chosen for them:
so the probability of everything that could have been *done* is told here, from the candidates and
the rules. It agrees with the recorded propensity, and a decision where it does not is left out.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from churn.policy.action import BY_PLAN
from churn.policy.decide import Contact, Facts, decide
from churn.policy.policy import NONE, Policy, Rules, Situation
from training.policy.decisions import Decisions

TOLERANCE = 1e-6


class Logged(NamedTuple):
    """One decision as the policy that took it saw it.

    Attributes
    ----------
    chances : dict of str to float
        What could have been done, `none` included, and with which probability; they sum to 1.
    done : str
        What was: `none` where the action was withheld.
    """

    chances: dict[str, float]
    done: str


def chances(rules: Rules, candidates: Sequence[str], best: str) -> dict[str, float]:
    """Probability of everything that could be done.

    Parameters
    ----------
    rules : Rules
        Exploration rate and holdout share.
    candidates : sequence of str
        What was possible, without `none`.
    best : str
        What was best, `none` or one of them.
    """
    codes = {*candidates, NONE}
    if not candidates:
        return {NONE: 1.0}
    rate, held = rules.exploration_rate, rules.holdout_share
    done = {}
    for code in codes - {NONE}:
        chosen = rate / len(codes) + (1.0 - rate if code == best else 0.0)
        if chosen > 0.0:
            done[code] = chosen * (1.0 - held)
    done[NONE] = 1.0 - sum(done.values())
    return done


def logged(decisions: Decisions, row: int, policy: Policy) -> Logged | None:
    """How a decision came about; None where the record contradicts the policy.

    Parameters
    ----------
    decisions : Decisions
    row : int
    policy : Policy
        The one that took it.
    """
    action, facts = decisions.action[row], decisions.facts[row]
    others, rules = facts.get("alternatives", ()), policy.rules
    if facts.get("by") == BY_PLAN:  # at its prices nothing else was possible
        others, rules = (), without_draws(rules)
    candidates = [code for code in (action, *(one["code"] for one in others)) if code != NONE]
    best = _best(others) if decisions.explored[row] else action
    found = chances(rules, candidates, best)
    done = NONE if decisions.withheld[row] else action
    n = len(candidates) + 1
    rate, held = rules.exploration_rate, rules.holdout_share
    propensity = rate / n + (1.0 - rate if action == best else 0.0) if candidates else 1.0
    if action != NONE:
        propensity *= held if decisions.withheld[row] else 1.0 - held
    agrees = math.isclose(propensity, decisions.propensity[row], rel_tol=TOLERANCE)
    return Logged(found, done) if agrees and done in found else None


def _best(others: Sequence[Mapping[str, Any]]) -> str:
    """What would have been done but for the draw: claims most, or claiming nothing costs least."""
    claimed = [one for one in others if one.get("expected_value") is not None]
    if claimed:
        return str(max(claimed, key=lambda one: one["expected_value"])["code"])
    return str(min(others, key=lambda one: one.get("cost", 0.0))["code"]) if others else NONE


def would_do(policy: Policy, decisions: Decisions, row: int) -> str:
    """What a policy does to a recorded customer, all chance left aside."""
    facts = decisions.facts[row]
    channels = facts.get("channels")
    value = float(decisions.value[row])
    return decide(
        policy,
        Facts(
            customer_id=decisions.customer_id[row],
            as_of=int(decisions.as_of[row]),
            probability=float(decisions.probability[row]),
            band=decisions.band[row],
            segment=decisions.segment[row],
            value=None if math.isnan(value) else value,
            situation=_situation(decisions.situation[row]),
            channels=None if channels is None else frozenset(channels),
            contacts=tuple(Contact(*contact) for contact in facts.get("contacts", ())),
        ),
    ).action


def without_chance(policy: Policy) -> Policy:
    """The policy with nobody held out and nothing drawn at random."""
    rules = without_draws(policy.rules).model_copy(update={"holdout_share": 0.0})
    return policy.model_copy(update={"rules": rules})


@cache
def without_draws(rules: Rules) -> Rules:
    """The rules of a policy that draws nobody but those held out."""
    return rules.model_copy(update={"exploration_rate": 0.0})


def _situation(name: str | None) -> Situation:
    return name or "unknown"  # type: ignore[return-value]
