"""A quick, honest trial of a problem: a small model learns from the past and is judged later.

It exists to compare problems, not to be published: the recipe's small trees on the features without
ranks, three snapshots at most, a bounded sample of customers. Nothing after the date it is judged
on is learnt from, and nothing after the log's end is looked at.
"""

from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np

from churn.compiled import Booleans, Floats
from churn.events import MICROSECONDS_PER_DAY
from churn.features import FEATURES
from training.config import Problem
from training.fit import MIN_OF_EACH_CLASS, MIN_ROWS
from training.ingest import Ingested
from training.intervals import Bootstrap, Interval
from training.metrics import evaluate
from training.snapshots import Snapshots, collect

MAX_CUSTOMERS, MAX_EVENTS = 30_000, 4_000_000
MAX_TRAINING_ROWS = 20_000
TRAINING_DATES = 3
REPEATS = 200


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the trial's model did, each figure with its 95% interval over customers.

    Attributes
    ----------
    roc_auc : Interval
        Probability that a churner is ranked above a stayer.
    log_loss_gain : Interval
        By how much its log loss is below that of giving everybody the true churn rate.
    top_decile_lift : Interval
        Churn rate of the tenth at highest risk over everybody's.
    """

    roc_auc: Interval
    log_loss_gain: Interval
    top_decile_lift: Interval


@dataclass(frozen=True, slots=True)
class Trial:
    """One problem tried on one date.

    Attributes
    ----------
    problem : Problem
        Horizon, lead time and inactivity that were tried.
    customers, churned : int
        Eligible customers of the sample at that date, and those of them who left.
    quality : Quality or None
        None where there is too little to learn from or to judge on.
    """

    problem: Problem
    customers: int
    churned: int
    quality: Quality | None

    @property
    def churn_rate(self) -> float:
        """Share of customers who left; 0 of none."""
        return self.churned / self.customers if self.customers else 0.0

    def to_dict(self, key: str) -> dict[str, Any]:
        """The value tried of one setting, and what came of it, as plain values."""
        figures: dict[str, Any] = dict.fromkeys(("roc_auc", "log_loss_gain", "top_decile_lift"))
        if self.quality is not None:
            figures = {
                name: getattr(self.quality, name)._asdict()
                for name in ("roc_auc", "log_loss_gain", "top_decile_lift")
            }
        return {
            key: getattr(self.problem, key),
            "customers": self.customers,
            "churn_rate": self.churn_rate,
            **figures,
        }


def sample_of(ingested: Ingested) -> Ingested:
    """Take as many whole buckets as hold a bounded number of customers and events.

    A bucket is chosen by a hash of the customer, so its customers are a random sample.
    """
    total = ingested.usability.total
    share = min(1.0, MAX_CUSTOMERS / total.buyers, MAX_EVENTS / total.events)
    return replace(ingested, n_buckets=max(1, int(ingested.n_buckets * share)))


def try_problem(sample: Ingested, problem: Problem, as_of: int, seed: int) -> Trial:
    """Learn from snapshots whose labels ended by `as_of`; judge on the customers of that date.

    Parameters
    ----------
    sample : Ingested
        The log, or a part of its customers.
    problem : Problem
        Horizon, lead time, inactivity, observation window.
    as_of : int
        Test date, microseconds since 1970-01-01 UTC; its outcome window must lie in the log.
    seed : int
        Of the model, of its rows and of the intervals.
    """
    day = MICROSECONDS_PER_DAY
    latest = as_of - (problem.lead_time_days + problem.horizon_days) * day
    earliest = sample.first_event + problem.horizon_days * day
    step = max(1, problem.horizon_days // 2) * day
    dates = [latest - k * step for k in range(TRAINING_DATES) if latest - k * step >= earliest]
    test = collect(sample, [as_of], problem)
    churned = int(test.is_churn.sum())
    quality = None
    if dates and _enough(test):
        past = collect(sample, dates, problem, known_until=as_of)
        if len(past) > MAX_TRAINING_ROWS:
            chosen = np.random.default_rng(seed).permutation(len(past)) < MAX_TRAINING_ROWS
            past = past.where(chosen)
        if _enough(past):
            quality = _judged(test.is_churn, _predict(past, test.X, seed), seed)
    return Trial(problem, len(test), churned, quality)


def _enough(rows: Snapshots) -> bool:
    churned = int(rows.is_churn.sum())
    fewest = min(churned, len(rows) - churned)
    return len(rows) >= MIN_ROWS and fewest >= MIN_OF_EACH_CLASS


def _predict(past: Snapshots, X: Floats, seed: int) -> Floats:
    known: Booleans = np.asarray(~np.isnan(past.X).all(axis=0))
    parameters = {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 7,
        "min_data_in_leaf": int(np.clip(0.005 * len(past), 20, 300)),
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.2,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,  # the trials themselves run side by side
        "verbosity": -1,
    }
    is_coded = np.zeros(len(known), dtype=np.bool_)
    for at, column in enumerate(past.columns, start=len(FEATURES)):
        is_coded[at] = column.kind == "categorical"
    coded = np.flatnonzero(is_coded[known]).tolist()
    data = lgb.Dataset(past.X[:, known], past.is_churn, categorical_feature=coded)
    booster = lgb.train(parameters, data, 150)
    return np.asarray(booster.predict(X[:, known], num_threads=1))


def _judged(is_churn: Booleans, probability: Floats, seed: int) -> Quality:
    constant = np.full(len(is_churn), is_churn.mean())
    models = {"model": probability, "constant": constant}
    bootstrap = Bootstrap(is_churn, models, seed=seed, repeats=REPEATS)
    auc, loss = bootstrap.of("model")["roc_auc"], bootstrap.difference("model", "constant")
    worse = loss["log_loss"]
    assert auc is not None  # both outcomes are there
    assert worse is not None
    gain = Interval(-worse.value, -worse.high, -worse.low)
    return Quality(auc, gain, _lift(is_churn, probability, seed))


def _lift(is_churn: Booleans, probability: Floats, seed: int) -> Interval:
    """Top-decile lift; sorts once, so that a resample is one pass."""
    n = len(is_churn)
    churned = is_churn[np.argsort(-probability, kind="stable")].astype(np.float64)
    rng = np.random.default_rng(seed)
    resampled = np.empty(REPEATS)
    for i in range(REPEATS):
        weight = np.bincount(rng.integers(n, size=n), minlength=n)
        in_top = np.interp(n / 10, np.cumsum(weight), np.cumsum(weight * churned))
        resampled[i] = 10 * in_top / max(float(weight @ churned), 1.0)
    low, high = np.quantile(resampled, [0.025, 0.975])
    lift = evaluate(is_churn, probability).top_decile_lift
    assert lift is not None
    return Interval(lift, float(low), float(high))
