"""The simulated shop as a world of actions, whose effects are imposed on its exact truth.

Customers, their log, their probability of leaving and the model learnt from the log are those of
`keepwell simulate` and of training. What an action does is drawn: on average it saves a share of
those who would leave that is the policy's own belief times a factor, one for each action and seed;
nobody told the policy. It saves nobody who is gone for good, which no log shows, fewer who are
angry, and more or fewer by the customer's traits, partly seen in the log and partly not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.policy_world import World
from benchmarks.simulated_shop import NOW as LATER
from churn.events import MICROSECONDS_PER_DAY
from churn.features import POSITION
from churn.policy.decide import Contact, Facts
from churn.policy.default import DEFAULT
from churn.policy.policy import NONE, Policy, Situation, parse
from training import config as configuration
from training.calendar import Calendar, instant
from training.fit import fit, predict
from training.ingest import ingest
from training.simulate import CHUNK_CUSTOMERS, simulate
from training.simulation.mechanism import MECHANISM
from training.simulation.shoppers import Shoppers, draw
from training.simulation.tables import _STAGES
from training.snapshots import collect

Floats = NDArray[np.float64]
MARGIN_RATE = 0.30
KEPT_YEARS_SHARE = 0.6
"""Of a year's orders, what a customer who buys again in the horizon brings more than another."""
TRAINING_ROWS = 50_000
SEEN_TREES, SEEN_FOLDS = 60, 2
UNCLAIMED_HARM = 0.002


@dataclass(frozen=True)
class Effects:
    """How the truth is drawn.

    Attributes
    ----------
    saved, redeemed, harm : (float, float)
        Least and greatest factor of the policy's belief; drawn evenly in its logarithm.
    by_trait : float
        How much a customer's trait changes the share saved, from -1 to 1; a negative one turns
        round who answers to what.
    hidden : float
        The same of a trait that nobody sees.
    """

    saved: tuple[float, float]
    redeemed: tuple[float, float]
    harm: tuple[float, float]
    by_trait: float
    hidden: float


TRIED = Effects(saved=(0.5, 2.0), redeemed=(0.6, 1.5), harm=(0.5, 3.0), by_trait=0.7, hidden=0.5)
"""For development."""
HELD_BACK = Effects(
    saved=(0.4, 1.6), redeemed=(0.8, 1.8), harm=(1.0, 4.0), by_trait=-0.5, hidden=0.9
)
"""Run once, when all else was settled: the policy believes too much, and of the wrong customers."""


def shop(
    folder: Path, seed: int, effects: Effects, *, customers: int = 60_000, months: int = 18
) -> World:
    """A simulated shop, its model, and what every action does at the log's last test date.

    Parameters
    ----------
    folder : Path
        An empty one, for the log.
    seed : int
    effects : Effects
        How what actions do is drawn.
    customers, months : int
        As `keepwell simulate` takes them.
    """
    simulate(customers, months, seed, folder / "shop")
    config = configuration.load(folder / "shop" / "keepwell.toml")
    ingested = ingest(config, folder / "work", now_us=instant(LATER))
    dates = Calendar.of(config, ingested)
    made_at = dates.last_test_date()
    training = collect(
        ingested,
        dates.training_dates(made_at),
        config.problem,
        known_until=made_at,
        max_rows=TRAINING_ROWS,
    )
    test = collect(ingested, [made_at], config.problem)
    fitted = fit(
        training,
        test,
        horizon_days=config.problem.horizon_days,
        window=dates.window,
        feeds=ingested.feeds,
        seed=config.training.seed,
    )
    probability = predict(fitted.model, test.X)
    people = _people(folder / "shop" / "truth.parquet", made_at, test.customer_id, seed, customers)
    policy = parse(DEFAULT, Path("policy.toml"))
    actions, kept, redeems = imposed(people, policy, effects, np.random.default_rng([5, seed]))
    gap = np.maximum(people.shoppers.scale * _mean_gap(people.shoppers.shape), 1.0)
    worth = MARGIN_RATE * people.shoppers.cheque * 365.0 / gap * KEPT_YEARS_SHARE
    X = np.column_stack([test.X, probability])
    effect = learnt_from_truth(X, kept[:, 1:] - kept[:, :1])
    seen = np.column_stack([1.0 - probability, 1.0 - probability[:, None] + effect])
    value = np.maximum(learnt_from_truth(X, worth[:, None])[:, 0], 0.0)
    facts = _facts(test.customer_id, test.X, probability, value, made_at)
    return World(facts, X, actions, kept, seen, redeems, worth)


@dataclass(frozen=True)
class People:
    """The truth about n customers.

    Attributes
    ----------
    leaves : ndarray, shape (n,)
        Exact probability of no purchase within the horizon.
    is_alive : ndarray of bool, shape (n,)
    stage : ndarray of int64, shape (n,)
        Of the complaint.
    shoppers : Shoppers
        Their traits.
    """

    leaves: Floats
    is_alive: NDArray[np.bool_]
    stage: NDArray[np.int64]
    shoppers: Shoppers


def _people(
    truth: Path, as_of: int, wanted: NDArray[np.object_], seed: int, customers: int
) -> People:
    """Read the truth of the customers of one date, and draw their traits again."""
    table = pq.read_table(truth)
    then = table["as_of"].cast("int64").to_numpy() == as_of
    ids = np.asarray(table["customer_id"].to_numpy(), dtype=object)[then]
    row = {customer: at for at, customer in enumerate(ids.tolist())}
    order = np.array([row[customer] for customer in wanted.tolist()])

    def column(name: str) -> NDArray[np.object_]:
        return np.asarray(table[name].to_numpy(), dtype=object)[then][order]

    code = {stage: at for at, stage in enumerate(_STAGES)}
    number = np.array([int(customer[2:]) - 1 for customer in wanted.tolist()])
    chunks = []
    for chunk, first in enumerate(range(0, customers, CHUNK_CUSTOMERS)):
        streams = np.random.SeedSequence(seed, spawn_key=(chunk,)).spawn(3)
        traits = np.random.Generator(np.random.PCG64(streams[0]))
        chunks.append(draw(traits, min(CHUNK_CUSTOMERS, customers - first)))
    whole = (np.concatenate(parts)[number] for parts in zip(*chunks, strict=True))
    return People(
        column("churn_probability_60d").astype(np.float64),
        column("is_alive").astype(np.bool_),
        np.array([code[stage] for stage in column("complaint_stage").tolist()]),
        Shoppers(*whole),
    )


