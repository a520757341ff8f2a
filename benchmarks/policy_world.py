"""A world in which it is known what every action does to everybody, and campaigns in it.

A policy sees what a shop sees: a probability, a value, a situation. What happens goes by the truth,
which differs from the policy's beliefs and between customers, partly by traits nobody sees.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.decide import Contact, Decision, Facts, decide
from churn.policy.policy import NONE, BeliefTable, Policy
from training.policy.decisions import Decisions
from training.policy.logged import without_chance

Floats = NDArray[np.float64]
NOW = 20_000 * MICROSECONDS_PER_DAY
HORIZON_DAYS = 60.0


@dataclass(frozen=True)
class World:
    """Customers, what can be seen of them, and what is true of them.

    Attributes
    ----------
    facts : list of Facts
        What a policy sees.
    X : ndarray, shape (n, n_features)
        What a model of effects may see.
    actions : tuple of str
    kept, seen : ndarray, shape (n, 1 + n_actions)
        P(kept) without anything and with each action: the truth, and its mean among customers who
        look the same.
    redeems : ndarray, shape (n, n_actions)
        P(takes the incentive | kept).
    worth : ndarray, shape (n,)
        The margin that hangs on keeping the customer.
    """

    facts: list[Facts]
    X: Floats
    actions: tuple[str, ...]
    kept: Floats
    seen: Floats
    redeems: Floats
    worth: Floats

    def __len__(self) -> int:
        return len(self.facts)

    def where(self, chosen: NDArray[np.bool_]) -> "World":
        """The chosen customers."""
        rows = np.flatnonzero(chosen)
        return World(
            [self.facts[row] for row in rows.tolist()],
            self.X[rows],
            self.actions,
            self.kept[rows],
            self.seen[rows],
            self.redeems[rows],
            self.worth[rows],
        )

    def reward(self, policy: Policy, *, seen: bool = False) -> Floats:
        """Expected margin less cost of each action, shape (n, 1 + n_actions), nothing first."""
        kept = self.seen if seen else self.kept
        reward = kept * self.worth[:, None]
        for at, code in enumerate(self.actions):
            action = policy.actions[code]
            paid = action.incentive_cost * kept[:, 1 + at] * self.redeems[:, at]
            reward[:, 1 + at] -= action.contact_cost + paid
        return reward

    def position(self, codes: Sequence[str]) -> NDArray[np.int64]:
        """Columns of `kept` for actions; service and what is not in this world does nothing."""
        known = {code: at + 1 for at, code in enumerate(self.actions)}
        return np.array([known.get(code, 0) for code in codes], dtype=np.int64)

    def chosen(self, policy: Policy) -> list[Decision]:
        """What a policy decides about everybody, all chance left aside."""
        quiet = without_chance(policy)
        return [decide(quiet, one) for one in self.facts]

    def earned(self, policy: Policy, done: NDArray[np.int64]) -> Floats:
        """What each customer brings more than if nothing were done, shape (n,)."""
        reward = self.reward(policy)
        return np.asarray(reward[np.arange(len(self)), done] - reward[:, 0])

    def oracle(self, policy: Policy, *, seen: bool) -> NDArray[np.int64]:
        """The best of what the policy's table considers for each customer, or nothing.

        Parameters
        ----------
        policy : Policy
            Its table, rules of contact and consent, not its beliefs.
        seen : bool
            Go by the true mean among those who look the same, else by each one's own truth.
        """
        reward = self.reward(policy, seen=seen)
        best = np.zeros(len(self), dtype=np.int64)
        for row, candidates in enumerate(self.considered(policy)):
            columns = np.append(self.position(candidates), 0)
            best[row] = columns[np.argmax(reward[row, columns])]
        return best

    def considered(self, policy: Policy) -> list[list[str]]:
        """Candidates of each customer that no rule forbids, whatever they bring."""
        generous = policy.model_copy(
            update={
                "actions": {
                    code: action.model_copy(update=_GENEROUS)
                    if not action.service and code != NONE
                    else action
                    for code, action in policy.actions.items()
                }
            }
        )
        for action in generous.actions.values():
            action.__dict__.pop("economics", None)
        return [
            [one.action, *(other.action for other in one.alternatives)]
            for one in self.chosen(generous)
        ]


_GENEROUS = {
    "contact_cost": 0.0,
    "saved": BeliefTable(mean=1.0, weight=1e9),
    "redeemed": BeliefTable(mean=0.0, weight=1e9),
    "harm": None,
}
"""Worth it for anybody."""


class Campaigns:
    """Campaigns of one policy in a world, drawn as often as wanted.

    Parameters
    ----------
    world : World
    policy : Policy
        With its holdout and exploration.
    """

    def __init__(self, world: World, policy: Policy) -> None:
        self.world, self.policy = world, policy
        decided = world.chosen(policy)
        self.best = np.array([one.action for one in decided], dtype=object)
        self.options = [
            [one.action, *(other.action for other in one.alternatives)]
            if one.action != NONE
            else [other.action for other in one.alternatives]
            for one in decided
        ]
        self.service = np.array([policy.actions[code].service for code in self.best])
        self._of = [
            {option.action: option for option in (*one.alternatives,)} | {one.action: one}
            for one in decided
        ]

    def draw(
        self, rng: np.random.Generator, n: int, *, twice: float = 0.0
    ) -> tuple[Decisions, NDArray[np.int64]]:
        """Decisions about `n` customers, drawn with replacement, and which of the world they are.

        Parameters
        ----------
        rng : numpy.random.Generator
        n : int
        twice : float
            Share of customers about whom there is a second decision, after the horizon.
        """
        who = rng.integers(len(self.world), size=n)
        again = np.flatnonzero(rng.random(n) < twice)
        customer = np.concatenate([np.arange(n), again])
        return self._drawn(rng, customer, who[customer]), who[customer]

    def _drawn(
        self, rng: np.random.Generator, customer: NDArray[np.int64], row: NDArray[np.int64]
    ) -> Decisions:
        rules = self.policy.rules
        n = int(customer.max()) + 1
        held = (rng.random(n) < rules.holdout_share)[customer]
        explores = rng.random(len(row)) < rules.exploration_rate
        pick = rng.random(len(row))
        action = np.empty(len(row), dtype=object)
        propensity = np.ones(len(row))
        facts = np.empty(len(row), dtype=object)
        withheld = np.zeros(len(row), dtype=np.bool_)
        explored = np.zeros(len(row), dtype=np.bool_)
        value = np.full((3, len(row)), np.nan)
        for at, k in enumerate(row.tolist()):
            best = self.best[k]
            codes = sorted({*self.options[k], NONE})
            offers = bool(self.options[k]) and not self.service[k]
            chosen = codes[int(pick[at] * len(codes))] if explores[at] and offers else best
            if offers:
                rate = rules.exploration_rate
                propensity[at] = rate / len(codes) + (1.0 - rate if chosen == best else 0.0)
            if chosen != NONE and not self.service[k]:
                withheld[at] = held[at]
                propensity[at] *= rules.holdout_share if held[at] else 1 - rules.holdout_share
            explored[at] = chosen != best
            action[at] = chosen
            others = [best] if explored[at] and best != NONE else []
            others += [code for code in self.options[k] if code not in (chosen, best)]
            facts[at] = {
                "alternatives": [_told(self._of[k][code]) for code in others],
                "channels": None,
                "contacts": [tuple(contact) for contact in self.world.facts[k].contacts],
            }
            option = self._of[k].get(chosen)
            value[:, at] = _money(option)
        return self._decisions(
            rng, customer, row, action, propensity, withheld, explored, value, facts
        )

    def _decisions(
        self,
        rng: np.random.Generator,
        customer: NDArray[np.int64],
        row: NDArray[np.int64],
        action: NDArray[np.object_],
        propensity: Floats,
        withheld: NDArray[np.bool_],
        explored: NDArray[np.bool_],
        value: Floats,
        facts: NDArray[np.object_],
    ) -> Decisions:
        world, m = self.world, len(row)
        done = np.where(withheld, 0, world.position(action.tolist()))
        kept = rng.random(m) < world.kept[row, done]
        takes = rng.random(m) < np.where(done > 0, world.redeems[row, done - 1], 0.0)
        seen = [world.facts[k] for k in row.tolist()]
        as_of = np.array([one.as_of for one in seen], dtype=np.int64)
        later = np.arange(m) >= len(np.unique(customer))
        at = as_of + later * int(2 * HORIZON_DAYS) * MICROSECONDS_PER_DAY

        def column(of: Callable[[Facts], Any]) -> NDArray[np.object_]:
            return np.array([of(one) for one in seen], dtype=object)

        return Decisions(
            decision_id=np.array([f"d-{k}" for k in range(m)], dtype=object),
            customer_id=np.array([f"c-{k}" for k in customer], dtype=object),
            decided_at=at,
            as_of=as_of,
            action=action,
            withheld=withheld,
            explored=explored,
            propensity=propensity,
            situation=column(lambda one: one.situation),
            reason=np.full(m, None, dtype=object),
            segment=column(lambda one: one.segment),
            band=column(lambda one: one.band),
            probability=np.array([one.probability for one in seen]),
            value=np.array([one.value for one in seen], dtype=np.float64),
            expected_value=value[0],
            cost=value[2],
            horizon_days=np.full(m, HORIZON_DAYS),
            model_version=np.full(m, "model", dtype=object),
            policy_version=np.full(m, self.policy.version, dtype=object),
            delivered=~withheld & (action != NONE),
            accepted=takes & kept & (done > 0),
            retained=kept.astype(np.float64),
            facts=facts,
        )


def _told(option: Any) -> dict[str, Any]:
    return {
        "code": option.action,
        "expected_value": option.expected_value,
        "cost": option.cost,
    }


def _money(option: Any) -> tuple[float, float, float]:
    if option is None:
        return 0.0, 0.0, 0.0
    return tuple(  # type: ignore[return-value]
        float("nan") if money is None else money
        for money in (option.expected_value, option.lower_bound, option.cost)
    )


@dataclass(frozen=True)
class Truth:
    """What actions really do in a made-up world; none of it is what a default policy believes.

    Attributes
    ----------
    saved, harm, redeemed : mapping of str to float
        Mean shares by action.
    by_trait : float
        How much a customer's own traits, which can be seen, change what saves them.
    hidden : float
        The same of traits that nobody sees.
    """

    saved: Mapping[str, float]
    harm: Mapping[str, float]
    redeemed: Mapping[str, float]
    by_trait: float
    hidden: float


TRUTH = Truth(
    saved={
        "reorder_reminder": 0.05,
        "second_order_guide": 0.02,
        "free_delivery": 0.09,
        "exclusive_access": 0.04,
        "points": 0.10,
        "discount": 0.07,
        "agent_call": 0.11,
        "bundles": 0.02,
        "delivery_threshold": 0.03,
        "other_channel": 0.04,
        "survey": 0.0,
        "one_question": 0.01,
    },
    harm={"agent_call": 0.010, "survey": 0.002, "discount": 0.001},
    redeemed={"points": 0.4, "free_delivery": 0.6, "discount": 0.7},
    by_trait=0.9,
    hidden=0.5,
)
"""Development."""

_SITUATIONS = (
    "high_cheque_stopped", "active_shift", "periodic_switched", "one_time", "cheque_decline",
    "engagement_drop", "promotion_only", "unknown",
)  # fmt: skip
_OFTEN = (0.08, 0.07, 0.30, 0.20, 0.08, 0.12, 0.05, 0.10)
_INCENTIVES = frozenset({"points", "free_delivery", "discount"})


def made_up(seed: int, n: int, truth: Truth = TRUTH) -> World:
    """A world drawn from simple distributions: quick, for estimators that are tried often."""
    rng = np.random.default_rng(seed)
    situation = rng.choice(_SITUATIONS, n, p=_OFTEN)
    probability = rng.beta(2.0, 2.0, n)
    leaves = 1.0 / (1.0 + np.exp(-_logit(probability) - 0.4 * rng.standard_normal(n)))
    value = 5_000.0 * np.exp(0.9 * rng.standard_normal(n))
    app, thrift = rng.random(n), rng.random(n)
    actions = tuple(truth.saved)
    kept, seen = np.empty((n, len(actions) + 1)), np.empty((n, len(actions) + 1))
    redeems = np.zeros((n, len(actions)))
    kept[:, 0], seen[:, 0] = 1.0 - leaves, 1.0 - probability
    for at, code in enumerate(actions):
        trait = thrift if code in _INCENTIVES else app
        own = 1.0 + truth.by_trait * (2.0 * trait - 1.0)
        own = own * np.where(situation == "one_time", 0.5, 1.1)
        chance = 1.0 + truth.hidden * (2.0 * rng.random(n) - 1.0)
        saved, harm = truth.saved[code] * own, truth.harm.get(code, 0.004) * (1.5 - app)
        kept[:, at + 1] = (1.0 - leaves) * (1.0 - harm) + leaves * saved * chance
        seen[:, at + 1] = (1.0 - probability) * (1.0 - harm) + probability * saved
        redeems[:, at] = truth.redeemed.get(code, 0.0) * (0.5 + thrift)
    told = rng.random(n) < 0.5
    high, medium = np.quantile(probability, [0.8, 0.5])
    top, next_to_top = np.quantile(value, [0.8, 0.5])
    facts = [
        Facts(
            customer_id=f"w-{k}",
            as_of=NOW,
            probability=float(probability[k]),
            band="high"
            if probability[k] > high
            else "medium"
            if probability[k] > medium
            else "low",
            segment="A" if value[k] > top else "B" if value[k] > next_to_top else "C",
            value=float(value[k]),
            situation=str(situation[k]),  # type: ignore[arg-type]
            contacts=(Contact(NOW - 40 * MICROSECONDS_PER_DAY, "reorder_reminder"),) * int(told[k]),
        )
        for k in range(n)
    ]
    X = np.column_stack([probability, np.log(value), app, thrift, situation == "one_time"])
    return World(facts, X, actions, kept, seen, np.clip(redeems, 0.0, 1.0), value)


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p / (1.0 - p)))
