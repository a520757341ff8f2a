"""Fit one model from a ready table: the capacity that its rows bear, honest probabilities.

Tables differ in how much there is to learn. In one, each column says its part by itself; in
another, every row has near neighbours and the trees can hardly be deep enough. So there are four
capacities, and rows that fitted nothing decide between them. None has more leaves in all than 300
trees of 31.
"""

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from churn.compiled import Floats
from churn.errors import TooLittleData
from churn.schema import Schema
from churn.trees import FlatTrees
from training.fit import MIN_OF_EACH_CLASS, MIN_ROWS
from training.table.rows import Rows

MASKED_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a booster may say.

    Attributes
    ----------
    trees, leaves : int
        How many trees, and leaves of each.
    smoothing : float
        How far the label is drawn from 0 and 1: deep trees that fit every row would otherwise
        drive the margins apart without end.
    settings : dict
        LightGBM's other parameters.
    """

    trees: int
    leaves: int
    smoothing: float
    settings: dict[str, Any]


CAPACITIES: dict[str, Capacity] = {
    "stumps": Capacity(
        trees=300,
        leaves=2,
        smoothing=0.0,
        settings={
            "learning_rate": 0.05,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
        },
    ),
    "small trees": Capacity(
        trees=300,
        leaves=7,
        smoothing=0.0,
        settings={
            "learning_rate": 0.03,
            "min_data_in_leaf": 20,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 5.0,
        },
    ),
    "large trees": Capacity(
        trees=300,
        leaves=31,
        smoothing=0.0,
        settings={
            "learning_rate": 0.07,
            "min_data_in_leaf": 5,
            "min_data_per_group": 5,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.9,
            "bagging_freq": 1,
            "lambda_l2": 0.5,
            "cat_smooth": 1.0,
            "cat_l2": 1.0,
        },
    ),
    "deep trees": Capacity(
        trees=73,
        leaves=127,
        smoothing=0.01,
        settings={
            "learning_rate": 0.2,
            "min_data_in_leaf": 1,
            "min_data_per_group": 1,
            "feature_fraction": 0.5,
            "lambda_l2": 0.0,
            "cat_smooth": 1.0,
            "cat_l2": 1.0,
        },
    ),
}
"""From the least to the most."""


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster, its columns and LightGBM's parameters."""

    booster: lgb.Booster
    schema: Schema
    settings: dict[str, Any]

    def margins(self, X: Floats) -> Floats:
        """Log-odds of rows, shape (n,), before any calibration."""
        known = self.schema.settled(X)
        return np.asarray(self.booster.predict(known, raw_score=True, num_threads=2))

    def flat(self) -> FlatTrees:
        """The trees in the form that scores."""
        return FlatTrees.from_booster(self.booster, self.schema.model_families)


def boost(rows: Rows, capacity: str, seed: int) -> Boosted:
    """Fit a booster on all these rows, and on some of them with columns hidden.

    LightGBM takes a missing value for zero where it never met one; a caller may leave out any
    column, so the trees have to have met that.

    Parameters
    ----------
    rows : Rows
        With labels.
    capacity : str
        One of `CAPACITIES`.
    seed : int
        Of the sampling.
    """
    schema = Schema(rows.columns, loop=False).learnt(rows.X)
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(rows)) < MASKED_SHARE
    known = schema.settled(rows.X)
    hidden = known[chosen]
    hidden[rng.random(hidden.shape) < rng.random((len(hidden), 1))] = np.nan
    size = CAPACITIES[capacity]
    parameters = size.settings | {
        "num_leaves": size.leaves,
        "objective": "cross_entropy",  # as binary, of labels that may lie between 0 and 1
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbosity": -1,
    }
    label = np.where(rows.is_churn, 1.0 - size.smoothing, size.smoothing)
    coded = [column.name for column in schema.extras if column.kind == "categorical"]
    booster = lgb.train(
        parameters,
        lgb.Dataset(
            np.concatenate([known, hidden]),
            np.concatenate([label, label[chosen]]),
            feature_name=list(schema.names),
            categorical_feature=coded,
        ),
        num_boost_round=size.trees,
    )
    return Boosted(booster, schema, parameters)


def is_enough(rows: Rows) -> bool:
    """Whether there is something to learn from."""
    churned = int(rows.is_churn.sum())
    return len(rows) >= MIN_ROWS and min(churned, len(rows) - churned) >= MIN_OF_EACH_CLASS


def check_enough(rows: Rows) -> None:
    """Refuse to learn from too little.

    Raises
    ------
    TooLittleData
        Fewer than `MIN_ROWS` rows, or fewer than `MIN_OF_EACH_CLASS` of one outcome.
    """
    n, churned = len(rows), int(rows.is_churn.sum())
    if n < MIN_ROWS:
        raise TooLittleData(
            f"only {n} rows to learn from, at least {MIN_ROWS} are needed: bring more customers"
        )
    if min(churned, n - churned) < MIN_OF_EACH_CLASS:
        few = "stayed" if churned > n - churned else "churned"
        raise TooLittleData(
            f"{churned} of {n} rows churned: too few customers {few} to learn the difference"
        )
