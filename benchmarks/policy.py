"""`python -m benchmarks policy`: what policies earn where the truth is known, and who can tell.

Three seeds of the simulated shop and one with effects not used in development. A campaign among
half of the customers draws its actions; `learn` proposes a policy from the outcomes; everything is
valued on the other half by the exact truth. Coverage is of made-up worlds, which are quick.
"""

import tempfile
import time
from dataclasses import dataclass
from os import getloadavg
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.policy_shop import HELD_BACK, TRIED, Effects, shop
from benchmarks.policy_world import Campaigns, World, made_up
from benchmarks.report import Result, machine
from churn.policy.default import DEFAULT
from churn.policy.policy import NONE, Policy, parse
from training.intervals import Interval
from training.policy import clustered
from training.policy.learning import propose
from training.policy.off_policy import evaluate

Floats = NDArray[np.float64]
PATH = Path("policy.toml")
CAMPAIGN_RULES = {"exploration_rate": 1.0, "holdout_share": 0.25}
SHOPS: tuple[tuple[str, int, Effects], ...] = (
    ("shop 1", 1, TRIED),
    ("shop 2", 2, TRIED),
    ("shop 3", 3, TRIED),
    ("not used in development", 4, HELD_BACK),
)
CAMPAIGN_CUSTOMERS = 200_000
"""Of the campaign that is learnt from, drawn with replacement from half of a shop."""
CAMPAIGNS, CAMPAIGN_SIZE = 200, 2_000
RIVALS = ("nothing", "discount to the riskiest 10%", "call the most valuable 10%")


def campaign_policy(policy: Policy) -> Policy:
    """A policy that draws: all but service, for everybody at risk, some of them left alone."""
    offers = [code for code, one in policy.actions.items() if not one.service and code != NONE]
    sure = {"mean": 0.9, "weight": 1e6}
    document = policy.model_dump()
    for code in offers:
        document["actions"][code] |= {
            "contact_cost": 0.0, "incentive_cost": 0.0, "saved": sure, "harm": None,
        }  # fmt: skip
    everything = {"any": dict.fromkeys("ABC", offers), "medium": None, "high": None}
    for situation, cell in document["table"].items():
        named = {code for by in cell.values() for codes in (by or {}).values() for code in codes}
        if not any(policy.actions[code].service for code in named):
            document["table"][situation] = everything
    document["rules"] |= CAMPAIGN_RULES | {"message_first": False}
    return Policy.model_validate(document)


@dataclass(frozen=True)
class Earned:
    """What policies earn per customer of one world, more than doing nothing.

    Attributes
    ----------
    customers : int
    default, learnt, oracle, clairvoyant : float
        In currency. The oracle knows the true effects among customers who look alike, the
        clairvoyant each customer's own; both choose from what the policy's table considers.
    over : dict of str to Interval
        The default policy less each rival.
    learnt_over_default : Interval
    campaign : int
        Customers of the campaign that was learnt from.
    """

    customers: int
    default: float
    learnt: float
    oracle: float
    clairvoyant: float
    over: dict[str, Interval]
    learnt_over_default: Interval
    campaign: int

    @property
    def share(self) -> float:
        """Of what the oracle earns, that the learnt policy does."""
        return self.learnt / self.oracle


def earn(world: World, seed: int, customers: int = CAMPAIGN_CUSTOMERS) -> Earned:
    """Run a campaign on half of the customers, learn, and value policies on the other half."""
    default = parse(DEFAULT, PATH)
    rng = np.random.default_rng([9, seed])
    taught = rng.random(len(world)) < 0.5
    campaign = Campaigns(world.where(taught), campaign_policy(default))
    decisions, _ = campaign.draw(rng, customers)
    learnt = propose(decisions, DEFAULT, PATH).policy
    rest = world.where(~taught)
    return judged(rest, default, learnt, len(decisions))


def judged(world: World, default: Policy, learnt: Policy, campaign: int) -> Earned:
    """Value policies by the truth."""

    def of(policy: Policy) -> Floats:
        chosen = [one.action for one in world.chosen(policy)]
        return world.earned(default, world.position(chosen))

    earned, improved = of(default), of(learnt)
    rivals = dict(zip(RIVALS, _rivals(world, default), strict=True))
    return Earned(
        customers=len(world),
        default=float(earned.mean()),
        learnt=float(improved.mean()),
        oracle=float(world.earned(default, world.oracle(default, seen=True)).mean()),
        clairvoyant=float(world.earned(default, world.oracle(default, seen=False)).mean()),
        over={name: _mean(earned - other) for name, other in rivals.items()},
        learnt_over_default=_mean(improved - earned),
        campaign=campaign,
    )


def _rivals(world: World, policy: Policy) -> tuple[Floats, ...]:
    risk = np.array([one.probability for one in world.facts])
    value = np.array([one.value or 0.0 for one in world.facts])

    def top(column: Floats, code: str) -> Floats:
        done = np.where(column > np.quantile(column, 0.9), int(world.position([code])[0]), 0)
        return world.earned(policy, done)

    return np.zeros(len(world)), top(risk, "discount"), top(value, "agent_call")


