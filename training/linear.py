"""Fit the linear part that few small trees are averaged with: a much restrained regression."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from churn.compiled import Booleans, Floats, Integers
from churn.linear import MOST_DEVIATIONS, Linear

SHARE = 1.0 / 3.0
RESTRAINT = 0.001  # scikit-learn's C
MOST_ROWS = 60_000
LEAST_SPREAD = 1e-9  # less is the rounding of a constant


def fit_linear(
    columns: Floats, at: Integers, position: Integers, is_churn: Booleans, seed: int
) -> Linear:
    """Fit it.

    Parameters
    ----------
    columns : ndarray of float64, shape (n, n_used)
        That the trees learn from; NaN is missing.
    at : ndarray of int64, shape (k,)
        Which of them it may read.
    position : ndarray of int64, shape (n_used,)
        Where they stand among all columns of the trees.
    is_churn : ndarray of bool, shape (n,)
        Labels.
    seed : int
        Of the choice of `MOST_ROWS` rows, where there are more.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(columns))[:MOST_ROWS])
    known = columns[np.ix_(rows, at)]
    met = ~np.isnan(known).all(axis=0)
    known, at = known[:, met], at[met]
    logs = np.sign(known) * np.log1p(np.abs(known))
    median = np.nanmedian(logs, axis=0)
    logs = np.where(np.isnan(logs), median, logs)
    center, spread = logs.mean(axis=0), logs.std(axis=0)
    scale = np.where(spread > LEAST_SPREAD, spread, 1.0)
    deviations = np.clip((logs - center) / scale, -MOST_DEVIATIONS, MOST_DEVIATIONS)
    fitted = LogisticRegression(C=RESTRAINT, max_iter=200).fit(deviations, is_churn[rows])
    return Linear(
        share=SHARE,
        column=position[at].astype(np.int64),
        center=center,
        scale=scale,
        missing=np.clip((median - center) / scale, -MOST_DEVIATIONS, MOST_DEVIATIONS),
        mean=deviations.mean(axis=0),
        weight=np.ascontiguousarray(fitted.coef_[0]),
        intercept=float(fitted.intercept_[0]),
    )
