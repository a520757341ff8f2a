"""Suggestions for many customers at once: those that each would be given alone, without words."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Codes, Floats, Integers
from churn.events import MICROSECONDS_PER_DAY
from churn.policy.advise import Advisor
from churn.policy.chance import draw
from churn.policy.crowd import Crowd, Group, groups, none_because, situations_of
from churn.policy.decide import is_held_out
from churn.policy.due import act_by_of_many, due_days_of_many
from churn.policy.policy import NONE

NO_DATE = int(np.iinfo(np.int32).min)


class ManyOptions(NamedTuple):
    """The alternatives of n customers, one after another, each customer's best first.

    Attributes
    ----------
    counts : ndarray of int64, shape (n,)
        How many each has; they sum to k.
    code : ndarray of int64, shape (k,)
        Position in `ManyActions.codes`.
    expected_value, lower_bound, cost : ndarray of float64, shape (k,)
        As in `churn.policy.ready.Option`; NaN where nothing is claimed.
    """

    counts: Integers
    code: Integers
    expected_value: Floats
    lower_bound: Floats
    cost: Floats


class ManyActions(NamedTuple):
    """`churn.policy.action.Action` of n customers, as columns.

    Attributes
    ----------
    code : ndarray of int64, shape (n,)
        Position in `codes`; -1 who is given no suggestion, not even none.
    codes, channels : tuple of str
        The policy's actions, and the channel of each.
    act_by : ndarray of int64, shape (n,)
        Days since 1970-01-01, UTC; `NO_DATE` where nothing is to be done.
    expected_value, lower_bound, cost : ndarray of float64, shape (n,)
        In currency; NaN where nothing is claimed, or suggested.
    holdout, explored : ndarray of bool, shape (n,)
        As there.
    propensity : ndarray of float64, shape (n,)
        As there; NaN where nothing is suggested.
    situation : ndarray of int8, shape (n,)
        Position in `SITUATIONS`; -1 where nothing is suggested.
    why_none : ndarray of int8, shape (n,)
        Position in `churn.policy.decide.NONE_BECAUSE` of why there was nothing to choose from; -1
        where there was something.
    alternatives : ManyOptions or None
        The other candidates that were possible, if they are asked for.
    """

    code: Integers
    codes: tuple[str, ...]
    channels: tuple[str, ...]
    act_by: Integers
    expected_value: Floats
    lower_bound: Floats
    cost: Floats
    holdout: Booleans
    explored: Booleans
    propensity: Floats
    situation: Codes
    why_none: Codes
    alternatives: ManyOptions | None = None


def advise_many(advisor: Advisor, crowd: Crowd, *, alternatives: bool = False) -> ManyActions:
    """What `Advisor.advise` suggests to each of n customers.

    Parameters
    ----------
    advisor : Advisor
        Of the policy.
    crowd : Crowd
        Everybody.
    alternatives : bool, optional
        Whether these are told too.
    """
    n = len(crowd.customer_id)
    catalogue = advisor.policy.actions
    situation = situations_of(advisor, crowd)
    out = ManyActions(
        code=np.full(n, -1, dtype=np.int64),
        codes=tuple(catalogue),
        channels=tuple(action.channel for action in catalogue.values()),
        act_by=np.full(n, NO_DATE, dtype=np.int64),
        expected_value=np.full(n, np.nan),
        lower_bound=np.full(n, np.nan),
        cost=np.full(n, np.nan),
        holdout=np.zeros(n, dtype=np.bool_),
        explored=np.zeros(n, dtype=np.bool_),
        propensity=np.full(n, np.nan),
        situation=situation,
        why_none=np.full(n, -1, dtype=np.int8),
    )
    others = []
    for group in groups(advisor, crowd, situation):
        _choose(advisor, crowd, group, out)
        if alternatives and not group.owed and group.codes:
            others.append(_others(group, out))
    _date(advisor, crowd, out)
    return out._replace(alternatives=_in_order(others, n)) if alternatives else out


def _choose(advisor: Advisor, crowd: Crowd, group: Group, out: ManyActions) -> None:
    """Fill in one group's choices."""
    rows, position = group.rows, {code: at for at, code in enumerate(out.codes)}
    at_none = position[NONE]
    some = group.possible.any(axis=1) if group.codes else np.zeros(len(rows), dtype=np.bool_)
    nobody = rows[~some]
    if len(nobody):
        _nothing(out, nobody, at_none)
        out.propensity[nobody] = 1.0
        out.why_none[nobody] = none_because(advisor, crowd, group)[~some]
    here = np.flatnonzero(some)
    if not len(here):
        return
    chosen = _best(group, here)
    of_codes = np.array([position[code] for code in group.codes], dtype=np.int64)
    rows = rows[here]
    out.code[rows] = of_codes[chosen]
    out.expected_value[rows] = group.expected_value[here, chosen]
    out.lower_bound[rows] = group.lower_bound[here, chosen]
    out.cost[rows] = group.cost[here, chosen]
    out.propensity[rows] = 1.0
    if not group.owed:
        _draw(advisor, crowd, group, here, chosen, out)


