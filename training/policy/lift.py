"""What each action was worth: those who got it against those from whom it was withheld.

For both the same action was chosen, and a hash of the customer's id said who gets it: nothing else
tells them apart. Everybody is compared as drawn, delivered or not, for delivery is not random. An
action that is service is owed to everybody, so nobody was without it and no lift is claimed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.policy.policy import Policy
from training.intervals import Interval
from training.policy import clustered
from training.policy.costs import incurred
from training.policy.decisions import Booleans, Decisions, Floats, Integers, episodes, is_offer
from training.policy.verdict import Verdict, judge

BY = ("segment", "situation", "reason")
MIN_CUSTOMERS = 2
_Z_POWER = 1.959963984540054 + 0.8416212335729143  # 5% two-sided, power 80%
LEAST_EFFECT = 0.02


@dataclass(frozen=True, slots=True)
class Lift:
    """One line of the report.

    Attributes
    ----------
    action : str
    by, part : str or None
        The line's part of the action's customers: ``segment`` and ``A``, say; None for all.
    treated, withheld : int
        Decisions whose outcome is known, one for each customer and horizon.
    waiting : int
        Decisions whose horizon is not over.
    retention_treated, retention_withheld : float or None
        Share that bought within the horizon.
    lift : Interval or None
        Their difference, in shares of 1.
    margin : Interval or None
        What the treated brought more than the withheld, per treated customer, in currency: the
        margin that hangs on each customer, where kept.
    cost : float or None
        What a treated customer cost, as expected when it was decided.
    profit : Interval or None
        `margin` less `cost`.
    total_profit : Interval or None
        `profit` times the treated.
    needed : int or None
        How many more customers, treated and withheld, until the effect that the policy expects
        would show; None where it shows, or nothing can be withheld.
    verdict : Verdict
    """

    action: str
    by: str | None
    part: str | None
    treated: int
    withheld: int
    waiting: int
    retention_treated: float | None
    retention_withheld: float | None
    lift: Interval | None
    margin: Interval | None
    cost: float | None
    profit: Interval | None
    total_profit: Interval | None
    needed: int | None
    verdict: Verdict


def lifts(decisions: Decisions, policy: Policy) -> list[Lift]:
    """A line for each action, and for its part in each segment, situation and reason.

    Parameters
    ----------
    decisions : Decisions
    policy : Policy
        Says which actions are service, and the prices.
    """
    begins = episodes(decisions, is_offer(decisions))
    begun = decisions.where(begins)
    columns: Mapping[str, NDArray[np.object_]] = {name: getattr(begun, name) for name in BY}
    lines = []
    for action in sorted(set(begun.action.tolist())):
        here = np.asarray(begun.action == action)
        lines.append(_line(begun.where(here), action, None, None, policy))
        for by, column in columns.items():
            parts = sorted({part for part in column[here].tolist() if part is not None})
            if len(parts) > 1:
                lines += [
                    _line(begun.where(here & (column == part)), action, by, part, policy)
                    for part in parts
                ]
    return lines


def _line(group: Decisions, action: str, by: str | None, part: str | None, policy: Policy) -> Lift:
    found = policy.actions.get(action)
    service = found is not None and found.service
    known = ~np.isnan(group.retained)
    rows = group.where(known)
    treated = ~rows.withheld
    n_treated, n_withheld = int(treated.sum()), int((~treated).sum())
    cost = incurred(rows, policy)
    line = _Figures() if service else _Figures.of(rows, treated, cost)
    return Lift(
        action=action,
        by=by,
        part=part,
        treated=n_treated,
        withheld=n_withheld,
        waiting=int((~known).sum()),
        retention_treated=_mean(rows.retained[treated]),
        retention_withheld=_mean(rows.retained[~treated]),
        lift=line.lift,
        margin=line.margin,
        cost=_mean(cost[treated]),
        profit=line.profit,
        total_profit=None if line.profit is None else _times(line.profit, n_treated),
        needed=line.needed,
        verdict=judge(service, n_treated, n_withheld, line.lift, line.profit, line.needed),
    )


@dataclass(frozen=True, slots=True)
class _Figures:
    lift: Interval | None = None
    margin: Interval | None = None
    profit: Interval | None = None
    needed: int | None = None

    @classmethod
    def of(cls, rows: Decisions, treated: Booleans, cost: Floats) -> "_Figures":
        stratum = clustered.codes(rows.policy_version.astype(str))
        shared = clustered.balance(treated, stratum) > 0.0
        if min((shared & treated).sum(), (shared & ~treated).sum()) < MIN_CUSTOMERS:
            return cls()
        cluster = clustered.codes(rows.customer_id.astype(str))
        lift = _compared(rows.retained, treated, cluster, stratum)
        certain = lift.interval(_least_variance(rows.retained, treated))
        needed = _needed(rows, treated) if certain.low <= 0.0 <= certain.high else None
        valued = ~np.isnan(rows.value) & shared
        if min((valued & treated).sum(), (valued & ~treated).sum()) < MIN_CUSTOMERS:
            return cls(certain, needed=needed)
        brought = (rows.retained * rows.value)[valued]
        among = treated[valued], cluster[valued], stratum[valued]
        margin = _compared(brought, *among).interval()
        profit = _compared(brought - cost[valued], *among).interval()
        return cls(certain, margin, profit, needed)


def _compared(
    outcome: Floats, treated: Booleans, cluster: Integers, stratum: Integers
) -> clustered.Influence:
    with_it, without = clustered.difference(outcome, treated, cluster, stratum)
    return with_it - without


def _least_variance(retained: Floats, treated: Booleans) -> float:
    """What the variance of a difference of shares is at least.

    It is that with two more of each group, one kept and one lost (Agresti & Caffo 2000): few
    customers of one kind are no certainty.
    """
    variance = 0.0
    for group in (retained[treated], retained[~treated]):
        share = (float(group.sum()) + 1.0) / (len(group) + 2.0)
        variance += share * (1.0 - share) / (len(group) + 2.0)
    return variance


def _needed(rows: Decisions, treated: Booleans) -> int | None:
    """More customers until an effect as large as the policy expects would show in four of five."""
    share = float(treated.mean())
    expected = (rows.expected_value + rows.cost) / rows.value
    expected = expected[np.isfinite(expected)]
    effect = float(expected.mean()) if len(expected) else LEAST_EFFECT
    if effect <= 0.0:
        effect = LEAST_EFFECT
    kept = float(rows.retained.mean())
    spread = max(kept * (1.0 - kept), 1e-9) * (1.0 / share + 1.0 / (1.0 - share))
    return max(0, math.ceil(_Z_POWER * _Z_POWER * spread / (effect * effect)) - len(rows))


def _mean(column: Floats) -> float | None:
    return float(column.mean()) if len(column) else None


def _times(interval: Interval, factor: float) -> Interval:
    return Interval(*(factor * limit for limit in interval))
