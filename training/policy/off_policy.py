"""What a policy that has never run would be worth, from decisions that another one took by chance.

Where the new policy would do what happened to be done, the outcome is its own; each such decision
counts for as many as the logged policy did something else to (inverse propensity, IPS). Dividing by
the weights' sum instead of the number of decisions (self-normalised, SNIPS) steadies it. Doubly
robust (DR) predicts every decision's worth under the new policy and corrects the prediction where
it can be checked: unbiased whatever the prediction, and the surer the better it is. The prediction
is made by people of other folds only.

References
----------
Horvitz & Thompson (1952). Swaminathan & Joachims (2015), "The self-normalized estimator for
counterfactual learning". Dudik, Langford & Li (2011), "Doubly robust policy evaluation and
learning". Kong (1992) for the effective sample size.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn.errors import DataError
from churn.policy.economics import Belief
from churn.policy.policy import NONE, Policy
from training.intervals import Interval
from training.policy import clustered, effects
from training.policy.costs import incurred
from training.policy.decisions import Decisions, Floats, Integers, episodes
from training.policy.logged import logged, without_chance, would_do

FOLDS = 5
MIN_ROWS = 100
FEW_EFFECTIVE = 100.0
MUCH_UNSUPPORTED = 0.05
VAGUE = (Belief(0.03, 20.0), Belief(0.003, 300.0))
"""About an action of which nothing is claimed."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Recorded decisions beside what another policy would have done.

    Attributes
    ----------
    reward : ndarray, shape (n,)
        Margin kept less what was spent, in currency.
    weight : ndarray, shape (n,)
        1 / probability of what was done where the other policy does the same, else 0.
    actions : tuple of str
        All that was or would be done, without `none`.
    done, would : ndarray of int64, shape (n,)
        Positions in `actions`; -1 for `none`.
    supported : ndarray of bool, shape (n,)
        Whether the logged policy could have done what the other would.
    probability, value, cost_done, cost_would : ndarray, shape (n,)
        Of churn; margin at stake; what was spent and would be.
    kept : ndarray, shape (n,)
        Outcome, 1 or 0.
    cluster : ndarray of int64, shape (n,)
        Whose decision it was.
    """

    reward: Floats
    weight: Floats
    actions: tuple[str, ...]
    done: Integers
    would: Integers
    supported: NDArray[np.bool_]
    probability: Floats
    value: Floats
    cost_done: Floats
    cost_would: Floats
    kept: Floats
    cluster: Integers


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The worth of a policy per decision, in currency.

    Attributes
    ----------
    decisions, customers : int
        What it rests on.
    logged : Interval
        What the decisions as they were taken brought.
    ips, snips, dr : Interval
        What the other policy would have brought.
    gain : Interval
        `dr` less `logged`.
    effective : float
        As how many decisions the weighted ones are.
    unsupported : float
        Share of decisions at which the other policy does what the logged one never does.
    same : float
        Share of decisions at which both would do the same.
    left_out : dict of str to int
        Decisions that could not be used, by reason.
    warnings : tuple of str
    """

    decisions: int
    customers: int
    logged: Interval
    ips: Interval
    snips: Interval
    dr: Interval
    gain: Interval
    effective: float
    unsupported: float
    same: float
    left_out: dict[str, int]
    warnings: tuple[str, ...]


def evaluate(decisions: Decisions, past: Mapping[str, Policy], other: Policy) -> Evaluation:
    """Value another policy on recorded decisions.

    Parameters
    ----------
    decisions : Decisions
    past : mapping of str to Policy
        The policies that took them, by version.
    other : Policy
        The one that has not run. Its own holdout and exploration are left aside.

    Raises
    ------
    DataError
        Fewer than `MIN_ROWS` decisions can be used.
    """
    chosen, left_out = _usable(decisions, past)
    matched = match(decisions, chosen, past, other, left_out)
    n = len(matched.reward)
    if n < MIN_ROWS:
        why = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
        raise DataError(
            f"only {n} of {len(decisions):,} decisions can be used, at least {MIN_ROWS} are "
            f"needed{f' ({why})' if why else ''}"
        )
    return estimate(matched, left_out)


def estimate(matched: Matched, left_out: Mapping[str, int] | None = None) -> Evaluation:
    """The three estimates from matched decisions."""
    n = len(matched.reward)
    weight, cluster = matched.weight, matched.cluster
    ones = np.ones(n)
    independent = clustered.effective(clustered.summed(cluster, weight))
    done, would = _predicted(matched)
    ips = clustered.ratio(weight * matched.reward, ones, cluster)
    snips = (
        clustered.ratio(weight * matched.reward, weight, cluster)
        if weight.any()
        else clustered.Influence(float("nan"), np.zeros(int(cluster.max()) + 1), 0.0)
    )
    dr = clustered.ratio(would + weight * (matched.reward - done), ones, cluster)
    own = clustered.ratio(matched.reward, ones, cluster)
    # Few heavy weights are few decisions, however many light ones are beside them.
    for one in (ips, dr):
        one.independent = min(one.independent, max(independent, 2.0))
    unsupported = float((~matched.supported).mean())
    effective = clustered.effective(weight)
    return Evaluation(
        decisions=n,
        customers=len(np.unique(cluster)),
        logged=own.interval(),
        ips=ips.interval(),
        snips=snips.interval(),
        dr=dr.interval(),
        gain=(dr - own).interval(),
        effective=effective,
        unsupported=unsupported,
        same=float((matched.done == matched.would).mean()),
        left_out=dict(left_out or {}),
        warnings=_warnings(effective, unsupported),
    )


