"""What decisions cost: as reported where acceptance is reported, else as expected when decided."""

import numpy as np

from churn.policy.policy import NONE, Policy
from training.policy.decisions import Decisions, Floats


def incurred(decisions: Decisions, policy: Policy) -> Floats:
    """Cost of each decision in currency; 0 for what was withheld and for nothing.

    An action with an incentive, of which any acceptance at all is reported, cost the contact, and
    the incentive where it was accepted; another one what was expected when it was decided.

    Parameters
    ----------
    decisions : Decisions
    policy : Policy
        The prices.

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    cost = np.where(np.isnan(decisions.cost), 0.0, decisions.cost)
    for code in set(decisions.action.tolist()):
        action = policy.actions.get(code)
        here = np.asarray(decisions.action == code)
        if action is None or action.incentive_cost == 0.0 or not decisions.accepted[here].any():
            continue
        paid = action.contact_cost + action.incentive_cost * decisions.accepted[here]
        cost[here] = paid
    nothing = decisions.withheld | (decisions.action == NONE)
    return np.asarray(np.where(nothing, 0.0, cost))
