"""What a good analyst would build: models that Keepwell must not be worse than.

`lightgbm_regularised` is a careful LightGBM on the loop's features; `mean_of_three` averages the
probabilities of three kinds of model (regularised LightGBM, CatBoost, logistic regression) that see
those features and BG/NBD's. None sees ranks, shrunk rhythms or hidden values. Their settings were
fixed on dates before the published ones and are the same for every log.

CatBoost is in none of the ordinary locks: `python requirements/install.py rivals` adds it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from churn.features import FEATURE_NAMES
from training import bgnbd
from training.baselines import BGNBD_MAX_ROWS, histories

Floats = NDArray[np.float64]

REGULARISED = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "feature_fraction": 0.5,
    "min_data_in_leaf": 60,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
REGULARISED_TREES = 300


@dataclass(frozen=True, slots=True)
class Rows:
    """What every rival gets.

    Attributes
    ----------
    X, y : ndarray, shapes (n, n_loop) and (n,)
        Loop features and labels of the snapshots to learn from.
    everyone : ndarray, shape (n_customers, n_loop)
        Everybody who ever bought, at the latest of those snapshots, for BG/NBD.
    test : ndarray, shape (n_test, n_loop)
        Whom to predict.
    horizon_days : int
    seed : int
    """

    X: Floats
    y: NDArray[np.bool_]
    everyone: Floats
    test: Floats
    horizon_days: int
    seed: int


def lightgbm_regularised(rows: Rows) -> Floats:
    """300 trees of 15 leaves at a rate of .03, half of the columns a tree."""
    return _lightgbm(rows.X, rows.y, rows.test, rows.seed)


def mean_of_three(rows: Rows) -> Floats:
    """The mean of three kinds of model on the loop's features and BG/NBD's."""
    X, test = _with_bgnbd(rows)
    return np.mean(
        [
            _lightgbm(X, rows.y, test, rows.seed),
            _catboost(X, rows.y, test, rows.seed),
            _logistic(X, rows.y, test),
        ],
        axis=0,
    )


RIVALS: dict[str, Callable[[Rows], Floats]] = {
    "lightgbm_regularised": lightgbm_regularised,
    "mean_of_three": mean_of_three,
}


def _lightgbm(X: Floats, y: NDArray[np.bool_], test: Floats, seed: int) -> Floats:
    booster = lgb.train(REGULARISED | {"seed": seed}, lgb.Dataset(X, y), REGULARISED_TREES)
    return np.asarray(booster.predict(test, num_threads=2))


def _catboost(X: Floats, y: NDArray[np.bool_], test: Floats, seed: int) -> Floats:
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(
        iterations=300,
        learning_rate=0.03,
        depth=6,
        l2_leaf_reg=10.0,
        rsm=0.5,
        random_seed=seed,
        thread_count=2,
        verbose=False,
        allow_writing_files=False,
    ).fit(X, y)
    return np.asarray(model.predict_proba(test)[:, 1])


def _logistic(X: Floats, y: NDArray[np.bool_], test: Floats) -> Floats:
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        FunctionTransformer(_log),
        StandardScaler(),
        LogisticRegression(C=0.001, max_iter=1000),
    )
    return np.asarray(model.fit(X, y).predict_proba(test)[:, 1])


def _log(X: Floats) -> Floats:
    """Logarithm of either sign, since trends can be negative."""
    return np.sign(X) * np.log1p(np.abs(X))


def _with_bgnbd(rows: Rows) -> tuple[Floats, Floats]:
    """Append P(alive), P(no purchase in the horizon) and the expected purchases of an alive one."""
    seen = rows.everyone[~np.isnan(rows.everyone[:, FEATURE_NAMES.index("tenure_days")])]
    if len(seen) > BGNBD_MAX_ROWS:
        seen = np.random.default_rng(rows.seed).choice(seen, BGNBD_MAX_ROWS, replace=False)
    model = bgnbd.fit(*histories(seen, FEATURE_NAMES))

    def appended(X: Floats) -> Floats:
        x, t_x, age = histories(X, FEATURE_NAMES)
        alive = model.probability_alive(x, t_x, age)
        none = model.probability_of_no_purchase(x, t_x, age, float(rows.horizon_days))
        rate = (model.r + x) / (model.alpha + age)
        return np.column_stack([X, alive, none, alive * rate * rows.horizon_days])

    return appended(rows.X), appended(rows.test)
