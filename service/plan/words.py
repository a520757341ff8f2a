"""What a plan says in words: what the limits are worth, and why a customer gets nothing."""

from collections.abc import Iterator, Mapping

from service.plan.making import Plan

REASONS: dict[str, str] = {
    "low_risk": "the risk is low, so the customer is left alone",
    "not_foreseen": "the policy considers no action for such a customer",
    "contacted": "contacted lately: the cooldown or the contact cap of the policy",
    "not_allowed": "the customer allows no channel that is asked for",
    "nothing_pays": "no action is worth its cost, or sure enough to be worth its incentive",
    "answered": "what is owed has been delivered already",
    "not_scored": "there is no score: lapsed, too short a history, or nothing stored",
    "nothing_claimed": "the actions that are considered claim no effect, or the value of the "
    "customer is not known",
    "no_place": "service is owed, but no place is left for it",
    "limits": "the budget or the places bring more with others",
    "decided": "a decision of the same day stands: to do nothing",
}


def prices(plan: Plan, budget: float | None, currency: str) -> Iterator[str]:
    """What one more unit of each limit would be worth, a sentence for each.

    Parameters
    ----------
    plan : Plan
        The plan.
    budget : float or None
        Its budget, if there is one.
    currency : str
        Such as RUB.
    """
    if budget is not None:
        if plan.budget_price > 0.0:
            yield (f"one more {currency} of budget is worth {plan.budget_price:,.2f} beyond itself")
        else:
            yield f"more budget would bring nothing: {plan.spent:,.2f} {currency} of it is spent"
    for code, toll in plan.tolls.items():
        if toll > 0.0:
            yield f"one more {code} slot is worth {toll:,.2f} {currency}"
        else:
            yield f"one more {code} slot would bring nothing"


def kept(n: int) -> Iterator[str]:
    """That decisions stand, if any do."""
    if n:
        yield (
            f"the decisions about {n:,} customers had been recorded that day: they stand, and what "
            "they give takes its places and its part of the budget first"
        )


def shadow_prices(plan: Plan, budget: float | None) -> Mapping[str, float]:
    """The same as numbers: of `budget`, if there is one, and of each limited action."""
    priced = {} if budget is None else {"budget": plan.budget_price}
    return {**priced, **plan.tolls}
