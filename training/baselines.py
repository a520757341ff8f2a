"""The simple rules that a model has to beat before it deserves anybody's attention.

They see the same customers, dates and labels as Keepwell's model. The feature matrix they receive
is the loop's, before any population transform.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from churn.errors import TooLittleData
from training import bgnbd
from training.progress import Progress, Silent

RECENCY = ("days_since_last_purchase",)
RFM = ("days_since_last_purchase", "purchase_days_total", "average_cheque", "tenure_days")
SIMPLE_FEATURES = (
    "days_since_last_purchase",
    "tenure_days",
    "purchases_30d",
    "purchases_90d",
    "purchases_365d",
    "purchases_total",
    "purchase_days_total",
    "average_gap_days",
    "average_cheque",
    "last_cheque",
    "spend_90d",
    "spend_total",
)
BGNBD_MAX_ROWS = 20_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BaselineData:
    """Rows of one or more snapshots: one per customer and date.

    Attributes
    ----------
    X : ndarray of float64, shape (n, n_features)
        The loop's features; NaN where missing.
    names : tuple of str
        Their names, in order.
    is_churn : ndarray of bool, shape (n,)
    everyone : ndarray of float64, shape (n_customers, n_features), optional
        The loop's features of *all* customers at the latest date of `X`, lapsed ones included;
        training data must have it. BG/NBD learns how customers leave from those who have left:
        fitted on active ones only, its log loss on CDNOW rose from .550 to .594.
    """

    X: Floats
    names: tuple[str, ...]
    is_churn: NDArray[np.bool_]
    everyone: Floats | None = None

    def columns(self, names: tuple[str, ...]) -> Floats:
        """Return the named columns, shape (n, len(names))."""
        return self.X[:, [self.names.index(name) for name in names]]


class Baseline(Protocol):
    """A rival: fits on past snapshots, predicts churn probabilities, shape (n,)."""

    def fit(self, train: BaselineData) -> "Baseline":
        """Learn from rows whose labels are known; returns itself."""

    def predict(self, test: BaselineData) -> Floats:
        """Churn probability of each row, in [0, 1]; never looks at `test.is_churn`."""


class LogLogistic:
    """Logistic regression on the logarithms of a few named features."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.model = make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            FunctionTransformer(_log1p),
            StandardScaler(),
            LogisticRegression(),
        )

    def fit(self, train: BaselineData) -> "LogLogistic":
        """Fit the medians, the scales and the coefficients."""
        self.model.fit(train.columns(self.names), train.is_churn)
        return self

    def predict(self, test: BaselineData) -> Floats:
        """Churn probability of each row."""
        return np.asarray(self.model.predict_proba(test.columns(self.names))[:, 1])


class BgNbdRule:
    """BG/NBD's probability of no purchase within the horizon.

    It needs no label, so it is fitted on the latest training date alone, whose histories hold
    those of all earlier ones.
    """

    def __init__(self, horizon_days: int, seed: int) -> None:
        self.horizon_days = horizon_days
        self.seed = seed
        self.model = bgnbd.BgNbd(1.0, 1.0, 1.0, 1.0)

    def fit(self, train: BaselineData) -> "BgNbdRule":
        """Maximum likelihood on `train.everyone`, or on `BGNBD_MAX_ROWS` of them at random."""
        if train.everyone is None:
            raise ValueError("BG/NBD needs the training data's `everyone`")
        seen = train.everyone[~np.isnan(train.everyone[:, train.names.index("tenure_days")])]
        if len(seen) > BGNBD_MAX_ROWS:
            rng = np.random.default_rng(self.seed)
            seen = rng.choice(seen, BGNBD_MAX_ROWS, replace=False)
        self.model = bgnbd.fit(*histories(seen, train.names))
        return self

    def predict(self, test: BaselineData) -> Floats:
        """Probability of no purchase within the horizon, for each row."""
        return self.model.probability_of_no_purchase(
            *histories(test.X, test.names), float(self.horizon_days)
        )


class LightGbmDefault:
    """LightGBM as it comes, on features that anybody would think of first."""

    def __init__(self, names: tuple[str, ...], seed: int) -> None:
        self.names = names
        self.model = LGBMClassifier(random_state=seed, n_jobs=2, verbose=-1)

    def fit(self, train: BaselineData) -> "LightGbmDefault":
        """Fit 100 trees with the library's defaults."""
        self.model.fit(train.columns(self.names), train.is_churn)
        return self

    def predict(self, test: BaselineData) -> Floats:
        """Churn probability of each row."""
        # The booster itself: the scikit-learn wrapper warns of names on plain arrays.
        return np.asarray(self.model.booster_.predict(test.columns(self.names), num_threads=2))


BASELINES: dict[str, Callable[[int, int], Baseline]] = {
    "recency_lr": lambda horizon_days, seed: LogLogistic(RECENCY),
    "rfm_lr": lambda horizon_days, seed: LogLogistic(RFM),
    "bgnbd": BgNbdRule,
    "lightgbm_default": lambda horizon_days, seed: LightGbmDefault(SIMPLE_FEATURES, seed),
}


def predict_baselines(
    train: BaselineData,
    test: BaselineData,
    horizon_days: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """Churn probabilities of every baseline for the test rows.

    Parameters
    ----------
    train, test : BaselineData
        Rows to learn from, and rows to predict.
    horizon_days : int
        Length of the outcome window.
    seed : int
    progress : Progress, optional
        Told of each baseline.

    Returns
    -------
    dict of str to ndarray, shape (n_test,)
        By baseline name, each in [0, 1].

    Raises
    ------
    TooLittleData
        If the training rows hold one class only.
    """
    if train.is_churn.all() or not train.is_churn.any():
        raise TooLittleData(
            "every training row has the same outcome: choose another problem.horizon_days"
        )
    progress = progress or Silent()
    progress.stage("fitting the baselines", len(BASELINES))
    predicted = {}
    for name, make in BASELINES.items():
        predicted[name] = np.clip(make(horizon_days, seed).fit(train).predict(test), 0.0, 1.0)
        progress.advance()
    return predicted


def histories(X: Floats, names: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """BG/NBD's x, t_x and age: repeat purchase days, days from first purchase to last, and to now.

    Parameters
    ----------
    X : ndarray of float64, shape (n, n_features)
        The loop's features.
    names : tuple of str
        Their names, in order.

    Returns
    -------
    x, t_x, age : ndarray of float64, shape (n,)
    """
    days = X[:, names.index("purchase_days_total")]
    silence = X[:, names.index("days_since_last_purchase")]
    age = X[:, names.index("tenure_days")]
    return np.maximum(days - 1, 0.0), np.maximum(age - silence, 0.0), age


def _log1p(values: Floats) -> Floats:
    return np.log1p(np.maximum(values, 0.0))
