"""A plan as it is answered: who gets what, from whom it is withheld, and who gets nothing."""

import math
from typing import Any

from churn.policy.policy import Policy
from service.plan.making import Plan
from service.plan.options import NOBODY, WHY
from service.plan.standing import Book


def told(
    plan: Plan | None, book: Book, policy: Policy, *, names: bool
) -> dict[str, list[dict[str, Any]]]:
    """The lists of the answer, each in the order of the customers.

    Parameters
    ----------
    plan : Plan or None
        Who gets what; None where nobody was scored.
    book : Book
        The customers, and what is recorded of them.
    policy : Policy
        Of the plan.
    names : bool
        Whether decisions are recorded and told by name.
    """
    lists: dict[str, list[dict[str, Any]]] = {"assignments": [], "withheld": [], "left_out": []}
    if plan is None:
        return lists
    for at, (who, _) in enumerate(book.keys):
        position = int(plan.action[at])
        named = {"decision_id": book.names[at]} if names else {}
        if position == NOBODY:
            left_out = {"customer_id": who, "reason": WHY[plan.why[at]]}
            lists["left_out"].append(left_out | named)
            continue
        code = plan.codes[position]
        if plan.withheld[at]:
            lists["withheld"].append({"customer_id": who, "action": code} | named)
            continue
        stands, value = book.stands(at), float(plan.expected_value[at])
        assigned = {
            "customer_id": who,
            "action": code,
            "channel": policy.actions[code].channel if stands is None else stands.channel,
            "owed": bool(plan.owed[at]),
            "cost": float(plan.cost[at]),
            "expected_value": None if math.isnan(value) else value,
        }
        lists["assignments"].append(assigned | named)
    return lists
