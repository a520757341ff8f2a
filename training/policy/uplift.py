"""Whom an action changes: an X-learner on LightGBM, cross-fitted.

Two models tell how many are kept with the action and without it, from customers of other folds;
what each customer did beyond the other model's expectation is their own effect, full of noise; two
more models find what in the customers it goes with, and are averaged by the share treated, so that
the smaller group's noise counts less. A customer's uplift comes from models that never saw that
customer.

References
----------
Kunzel, Sekhon, Bickel & Yu (2019), "Metalearners for estimating heterogeneous treatment effects
using machine learning", PNAS 116(10).
"""

from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from churn.errors import TooLittleData

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

FOLDS = 5
MIN_OF_EACH_ARM = 500
TREES = 60
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 7,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}
LEAF_SHARE = 0.02


class Uplift:
    """An X-learner fitted on all rows it was given.

    Parameters
    ----------
    X : ndarray, shape (n, n_features)
        What was known when the action was chosen; NaN is missing.
    treated : ndarray of bool, shape (n,)
        Drawn at random.
    outcome : ndarray, shape (n,)
        1 if kept, or any figure.
    seed : int
    """

    def __init__(self, X: Floats, treated: Booleans, outcome: Floats, seed: int) -> None:
        check_arms(treated)
        self._share = float(treated.mean())
        with_it = _fit(X[treated], outcome[treated], seed)
        without = _fit(X[~treated], outcome[~treated], seed)
        gained = outcome[treated] - _predict(without, X[treated])
        missed = _predict(with_it, X[~treated]) - outcome[~treated]
        self._of_treated = _fit(X[treated], gained, seed + 1)
        self._of_others = _fit(X[~treated], missed, seed + 1)

    def predict(self, X: Floats) -> Floats:
        """Change of the outcome by the action, shape (n,)."""
        of_treated, of_others = _predict(self._of_treated, X), _predict(self._of_others, X)
        return self._share * of_others + (1.0 - self._share) * of_treated


def cross_fitted(
    X: Floats,
    treated: Booleans,
    outcome: Floats,
    cluster: NDArray[np.int64],
    seed: int,
) -> Floats:
    """Uplift of each row by models that saw nothing of its customer.

    Parameters
    ----------
    X, treated, outcome, seed
        As `Uplift`.
    cluster : ndarray of int64, shape (n,)
        Whose row it is, numbered from 0.

    Raises
    ------
    TooLittleData
        Fewer than `MIN_OF_EACH_ARM` rows were treated, or were not.
    """
    check_arms(treated)
    fold = np.random.default_rng(seed).permutation(int(cluster.max()) + 1)[cluster] % FOLDS
    found = np.empty(len(outcome))
    for k in range(FOLDS):
        rows = fold != k
        model = Uplift(X[rows], treated[rows], outcome[rows], seed)
        found[~rows] = model.predict(X[~rows])
    return found


def check_arms(treated: Booleans) -> None:
    """Refuse to tell an effect from too few.

    Raises
    ------
    TooLittleData
        As `cross_fitted`; fewer rows than in all folds but one are never refused.
    """
    fewest = int(min(treated.sum(), (~treated).sum()))
    if fewest < MIN_OF_EACH_ARM * (FOLDS - 1) // FOLDS:
        raise TooLittleData(
            f"only {fewest} customers in the smaller group, at least {MIN_OF_EACH_ARM} are needed "
            "to tell whom the action changes: wait, or raise [rules] holdout_share"
        )


def _fit(X: Floats, y: Floats, seed: int) -> lgb.Booster:
    parameters = PARAMETERS | {
        "seed": seed,
        "min_data_in_leaf": int(np.clip(LEAF_SHARE * len(y), 20, 1000)),
    }
    return lgb.train(parameters, lgb.Dataset(X, y), num_boost_round=TREES)


def _predict(booster: lgb.Booster, X: Floats) -> Floats:
    return np.asarray(booster.predict(X, num_threads=2), dtype=np.float64)
