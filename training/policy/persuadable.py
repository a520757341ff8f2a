"""Whom an action changes, asked of the decisions themselves, and whether that is known for sure.

An X-learner sees what a decision records: the probability, the value, the situation, the segment,
the main reason. Its ranking of customers it has not seen is held against that of the policy, which
goes by p s - (1 - p) h.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.policy.policy import Policy
from training.intervals import Interval
from training.policy import clustered
from training.policy.costs import incurred
from training.policy.decisions import Decisions, Floats, episodes, is_offer
from training.policy.qini import qini
from training.policy.uplift import MIN_OF_EACH_ARM, cross_fitted

MIN_KNOWN = 2
CATEGORIES = ("situation", "segment", "reason")


@dataclass(frozen=True, slots=True)
class Persuadable:
    """How well those whom an action changes can be told from the others.

    Attributes
    ----------
    action : str
    treated, withheld : int
        Customers that were learnt from.
    qini : Interval
        Of the uplift model's ranking; above 0, it tells them apart.
    over_policy : Interval
        The same less the policy's own; above 0, it tells them apart better.
    gain : Interval or None
        What acting where the uplift model expects it to pay brings more than acting where the
        policy does, per customer for whom the action was chosen, in currency: doubly robust, on
        customers whom the model did not see. None where value and cost are known of fewer than two
        of the treated, or of the withheld.
    """

    action: str
    treated: int
    withheld: int
    qini: Interval
    over_policy: Interval
    gain: Interval | None


def persuadable(decisions: Decisions, policy: Policy, seed: int) -> list[Persuadable]:
    """Every action about which there is enough to be told.

    Parameters
    ----------
    decisions : Decisions
    policy : Policy
        Whose beliefs the ranking is compared with.
    seed : int
    """
    known = ~np.isnan(decisions.retained) & ~np.isnan(decisions.probability)
    rows = decisions.where(episodes(decisions, is_offer(decisions)) & known)
    found = []
    for action in sorted(set(rows.action.tolist())):
        here = rows.where(np.asarray(rows.action == action))
        treated = ~here.withheld
        known_as = policy.actions.get(action)
        if known_as is None or known_as.economics is None:
            continue
        economics = known_as.economics
        if min(treated.sum(), (~treated).sum()) < MIN_OF_EACH_ARM:
            continue
        cluster = clustered.codes(here.customer_id.astype(str))
        uplift = cross_fitted(columns(here), treated, here.retained, cluster, seed)
        p = here.probability
        cells = zip(here.situation, here.band, strict=True)
        saved = np.array([known_as.economics_in[cell].saved.mean for cell in cells])
        believed = p * saved - (1.0 - p) * economics.harm.mean
        told = treated, here.retained, cluster
        found.append(
            Persuadable(
                action,
                int(treated.sum()),
                int((~treated).sum()),
                qini(uplift, *told, seed=seed),
                qini(uplift, *told, seed=seed, against=believed),
                gain(here, uplift, believed, policy),
            )
        )
    return found


def gain(decisions: Decisions, uplift: Floats, believed: Floats, policy: Policy) -> Interval | None:
    """What one rule of whom to treat is worth more than another, per customer in currency.

    Each acts where the change of the share kept that it expects, times the margin that hangs on
    the customer, is above the action's expected cost. Who was treated was drawn, so each customer
    tells by inverse propensity what either rule brings; subtracting the mean of each group
    steadies it and biases nothing.

    Parameters
    ----------
    decisions : Decisions
        Of one action, with known outcomes.
    uplift, believed : ndarray of float64, shape (n,)
        What each rule expects the action to change; not learnt from these customers.
    policy : Policy
        The prices.
    """
    known = ~np.isnan(decisions.value) & ~np.isnan(decisions.cost)
    rows, treated = decisions.where(known), ~decisions.withheld[known]
    if min(treated.sum(), (~treated).sum()) < MIN_KNOWN:
        return None
    # The choice itself was the same for all: what was drawn is who gets it.
    share = float(treated.mean())
    reward = rows.retained * rows.value - incurred(rows, policy)
    means = [float(reward[group].mean()) for group in (treated, ~treated)]
    effect = (means[0] - means[1]) + np.where(
        treated, (reward - means[0]) / share, -(reward - means[1]) / (1.0 - share)
    )
    acts, would = (one[known] * rows.value > rows.cost for one in (uplift, believed))
    more = (acts.astype(np.float64) - would) * effect
    cluster = clustered.codes(rows.customer_id.astype(str))
    return clustered.ratio(more, np.ones(len(more)), cluster).interval()


def columns(decisions: Decisions) -> Floats:
    """What an uplift model sees of decisions, shape (n, n_columns)."""
    value = np.log1p(np.maximum(decisions.value, 0.0))
    found: Sequence[NDArray[np.float64]] = [decisions.probability, value]
    for name in CATEGORIES:
        column = getattr(decisions, name).astype(str)
        found = [
            *found,
            *((column == one).astype(np.float64) for one in np.unique(column)[:-1]),
        ]
    return np.column_stack(found)