def _usable(
    decisions: Decisions, past: Mapping[str, Policy]
) -> tuple[NDArray[np.int64], Counter[str]]:
    """Rows that can be judged, and why the others cannot."""
    why: Counter[str] = Counter()
    left = np.ones(len(decisions), dtype=np.bool_)

    def drop(reason: str, rows: NDArray[np.bool_]) -> None:
        n = int((left & rows).sum())
        if n:
            why[reason] = n
        left[rows] = False

    drop("within the horizon of an earlier one", ~episodes(decisions, left))
    drop("horizon not over", np.isnan(decisions.retained))
    drop("no value or probability", np.isnan(decisions.value) | np.isnan(decisions.probability))
    drop("no band or segment", (decisions.band == None) | (decisions.segment == None))  # noqa: E711
    unknown = ~np.isin(decisions.policy_version.astype(str), list(past))
    drop("taken by a policy that is not given", unknown)
    service = np.zeros(len(decisions), dtype=np.bool_)
    for row in np.flatnonzero(left).tolist():
        action = past[decisions.policy_version[row]].actions.get(decisions.action[row])
        service[row] = action is not None and action.service
    drop("service, which is owed", service)
    return np.flatnonzero(left), why


def match(
    decisions: Decisions,
    rows: NDArray[np.int64],
    past: Mapping[str, Policy],
    other: Policy,
    why: Counter[str],
) -> Matched:
    """Put what was done beside what another policy would do.

    Parameters
    ----------
    decisions, past, other
        As `evaluate`.
    rows : ndarray of int64
        Which decisions.
    why : Counter of str
        Counts those of which the record contradicts their policy.
    """
    quiet = without_chance(other)
    kept_rows, done, would, weight, supported = [], [], [], [], []
    for row in rows.tolist():
        record = logged(decisions, row, past[decisions.policy_version[row]])
        if record is None:
            why["recorded with another probability than its policy's"] += 1
            continue
        target = would_do(quiet, decisions, row)
        kept_rows.append(row)
        done.append(record.done)
        would.append(target)
        supported.append(record.chances.get(target, 0.0) > 0.0)
        weight.append(1.0 / record.chances[target] if target == record.done else 0.0)
    found = decisions.where(np.array(kept_rows, dtype=np.int64))
    actions = tuple(sorted({*done, *would} - {NONE}))
    position = {NONE: -1} | {code: at for at, code in enumerate(actions)}
    at_done = np.array([position[code] for code in done], dtype=np.int64)
    at_would = np.array([position[code] for code in would], dtype=np.int64)
    spent = incurred(found, other)
    return Matched(
        reward=found.retained * found.value - spent,
        weight=np.array(weight),
        actions=actions,
        done=at_done,
        would=at_would,
        supported=np.array(supported, dtype=np.bool_),
        probability=found.probability,
        value=found.value,
        cost_done=_expected_cost(found, at_done, actions, other),
        cost_would=_expected_cost(found, at_would, actions, other),
        kept=found.retained,
        cluster=clustered.codes(found.customer_id.astype(str)) if kept_rows else at_done,
    )


def _expected_cost(
    decisions: Decisions, at: Integers, actions: tuple[str, ...], policy: Policy
) -> Floats:
    cost = np.zeros(len(decisions))
    for position, code in enumerate(actions):
        here = at == position
        action = policy.actions.get(code)
        if action is None:
            cost[here] = decisions.cost[here]
        elif action.economics is None:
            cost[here] = action.contact_cost
        else:
            cost[here] = action.economics.expected_cost(decisions.probability[here])
    return cost


def _predicted(matched: Matched) -> tuple[Floats, Floats]:
    """Expected reward of what was done and of what would be, each from other customers' folds."""
    n = len(matched.reward)
    fold = np.random.default_rng(0).integers(FOLDS, size=int(matched.cluster.max()) + 1)
    of = fold[matched.cluster]
    done, would = np.empty(n), np.empty(n)
    before = dict.fromkeys(matched.actions, VAGUE)
    for k in range(FOLDS):
        inside, outside = of == k, of != k
        learnt = effects.learn(
            matched.probability[outside],
            matched.done[outside],
            matched.kept[outside],
            matched.actions,
            before,
        )
        p, value = matched.probability[inside], matched.value[inside]
        done[inside] = learnt.kept(p, matched.done[inside]) * value - matched.cost_done[inside]
        would[inside] = learnt.kept(p, matched.would[inside]) * value - matched.cost_would[inside]
    return done, would


def _warnings(effective: float, unsupported: float) -> tuple[str, ...]:
    warnings = []
    if effective < FEW_EFFECTIVE:
        warnings.append(
            f"the decisions that agree with this policy weigh as {effective:.0f} of equal weight: "
            "too few for these intervals to be trusted; explore more, or wait"
        )
    if unsupported > MUCH_UNSUPPORTED:
        warnings.append(
            f"at {unsupported:.0%} of the decisions it would do what was never tried there: IPS "
            "and SNIPS are blind to those, DR goes by what it learnt elsewhere"
        )
    return tuple(warnings)
