"""A plan beside decisions that are recorded: of each customer and day the first stands.

Who was decided about that day keeps the decision. What it gives takes its place and its money
first, so that a plan that was interrupted goes on with what is left, and one that is told again
comes to the same.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import orjson

from churn.compiled import Integers
from churn.policy.policy import NONE, Policy
from service.plan.making import Plan, make
from service.plan.options import CODE, NOBODY, Options
from service.store.decisions import Decided


class Stands(NamedTuple):
    """What a plan has to know of a decision that stands."""

    decision_id: str
    action: str
    channel: str
    withheld: bool
    expected_value: float | None
    cost: float
    as_of: int
    model_version: str
    policy_version: str

    @classmethod
    def of(cls, decided: Decided) -> Self:
        """That of a stored decision."""
        return cls(
            decided.decision_id,
            decided.action,
            orjson.loads(decided.facts)["channel"],
            decided.withheld,
            decided.expected_value,
            decided.cost,
            decided.as_of,
            decided.model_version,
            decided.policy_version,
        )


class Book:
    """What is recorded of each of n customers, before a plan and by it.

    Parameters
    ----------
    keys : list of tuple
        Customer and day of each.

    Attributes
    ----------
    keys : list of tuple
        The same.
    standing : list of Stands or None
        What stood before the plan.
    names : list of str or None
        Of the decisions that stand by now; None where there is none.
    """

    def __init__(self, keys: list[tuple[str, int]]) -> None:
        self.keys = keys
        self.standing: list[Stands | None] = [None] * len(keys)
        self.names: list[str | None] = [None] * len(keys)
        self._others: dict[int, Stands] = {}

    @cached_property
    def _row(self) -> dict[tuple[str, int], int]:
        return {key: at for at, key in enumerate(self.keys)}

    @property
    def n_standing(self) -> int:
        """Of how many something stood before the plan."""
        return len(self.keys) - len(self.undecided)

    @property
    def undecided(self) -> list[int]:
        """The rows of whom nothing stood before the plan."""
        return [at for at, one in enumerate(self.standing) if one is None]

    def stands(self, at: int) -> Stands | None:
        """What somebody else decided about a customer."""
        return self._others.get(at, self.standing[at])

    def read(self, found: Mapping[tuple[str, int], Decided]) -> None:
        """Note what stands before the plan."""
        for key, one in found.items():
            at = self._row[key]
            self.standing[at] = Stands.of(one)
            self.names[at] = one.decision_id

    def keep(self, decided: Sequence[Decided], found: Mapping[tuple[str, int], Decided]) -> None:
        """Note what stands of what was to be recorded; of who was erased meanwhile nothing does."""
        for one in decided:
            stands = found.get(one.key)
            if stands is not None:
                at = self._row[one.key]
                self.names[at] = stands.decision_id
                if stands.decision_id != one.decision_id:  # another was quicker
                    self._others[at] = Stands.of(stands)

    def settled(self, plan: Plan, policy: Policy) -> Plan:
        """The plan as it stands, if others were quicker."""
        if not self._others:
            return plan
        others = [self._others.get(at) for at in range(len(self.keys))]
        services = [code for code, action in policy.actions.items() if action.service]
        plan = settled(plan, others, services)
        # What others gave meanwhile may be beyond the limits of this plan, and so beyond its bound.
        return plan._replace(upper_bound=max(plan.upper_bound, plan.value))


def make_around(
    options: Options,
    standing: Sequence[Stands | None],
    *,
    budget: float = math.inf,
    capacity: Mapping[str, int],
) -> Plan:
    """Find the best plan for those of whom nothing is decided yet, with what the others leave.

    Parameters
    ----------
    options : Options
        What may be done about each of n customers.
    standing : sequence of Stands or None, length n
        What stands of each.
    budget, capacity
        As `service.plan.making.make` takes them: for all together.
    """
    stands = [one for one in standing if one is not None]
    carried = [one for one in stands if one.action != NONE and not one.withheld]
    weighed = [one for one in carried if one.action not in options.services]
    spent = math.fsum(one.cost for one in weighed)
    left = {
        code: max(0, most - sum(one.action == code for one in carried))
        for code, most in capacity.items()
    }
    free = np.flatnonzero([one is None for one in standing])
    made = make(options.taken(free), budget=max(0.0, budget - spent), capacity=left)
    if len(free) == options.n:
        return made
    plan = _spread(made, free, options.n)
    worth = math.fsum(one.expected_value or 0.0 for one in weighed)
    return settled(plan, standing, options.services)._replace(upper_bound=made.upper_bound + worth)


def settled(plan: Plan, standing: Sequence[Stands | None], services: Sequence[str]) -> Plan:
    """The plan with what stands of some customers, whatever it was to give them.

    Parameters
    ----------
    plan : Plan
        Of n customers.
    standing : sequence of Stands or None, length n
        What stands of each; None leaves the plan's.
    services : sequence of str
        The actions that are owed.
    """
    some = [(row, one) for row, one in enumerate(standing) if one is not None]
    given = {one.action: None for _, one in some if one.action != NONE}
    codes = tuple(dict.fromkeys([*plan.codes, *given]))
    place = {code: at for at, code in enumerate(codes)} | {NONE: NOBODY}
    plan = plan._replace(codes=codes, **{name: getattr(plan, name).copy() for name in _COLUMNS})
    for row, one in some:
        is_nothing = one.action == NONE
        is_unclaimed = is_nothing or one.expected_value is None
        plan.action[row] = place[one.action]
        plan.expected_value[row] = np.nan if is_unclaimed else one.expected_value
        plan.cost[row] = np.nan if is_nothing else one.cost
        plan.owed[row] = one.action in services
        plan.withheld[row] = one.withheld
        plan.why[row] = CODE["decided"] if is_nothing else NOBODY
    carried = (plan.action != NOBODY) & ~plan.withheld
    weighed = carried & ~plan.owed
    return plan._replace(
        value=math.fsum(np.nan_to_num(plan.expected_value[weighed])),
        spent=math.fsum(plan.cost[weighed]),
        service_cost=math.fsum(np.nan_to_num(plan.cost[carried & plan.owed])),
    )


_COLUMNS = ("action", "expected_value", "cost", "owed", "withheld", "why")


def _spread(plan: Plan, rows: Integers, n: int) -> Plan:
    """A plan of some of n customers as one of all, of which the others get nothing yet."""
    empty = {"action": NOBODY, "expected_value": np.nan, "cost": np.nan, "owed": False,
             "withheld": False, "why": NOBODY}  # fmt: skip
    columns: dict[str, Any] = {}
    for name in _COLUMNS:
        column = getattr(plan, name)
        columns[name] = np.full(n, empty[name], dtype=column.dtype)
        columns[name][rows] = column
    return plan._replace(**columns)
