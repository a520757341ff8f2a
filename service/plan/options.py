"""What a plan may choose from: for each customer what is owed, or else what is worth its cost."""

from typing import Any, NamedTuple

import numpy as np

from churn.compiled import Booleans, Codes, Floats, Integers
from churn.policy.advise import Advisor
from churn.policy.crowd import Crowd, Group, groups, none_because, situations_of
from churn.policy.decide import NONE_BECAUSE, is_held_out

WHY: tuple[str, ...] = (
    *NONE_BECAUSE,
    "not_scored",
    "nothing_claimed",
    "no_place",
    "limits",
    "decided",
)
"""Why a customer gets nothing; what each means says `service.plan.words`."""
CODE = {why: at for at, why in enumerate(WHY)}
NOBODY = -1


class Options(NamedTuple):
    """What may be done about each of n customers.

    Attributes
    ----------
    codes : tuple of str, length k
        The actions that are weighed against each other.
    value : ndarray of float64, shape (n, k)
        Expected value of each, its cost taken off; -inf where it is not possible or not worth it.
    cost : ndarray of float64, shape (n, k)
        What each is expected to cost.
    services : tuple of str
        The actions that are owed.
    owed : ndarray of int64, shape (n,)
        Position in `services` of what is owed to a customer, -1 for nothing.
    owed_value, owed_cost : ndarray of float64, shape (n,)
        Of that; NaN where nothing is claimed, or owed.
    stake : ndarray of float64, shape (n,)
        The expected loss, in currency: who comes first where what is owed is scarce.
    held_out : ndarray of bool, shape (n,)
        From whom all is withheld but what is owed.
    situation : ndarray of int8, shape (n,)
        Position in `churn.policy.policy.SITUATIONS`; -1 where there is no score.
    why : ndarray of int8, shape (n,)
        Position in `WHY` of why there is nothing to choose from; -1 where there is.
    """

    codes: tuple[str, ...]
    value: Floats
    cost: Floats
    services: tuple[str, ...]
    owed: Integers
    owed_value: Floats
    owed_cost: Floats
    stake: Floats
    held_out: Booleans
    situation: Codes
    why: Codes

    @property
    def n(self) -> int:
        """How many customers there are."""
        return len(self.owed)

    def taken(self, rows: Integers) -> "Options":
        """Those of some customers, in this order."""
        columns: dict[str, Any] = {
            name: column[rows]
            for name, column in self._asdict().items()
            if isinstance(column, np.ndarray)
        }
        return self._replace(**columns)


def options_of(advisor: Advisor, crowd: Crowd) -> Options:
    """Weigh everything that the policy would consider.

    Parameters
    ----------
    advisor : Advisor
        Of the policy.
    crowd : Crowd
        The customers.
    """
    n = len(crowd.customer_id)
    actions = advisor.policy.actions
    codes = tuple(
        code for code, action in actions.items() if action.economics and not action.service
    )
    services = tuple(code for code, action in actions.items() if action.service)
    out = Options(
        codes=codes,
        value=np.full((n, len(codes)), -np.inf),
        cost=np.zeros((n, len(codes))),
        services=services,
        owed=np.full(n, NOBODY, dtype=np.int64),
        owed_value=np.full(n, np.nan),
        owed_cost=np.full(n, np.nan),
        stake=np.nan_to_num(crowd.probability * crowd.value),
        held_out=np.array(
            [is_held_out(advisor.policy, customer_id) for customer_id in crowd.customer_id],
            dtype=np.bool_,
        ),
        situation=situations_of(advisor, crowd),
        why=np.full(n, CODE["not_scored"], dtype=np.int8),
    )
    for group in groups(advisor, crowd, out.situation):
        if group.owed:
            _owe(group, out)
        else:
            _weigh(advisor, crowd, group, out)
    return out


def joined(parts: list[Options]) -> Options:
    """The options of several crowds, one behind the other; of one policy, at least one."""
    first = parts[0]

    def one(name: str) -> Any:
        given = [getattr(part, name) for part in parts]
        return given[0] if isinstance(given[0], tuple) else np.concatenate(given)

    return first._replace(**{name: one(name) for name in first._fields})


def _owe(group: Group, out: Options) -> None:
    """Fill in customers to whom service is owed, unless it was delivered since."""
    due = group.possible[:, 0]
    rows = group.rows[due]
    out.owed[rows] = out.services.index(group.codes[0])
    out.owed_value[rows] = group.expected_value[due, 0]
    out.owed_cost[rows] = group.cost[due, 0]
    out.why[group.rows] = CODE["answered"]
    out.why[rows] = NOBODY


def _weigh(advisor: Advisor, crowd: Crowd, group: Group, out: Options) -> None:
    """Fill in what the rules allow and is worth its cost, or why there is none."""
    rows = group.rows
    with np.errstate(invalid="ignore"):
        worth = group.possible & (group.expected_value > 0.0)
    for at, code in enumerate(group.codes):
        if code in out.codes:
            column = out.codes.index(code)
            some = worth[:, at]
            out.value[rows[some], column] = group.expected_value[some, at]
            out.cost[rows[some], column] = group.cost[some, at]
    out.why[rows] = none_because(advisor, crowd, group)
    out.why[rows[group.possible.any(axis=1)]] = CODE["nothing_claimed"]
    out.why[rows[worth.any(axis=1)]] = NOBODY
