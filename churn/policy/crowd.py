"""Many customers and what may be done about each: `churn.policy.decide.candidates` by column.

Customers of one situation, band and segment have the same candidates, so each of these groups is
weighed at once. What comes out is what each customer would be told alone, to the last bit; a test
holds the two to each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Codes, Floats, Integers
from churn.policy.advise import USUAL_SEGMENT, Advisor
from churn.policy.contacts import RecentContacts, is_answered, not_contacted
from churn.policy.decide import NONE_BECAUSE
from churn.policy.policy import BANDS, SEGMENTS, SITUATIONS, Policy, Situation

_BECAUSE = {why: at for at, why in enumerate(NONE_BECAUSE)}


class Crowd(NamedTuple):
    """What is known of n customers who are to be advised; `churn.policy.advise.Known` by column.

    Attributes
    ----------
    customer_id : sequence of str, length n
        Opaque identifiers.
    as_of : ndarray of int64, shape (n,)
        Microseconds since 1970-01-01 UTC.
    columns : mapping of str to ndarray of float64, shape (n,)
        Input columns by name.
    probability, earliest : ndarray of float64, shape (n,)
        NaN where there is no score.
    band : ndarray of int8, shape (n,)
        Risk band: 0 low, 1 medium, 2 high; -1 where there is no score.
    is_lapsed : ndarray of bool, shape (n,)
        Who has no score for having been silent too long.
    families : sequence of str
        What `main` counts.
    main : ndarray of int64, shape (n, 3)
        Families of the main reasons that raise the risk, the largest first; -1 where fewer.
    value : ndarray of float64, shape (n,)
        In currency; NaN where not known.
    segment : ndarray of int8, shape (n,)
        0 A, 1 B, 2 C; -1 where not known.
    categories : sequence of str or None
        What `category` counts.
    category : ndarray of int64, shape (n,)
        Loss category.
    channels : sequence of frozenset of str or None, length n, or None
        Those that each customer allows; None where nobody was asked.
    contacts : RecentContacts or None
        What was delivered lately; None where nothing is known of that.
    """

    customer_id: Sequence[str]
    as_of: Integers
    columns: Mapping[str, Floats]
    probability: Floats
    earliest: Floats
    band: Codes
    is_lapsed: Booleans
    families: Sequence[str]
    main: Integers
    value: Floats
    segment: Codes
    categories: Sequence[str | None]
    category: Integers
    channels: Sequence[frozenset[str] | None] | None = None
    contacts: RecentContacts | None = None


class Group(NamedTuple):
    """Customers who have the same candidates; m of them, k candidates.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Their positions in the crowd.
    situation : int
        Position in `SITUATIONS`.
    owed : bool
        Whether the one candidate is service, which is done whatever else might be.
    codes : tuple of str, length k
        The candidates, in the order of the table.
    possible : ndarray of bool, shape (m, k)
        Which of them pay and are allowed.
    expected_value, lower_bound : ndarray of float64, shape (m, k)
        In currency, NaN where nothing is claimed.
    cost : ndarray of float64, shape (m, k)
        Expected, in currency.
    stops : ndarray of bool, shape (m,)
        Who was contacted too lately.
    """

    rows: Integers
    situation: int
    owed: bool
    codes: tuple[str, ...]
    possible: Booleans
    expected_value: Floats
    lower_bound: Floats
    cost: Floats
    stops: Booleans


def situations_of(advisor: Advisor, crowd: Crowd) -> Codes:
    """The situation of everybody, as positions in `SITUATIONS`; -1 who is not to be advised."""
    found = advisor.situations.of_many(
        crowd.columns, crowd.families, crowd.main, crowd.categories, crowd.category
    )
    is_open = found == SITUATIONS.index("open_complaint")
    found[(crowd.band < 0) & ~(crowd.is_lapsed & is_open)] = -1
    return found


def groups(advisor: Advisor, crowd: Crowd, situation: Codes) -> Iterator[Group]:
    """Everybody who is to be advised, by what may be done about them.

    Parameters
    ----------
    advisor : Advisor
        Of the policy.
    crowd : Crowd
        Everybody.
    situation : ndarray of int8, shape (n,)
        As `situations_of` gives it.
    """
    if not len(situation):
        return
    contacts = crowd.contacts or not_contacted(advisor.policy, len(situation))
    segment = np.where(crowd.segment < 0, SEGMENTS.index(USUAL_SEGMENT), crowd.segment)
    band = np.maximum(crowd.band, 0)  # a lapsed customer's: what goes by the risk is not asked
    key = (situation.astype(np.int64) * len(BANDS) + band) * len(SEGMENTS) + segment
    key[situation < 0] = -1
    order = np.argsort(key, kind="stable")
    keys, starts = np.unique(key[order], return_index=True)
    for one, rows in zip(keys.tolist(), np.split(order, starts[1:]), strict=True):
        if one < 0:
            continue
        rest, at_segment = divmod(one, len(SEGMENTS))
        at_situation, at_band = divmod(rest, len(BANDS))
        named = SITUATIONS[at_situation], BANDS[at_band], SEGMENTS[at_segment]
        considered = advisor.policy.considered[named]
        if considered.owed is not None:
            weighed = _weighed(advisor.policy, crowd, rows, (considered.owed,), named[:2])
            is_due = _is_due(advisor, crowd, contacts, rows, considered.owed, named[0])
            stops = contacts.stops[rows]
            yield Group(rows, at_situation, True, (considered.owed,), is_due, *weighed, stops)
            continue
        codes = considered.codes
        expected, lower, cost = _weighed(advisor.policy, crowd, rows, codes, named[:2])
        possible = _allowed(advisor.policy, crowd, rows, codes, named[0] == "open_complaint")
        stops = contacts.stops[rows]
        possible &= ~stops[:, None]
        _messages_first(advisor.policy, codes, possible, contacts.told[rows])
        possible &= _pays(advisor.policy, codes, expected, lower)
        yield Group(rows, at_situation, False, codes, possible, expected, lower, cost, stops)


def none_because(advisor: Advisor, crowd: Crowd, group: Group) -> Codes:
    """Why there is nothing to choose from, for those of a group for whom there is not.

    Returns
    -------
    ndarray of int8, shape (m,)
        Positions in `NONE_BECAUSE`.
    """
    actions, rows = advisor.policy.actions, group.rows
    if group.owed:
        return np.full(len(rows), _BECAUSE["answered"], dtype=np.int8)
    is_open = SITUATIONS[group.situation] == "open_complaint"
    codes = [code for code in group.codes if not (is_open and actions[code].promotion)]
    if not codes:
        is_low = crowd.band[rows] <= 0
        why = np.where(is_low, _BECAUSE["low_risk"], _BECAUSE["not_foreseen"])
        return why.astype(np.int8)
    found = np.full(len(rows), _BECAUSE["nothing_pays"], dtype=np.int8)
    if crowd.channels is not None:
        for at, row in enumerate(rows.tolist()):
            allowed = crowd.channels[row]
            if allowed is not None and not any(
                not actions[code].needs_consent or actions[code].channel in allowed
                for code in codes
            ):
                found[at] = _BECAUSE["not_allowed"]
    found[group.stops] = _BECAUSE["contacted"]
    return found


def _weighed(
    policy: Policy, crowd: Crowd, rows: Integers, codes: Sequence[str], named: tuple[str, str]
) -> tuple[Floats, Floats, Floats]:
    """Expected value, lower bound and cost of each candidate."""
    shape = (len(rows), len(codes))
    expected, lower, cost = np.full(shape, np.nan), np.full(shape, np.nan), np.empty(shape)
    p, value = crowd.probability[rows], crowd.value[rows]
    known = ~np.isnan(p) & ~np.isnan(value)
    p, value = p[known], value[known]
    for at, code in enumerate(codes):
        action = policy.actions[code]
        cost[:, at] = action.contact_cost
        economics = action.economics_in.get(named)
        if economics is not None:
            expected[known, at] = economics.expected_value(p, value)
            lower[known, at] = economics.lower_bound(p, value)
            cost[known, at] = economics.expected_cost(p)
    return expected, lower, cost


def _allowed(
    policy: Policy, crowd: Crowd, rows: Integers, codes: Sequence[str], is_open: bool
) -> Booleans:
    allowed: Booleans = np.ones((len(rows), len(codes)), dtype=np.bool_)
    asked: list[frozenset[str] | None] = []
    if crowd.channels is not None:
        asked = [crowd.channels[row] for row in rows.tolist()]
    for at, code in enumerate(codes):
        action = policy.actions[code]
        if is_open and action.promotion:
            allowed[:, at] = False
        elif asked and action.needs_consent:
            allowed[:, at] = [one is None or action.channel in one for one in asked]
    return allowed


def _messages_first(
    policy: Policy, codes: Sequence[str], possible: Booleans, told: Booleans
) -> None:
    """Leave out incentives where a contact without one is allowed and none went before."""
    if not policy.rules.message_first:
        return
    gives = np.array([policy.actions[code].incentive_cost > 0.0 for code in codes], dtype=np.bool_)
    first = ~told & possible[:, ~gives].any(axis=1)
    possible[np.ix_(first, gives)] = False


def _pays(policy: Policy, codes: Sequence[str], expected: Floats, lower: Floats) -> Booleans:
    gives = np.array([policy.actions[code].incentive_cost > 0.0 for code in codes], dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        claimed = (expected > 0.0) & (~gives | (lower > 0.0))
    found: Booleans = np.where(np.isnan(expected), ~gives, claimed)
    return found


def _is_due(
    advisor: Advisor,
    crowd: Crowd,
    contacts: RecentContacts,
    rows: Integers,
    code: str,
    situation: Situation,
) -> Booleans:
    """Whether what is owed has not been delivered since, shape (m, 1)."""
    due: Booleans = np.ones((len(rows), 1), dtype=np.bool_)
    if contacts.each is not None:
        for at, row in enumerate(rows.tolist()):
            given, as_of = contacts.each[row], int(crowd.as_of[row])
            if given:
                known = {name: float(column[row]) for name, column in crowd.columns.items()}
                since = advisor.situations.owed_since(situation, known, as_of)
                due[at, 0] = not is_answered(advisor.policy, code, given, as_of, since)
    return due