def _mean(column: Floats) -> Interval:
    return clustered.ratio(column, np.ones(len(column)), np.arange(len(column))).interval()


@dataclass(frozen=True)
class Coverage:
    """How often each interval held the truth, and how wide it was on average."""

    campaigns: int
    held: dict[str, int]
    width: dict[str, float]


ESTIMATORS = ("ips", "snips", "dr")


def coverage(seed: int, campaigns: int, size: int, *, rate: float, held_out: float) -> Coverage:
    """Value another policy on campaigns of the default one that explores so much."""
    world = made_up(seed, 5_000)
    text = DEFAULT.replace("exploration_rate = 0.05", f"exploration_rate = {rate}").replace(
        "holdout_share = 0.10", f"holdout_share = {held_out}"
    )
    policy = parse(text, PATH)
    other = parse(_other(DEFAULT), PATH)
    codes = [one.action for one in world.chosen(other)]
    true = float(world.reward(other)[np.arange(len(world)), world.position(codes)].mean())
    drawn = Campaigns(world, policy)
    rng = np.random.default_rng([17, seed])
    held = dict.fromkeys(ESTIMATORS, 0)
    width = dict.fromkeys(ESTIMATORS, 0.0)
    for _ in range(campaigns):
        decisions, _ = drawn.draw(rng, size, twice=0.2)
        found = evaluate(decisions, {policy.version: policy}, other)
        for name in ESTIMATORS:
            interval: Interval = getattr(found, name)
            held[name] += interval.low <= true <= interval.high
            width[name] += (interval.high - interval.low) / campaigns
    return Coverage(campaigns, held, width)


def _other(text: str) -> str:
    """A policy that believes in points and not in calls."""
    return text.replace("saved = { mean = 0.15", "saved = { mean = 0.04").replace(
        "saved = { mean = 0.06", "saved = { mean = 0.12"
    )


def run() -> list[Result]:
    """The tables."""
    started, load = time.perf_counter(), getloadavg()[0]
    rows, worst = [], 1.0
    least = float("inf")
    for name, seed, effects in SHOPS:
        with tempfile.TemporaryDirectory(prefix="keepwell-") as folder:
            found = earn(shop(Path(folder), seed, effects), seed)
        worst = min(worst, found.share)
        least = min(least, *(interval.low for interval in found.over.values()))
        rows.append(
            [
                name,
                found.customers,
                found.default,
                *(_told(found.over[rival]) for rival in RIVALS),
                found.learnt,
                _told(found.learnt_over_default),
                found.oracle,
                f"{found.share:.0%}",
                f"{found.learnt / found.clairvoyant:.0%}",
            ]
        )
    policies = Result(
        "What policies earn in a simulated shop",
        "Per customer and decision, more than doing nothing, by the exact truth; intervals of 95%. "
        f"Learnt: after one campaign of {CAMPAIGN_CUSTOMERS:,} customers, drawn with replacement "
        "from the other half of the shop, in "
        "which every action but service was drawn for everybody at risk and a quarter left alone. "
        "The oracle knows the true effects among customers who look alike and "
        "chooses from the same table under the same rules of contact; the clairvoyant knows each "
        "one's own, hidden state and all, which no log shows.",
        (
            "shop", "customers", "default", "less nothing", "less discount to the riskiest 10%",
            "less call the most valuable 10%", "learnt", "less default", "oracle",
            "learnt / oracle", "learnt / clairvoyant",
        ),
        rows,
        {
            "the default policy earns more than each rival, with a positive interval": (
                f"The least lower end is {least:+.2f}"
            ),
            "learnt policy at least 85% of the oracle, better 92%": f"The least is {worst:.0%}",
        },
    )  # fmt: skip
    cases = ((0.3, 0.2), (0.1, 0.1))
    table, shares = [], []
    for rate, held_out in cases:
        found_so = coverage(5, CAMPAIGNS, CAMPAIGN_SIZE, rate=rate, held_out=held_out)
        shares += [held / found_so.campaigns for held in found_so.held.values()]
        table.append(
            [
                f"{rate:.0%}, {held_out:.0%}",
                *(
                    f"{found_so.held[name] / found_so.campaigns:.1%}, {found_so.width[name]:.0f}"
                    for name in ESTIMATORS
                ),
            ]
        )
    covers = Result(
        "How often intervals for another policy hold its true worth",
        f"{CAMPAIGNS} campaigns of {CAMPAIGN_SIZE:,} customers in a made-up world, a fifth of them "
        "with two decisions; held and mean width.",
        ("drawn at random, held out", "IPS", "SNIPS", "doubly robust"),
        table,
        {"90 to 98% held": f"{min(shares):.1%} to {max(shares):.1%}"},
    )
    for result in (policies, covers):
        result.machine = machine(load) | {"took": f"{time.perf_counter() - started:.0f} s"}
    return [policies, covers]


def _told(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