def _nothing(out: ManyActions, rows: Integers, at_none: int) -> None:
    """Suggest to leave these alone."""
    out.code[rows] = at_none
    out.expected_value[rows] = 0.0
    out.lower_bound[rows] = 0.0
    out.cost[rows] = 0.0


def _best(group: Group, here: Integers) -> Integers:
    """The candidate of the greatest expected value; where none is claimed, the cheapest."""
    possible, expected = group.possible[here], group.expected_value[here]
    claimed = possible & ~np.isnan(expected)
    by_value = np.argmax(np.where(claimed, expected, -np.inf), axis=1)
    by_cost = np.argmin(np.where(possible, group.cost[here], np.inf), axis=1)
    best: Integers = np.where(claimed.any(axis=1), by_value, by_cost)
    return best


def _draw(
    advisor: Advisor, crowd: Crowd, group: Group, here: Integers, best: Integers, out: ManyActions
) -> None:
    """Explore, withhold, and say with which probability."""
    rules = advisor.policy.rules
    salt, rate, share = rules.holdout_salt, rules.exploration_rate, rules.holdout_share
    rows = group.rows[here]
    ids = [crowd.customer_id[row] for row in rows.tolist()]
    propensity = rate / (group.possible[here].sum(axis=1) + 1)
    explored = np.zeros(len(rows), dtype=np.bool_)
    if rate > 0.0:
        epochs = crowd.as_of[rows] // (rules.exploration_days * MICROSECONDS_PER_DAY)
        position = {code: at for at, code in enumerate(out.codes)}
        for at, (customer_id, epoch) in enumerate(zip(ids, epochs.tolist(), strict=True)):
            if draw(customer_id, salt, "explore", str(epoch)) >= rate:
                continue
            possible = [group.codes[k] for k in np.flatnonzero(group.possible[here[at]]).tolist()]
            drawn_from = sorted([*possible, NONE])
            code = drawn_from[int(draw(customer_id, salt, "choose", str(epoch)) * len(drawn_from))]
            explored[at] = code != group.codes[best[at]]
            if code == NONE:
                _nothing(out, rows[at : at + 1], position[NONE])
            elif explored[at]:
                k = group.codes.index(code)
                out.code[rows[at]] = position[code]
                out.expected_value[rows[at]] = group.expected_value[here[at], k]
                out.lower_bound[rows[at]] = group.lower_bound[here[at], k]
                out.cost[rows[at]] = group.cost[here[at], k]
    propensity[~explored] += 1.0 - rate
    acts = out.code[rows] != out.codes.index(NONE)
    held = np.zeros(len(rows), dtype=np.bool_)
    if share > 0.0:
        for at in np.flatnonzero(acts).tolist():
            held[at] = is_held_out(advisor.policy, ids[at])
    propensity[acts] *= np.where(held[acts], share, 1.0 - share)
    out.explored[rows] = explored
    out.holdout[rows] = held
    out.propensity[rows] = propensity


def _others(group: Group, out: ManyActions) -> tuple[Integers, Integers, Floats, Floats, Floats]:
    """What was possible and not chosen: whose, which, and what of it."""
    of_codes = np.array([out.codes.index(code) for code in group.codes], dtype=np.int64)
    left = group.possible & (out.code[group.rows, None] != of_codes)
    here = np.flatnonzero(left.any(axis=1))
    left = left[here]
    claims = np.nan_to_num(group.expected_value[here])
    order = np.argsort(np.where(left, -claims, np.inf), axis=1, kind="stable")
    row, rank = np.nonzero(np.take_along_axis(left, order, axis=1))
    at = here[row], order[row, rank]
    return (
        group.rows[at[0]],
        of_codes[at[1]],
        group.expected_value[at],
        group.lower_bound[at],
        group.cost[at],
    )


def _in_order(
    others: Sequence[tuple[Integers, Integers, Floats, Floats, Floats]], n: int
) -> ManyOptions:
    """The alternatives of all groups, by customer."""
    none = np.zeros(0, dtype=np.int64)
    columns = zip((none, none, *[np.zeros(0)] * 3), *others, strict=True)
    row, code, expected, lower, cost = map(np.concatenate, columns)
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=n)
    return ManyOptions(counts, code[order], expected[order], lower[order], cost[order])


def _date(advisor: Advisor, crowd: Crowd, out: ManyActions) -> None:
    """Say by when."""
    gap = crowd.columns.get("average_gap_days")
    if gap is None:
        gap = np.full(len(out.code), np.nan)
    due = due_days_of_many(crowd.earliest, gap, advisor.lead_days, advisor.horizon_days)
    for at, code in enumerate(out.codes):
        if code == NONE:
            continue
        rows = np.flatnonzero(out.code == at)
        action = advisor.policy.actions[code]
        out.act_by[rows] = act_by_of_many(
            crowd.as_of[rows], due[rows], action.within_hours, action.service
        )