def imposed(
    people: People, policy: Policy, effects: Effects, rng: np.random.Generator
) -> tuple[tuple[str, ...], Floats, Floats]:
    """What the policy's actions do, but service.

    Returns
    -------
    actions : tuple of str
    kept : ndarray, shape (n, 1 + n_actions)
        P(kept), without anything and with each.
    redeems : ndarray, shape (n, n_actions)
        P(takes the incentive | kept).
    """
    n = len(people.leaves)
    actions = tuple(
        code for code, one in policy.actions.items() if code != NONE and not one.service
    )
    kept = np.empty((n, 1 + len(actions)))
    redeems = np.zeros((n, len(actions)))
    kept[:, 0] = 1.0 - people.leaves
    app, thrift = people.shoppers.app, _rank(people.shoppers.discounted)
    angry = MECHANISM.winback_by_complaint[people.stage]
    put_off = MECHANISM.annoyance_by_complaint[people.stage]

    def factor(limits: tuple[float, float]) -> float:
        return float(np.exp(rng.uniform(*np.log(limits))))

    for at, code in enumerate(actions):
        action = policy.actions[code]
        saved, redeemed, harm = (factor(x) for x in (effects.saved, effects.redeemed, effects.harm))
        trait = thrift if action.incentive_cost else 1.0 - app if action.channel == "phone" else app
        share = people.is_alive * angry * (1.0 + effects.by_trait * (2.0 * trait - 1.0))
        share *= 1.0 + effects.hidden * (2.0 * rng.random(n) - 1.0)
        # On average among those who would leave, it is what was drawn.
        share *= 1.0 / max(float(np.average(share, weights=people.leaves)), 1e-9)
        share *= saved * action.saved.mean if action.saved else 0.0
        driven = harm * (action.harm.mean if action.harm else UNCLAIMED_HARM) * put_off
        kept[:, 1 + at] = (1.0 - people.leaves) * (1.0 - np.minimum(driven, 1.0)) + (
            people.leaves * np.minimum(share, 1.0)
        )
        if action.redeemed:
            redeems[:, at] = np.clip(redeemed * action.redeemed.mean * (0.5 + thrift), 0.0, 1.0)
    return actions, kept, redeems


def _rank(column: Floats) -> Floats:
    return np.argsort(np.argsort(column)) / len(column)


def _mean_gap(shape: Floats) -> Floats:
    """Of a Weibull distribution of scale 1."""
    from scipy.special import gamma

    return np.asarray(gamma(1.0 + 1.0 / shape))


def learnt_from_truth(X: Floats, truth: Floats) -> Floats:
    """The truth's mean among customers who look the same, learnt from the truth about others."""
    fold = np.random.default_rng(1).integers(SEEN_FOLDS, size=len(X))
    found = np.empty_like(truth)
    parameters = {
        "objective": "regression",
        "learning_rate": 0.08,
        "num_leaves": 15,
        "min_data_in_leaf": 50,
        "feature_fraction": 0.6,
        "num_threads": 2,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    for at in range(truth.shape[1]):
        for k in range(SEEN_FOLDS):
            rows = fold != k
            booster = lgb.train(parameters, lgb.Dataset(X[rows], truth[rows, at]), SEEN_TREES)
            found[~rows, at] = booster.predict(X[~rows], num_threads=2)
    return found


def _facts(
    customer_id: NDArray[np.object_], X: Floats, probability: Floats, value: Floats, as_of: int
) -> list[Facts]:
    """What the policy sees of everybody; values as a model fitted to margins would tell them."""
    column = {name: X[:, at] for name, at in POSITION.items()}
    high, medium = np.quantile(probability, [0.8, 0.5])
    top, next_to_top = np.quantile(value, [0.8, 0.5])
    told = np.random.default_rng(3).random(len(X)) < 0.3
    before = (Contact(as_of - 40 * MICROSECONDS_PER_DAY, "reorder_reminder"),)
    return [
        Facts(
            customer_id=customer,
            as_of=as_of,
            probability=float(p),
            band="high" if p > high else "medium" if p > medium else "low",
            segment="A" if value[k] >= top else "B" if value[k] >= next_to_top else "C",
            value=float(value[k]),
            situation=_situation(column, k),
            contacts=before * int(told[k]),
        )
        for k, (customer, p) in enumerate(
            zip(customer_id.tolist(), probability.tolist(), strict=True)
        )
    ]


def _situation(column: Mapping[str, Floats], k: int) -> Situation:
    """A case as the features have it, without the model's reasons."""
    if column["open_complaints"][k] > 0.0:
        return "open_complaint"
    if column["is_one_time_buyer"][k] == 1.0:
        return "one_time"
    if column["discounted_share"][k] > 0.5:
        return "promotion_only"
    if column["last_3_cheques_ratio"][k] < 0.8:
        return "cheque_decline"
    if column["silence_over_own_gap"][k] > 1.5:
        return "periodic_switched"
    if column["visits_30d"][k] < column["earlier_visits_30d"][k]:
        return "engagement_drop"
    return "unknown"
