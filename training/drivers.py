"""What a model looks at: each feature's own part in the risk of the customers it was judged on.

A feature and its percentile rank tell the same thing twice, so here they are one player of the
Shapley game; the words and the unit are the feature's own.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from churn.bundle import Model
from churn.compiled import Floats
from churn.features import FEATURES, POSITION, Family
from churn.rhythm import RHYTHM_NAMES
from churn.schema import Schema
from training.report_data import Driver

MOST_ROWS = 20_000
MOST_DRIVERS = 15

RHYTHM_WORDS = dict(
    zip(
        RHYTHM_NAMES,
        (
            ("usual gap between purchases, as a logarithm", "log days"),
            ("usual gap between purchases", "days"),
            ("silence over the usual gap", "ratio"),
            ("how unusual the silence is for this customer", "deviations"),
            ("how unusual the silence will be at the horizon", "deviations"),
            ("share of gaps longer than the silence", "share"),
            ("share of longer gaps that reach past the horizon", "share"),
        ),
        strict=True,
    )
)


def drivers(model: Model, X: Floats, seed: int) -> tuple[Driver, ...]:
    """The features that move the risk of these customers, the most important first.

    Parameters
    ----------
    model : Model
        The model to explain.
    X : ndarray of float64, shape (n, n_inputs)
        Input columns of the customers.
    seed : int
        Of the choice of `MOST_ROWS` of them to explain, where there are more.
    """
    names = model.schema.model_columns
    own = {name: at for at, name in enumerate(names) if _base(name, names) == name}
    players = {name: at for at, name in enumerate(own)}
    each = replace(
        model,
        trees=replace(
            model.trees,
            families=np.array([players[_base(name, names)] for name in names], dtype=np.int64),
            n_families=len(players),
        ),
        usual=None,  # of families; these players are others
    )
    columns = model.columns(X)
    rows = _some(len(X), seed)
    contributions = np.full((len(X), len(players)), np.nan)
    contributions[rows] = each.explain(columns[rows])[1]
    importance = dict(zip(own, np.abs(contributions[rows]).mean(axis=0), strict=True))
    return tuple(
        _driver(model.schema, name, columns[:, own[name]], contributions[:, players[name]])
        for name in sorted(own, key=lambda name: -importance[name])[:MOST_DRIVERS]
        if importance[name] > 0
    )


def family_shares(model: Model, X: Floats, seed: int) -> dict[str, float]:
    """Mean absolute contribution of each reason family that has any, in log-odds.

    Parameters
    ----------
    model, X, seed
        As `drivers`; the same customers are explained.
    """
    _, contributions = model.explain(model.columns(X[_some(len(X), seed)]))
    moved = np.abs(contributions).mean(axis=0).tolist()
    return {
        family: share for family, share in zip(model.schema.families, moved, strict=True) if share
    }


def _some(n: int, seed: int) -> NDArray[np.int64]:
    """At most `MOST_ROWS` of n rows, at random, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:MOST_ROWS])


def _base(name: str, names: tuple[str, ...]) -> str:
    """The column whose rank this one is, or itself."""
    base = name.removesuffix("_rank")
    return base if base in names else name


def _driver(schema: Schema, name: str, values: Floats, contribution: Floats) -> Driver:
    """What people call a column of the trees; copies, so that the matrices need not be kept."""
    contribution, values = np.array(contribution), np.array(values)
    if name in RHYTHM_WORDS:
        words, unit = RHYTHM_WORDS[name]
        return Driver(name, words, Family.SILENCE.value, unit, contribution, values)
    column = schema.extra(name)
    if column is None:
        feature = FEATURES[POSITION[name]]
        return Driver(name, feature.en, feature.family.value, feature.unit, contribution, values)
    words, family = column.label["en"], column.family
    if column.kind == "numeric":
        return Driver(name, words, family, column.unit, contribution, values)
    named = np.array([column.decode(value) or "" for value in values.tolist()], dtype=object)
    return Driver(name, words, family, "category", contribution, named)
