"""What was done for a customer so far, as far as it keeps from doing more."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from churn.compiled import Booleans, Integers
from churn.events import MICROSECONDS_PER_DAY
from churn.policy.policy import Policy

UNKNOWN_ACTION = ""
"""The action of a contact of which no more is known than that it was."""


class Contact(NamedTuple):
    """An action that was delivered: when, microseconds since 1970-01-01 UTC, and which."""

    at: int
    action: str = UNKNOWN_ACTION


class Recent(NamedTuple):
    """What a choice goes by.

    Attributes
    ----------
    stops : bool
        The cooldown is not over, or there were as many contacts as there may be.
    told : bool
        A contact without an incentive has been delivered lately, so one with may follow.
    """

    stops: bool
    told: bool


class RecentContacts(NamedTuple):
    """`Recent` of n customers, as columns; `each` has their contacts where actions are known."""

    stops: Booleans
    told: Booleans
    each: Sequence[Sequence[Contact]] | None = None


def recent(policy: Policy, contacts: Sequence[Contact], as_of: int) -> Recent:
    """Look at the deliveries before `as_of`, in any order; service does not count."""
    rules = policy.rules
    cooldown = as_of - rules.cooldown_days * MICROSECONDS_PER_DAY
    capped = as_of - rules.contact_cap_days * MICROSECONDS_PER_DAY
    first = as_of - rules.message_first_days * MICROSECONDS_PER_DAY
    is_cooling, within, told = False, 0, False
    for at, code in contacts:
        action = policy.actions.get(code)
        if at > as_of or (action is not None and action.service):
            continue
        is_cooling |= at > cooldown
        within += at > capped
        told |= at > first and action is not None and action.incentive_cost == 0.0
    return Recent(is_cooling or within >= rules.contact_cap, told)


def recent_of_unknown(
    policy: Policy, row: Integers, at: Integers, as_of: Integers
) -> RecentContacts:
    """`recent` of n customers, of contacts of which no more is known than that they were.

    Parameters
    ----------
    policy : Policy
        Whose cooldown and cap hold.
    row : ndarray of int64, shape (n_contacts,)
        Whose each contact is.
    at : ndarray of int64, shape (n_contacts,)
        When, microseconds since 1970-01-01 UTC.
    as_of : ndarray of int64, shape (n,)
        The same, of each customer.
    """
    rules, n = policy.rules, len(as_of)
    ago = as_of[row] - at
    cooling = (ago >= 0) & (ago < rules.cooldown_days * MICROSECONDS_PER_DAY)
    counted = (ago >= 0) & (ago < rules.contact_cap_days * MICROSECONDS_PER_DAY)
    stops = np.bincount(row[cooling], minlength=n) > 0
    stops |= np.bincount(row[counted], minlength=n) >= rules.contact_cap
    return RecentContacts(stops, np.zeros(n, dtype=np.bool_))


def not_contacted(policy: Policy, n: int) -> RecentContacts:
    """`recent` of n customers of whose contacts nothing is known."""
    none = np.zeros(0, dtype=np.int64)
    return recent_of_unknown(policy, none, none, np.zeros(n, dtype=np.int64))


def recent_of_each(
    policy: Policy, contacts: Sequence[Sequence[Contact]], as_of: Integers
) -> RecentContacts:
    """`recent` of n customers, given the contacts of each."""
    stops, told, _ = not_contacted(policy, len(as_of))
    for at, (given, instant) in enumerate(zip(contacts, as_of.tolist(), strict=True)):
        if given:
            stops[at], told[at] = recent(policy, given, instant)
    return RecentContacts(stops, told, contacts)


def is_answered(
    policy: Policy, code: str, contacts: Sequence[Contact], as_of: int, since: int | None
) -> bool:
    """Whether service has been delivered since it is owed; the cooldown goes if that is unknown."""
    if since is None:
        since = as_of - policy.rules.cooldown_days * MICROSECONDS_PER_DAY
    return any(action == code and since < at <= as_of for at, action in contacts)
