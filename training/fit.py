"""Fit one model from labelled snapshots: small trees, honest calibration, risk bands."""

from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from churn.bundle import Model
from churn.errors import TooLittleData
from churn.events import Feed
from churn.features import FEATURES, mask_absent_feeds
from churn.population import Population
from churn.rhythm import RHYTHM_NAMES
from churn.schema import Schema
from churn.trees import FlatTrees
from training.calendar import MAX_SNAPSHOTS
from training.calibrate import Choice, choose
from training.snapshots import Snapshots

TREES = 150
MASKED_SHARE = 0.1
MIN_ROWS = 100
MIN_OF_EACH_CLASS = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster: its text, trees over `schema.model_columns`, gain of each used one, parameters."""

    text: str
    trees: FlatTrees
    schema: Schema
    gain: dict[str, float]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model and how it came about.

    Attributes
    ----------
    model : Model
        What a bundle holds.
    calibration : Choice
        Which calibration was chosen, on what evidence.
    dates : dict of int to str
        Each snapshot date used, and its role: ``training`` or ``calibration``.
    gain : dict of str to float
        Total gain of each column that was not empty.
    settings : dict
        LightGBM's parameters.
    """

    model: Model
    calibration: Choice
    dates: dict[int, str]
    gain: dict[str, float]
    settings: dict[str, Any]


def fit(
    snapshots: Snapshots,
    reference: Snapshots,
    *,
    horizon_days: int,
    window: int,
    feeds: frozenset[Feed],
    seed: int,
    boosters: dict[tuple[int, ...], "Boosted"] | None = None,
) -> Fitted:
    """Fit a model on labelled snapshots.

    Parameters
    ----------
    snapshots : Snapshots
        Labelled rows.
    reference : Snapshots
        The eligible customers at the date the model is made for; their labels are not looked at.
    horizon_days : int
        Length of the outcome window.
    window : int
        Lead time and horizon together, in microseconds.
    feeds : frozenset of Feed
        What the log has.
    seed : int
        Of bagging and masking.
    boosters : dict, optional
        Boosters of earlier calls on the same log, by their snapshot dates; added to here.

    Raises
    ------
    TooLittleData
        Too few rows, or too few of one class.
    """
    check_enough(snapshots)
    known = {} if boosters is None else boosters

    def dates_by(labels_end_by: int) -> tuple[int, ...]:
        ended = [date for date in snapshots.dates if date + window <= labels_end_by]
        return tuple(ended[-MAX_SNAPSHOTS:])

    def boosted(dates: tuple[int, ...]) -> Boosted:
        if dates not in known:
            rows = snapshots.where(np.isin(snapshots.as_of, dates))
            known[dates] = _boost(rows, horizon_days, feeds, seed)
        return known[dates]

    def margins(labels_end_by: int, rows: Snapshots) -> Floats:
        booster = boosted(dates_by(labels_end_by))
        population = Population.fit(rows.X, horizon_days, booster.schema.ranked)
        return booster.trees.margin(population.transform(booster.schema.settled(rows.X)))

    choice = choose(snapshots, window, margins, seed=seed)
    training = dates_by(choice.labels_end_by)
    final = boosted(training)
    return Fitted(
        model=Model(
            lightgbm_text=final.text,
            trees=final.trees,
            population=Population.fit(reference.X, horizon_days, final.schema.ranked),
            calibration=choice.calibration,
            schema=final.schema.with_norms(reference.X),
        ),
        calibration=choice,
        dates=dict.fromkeys(training, "training")
        | dict.fromkeys(sorted(choice.held_out), "calibration"),
        gain=final.gain,
        settings=final.settings,
    )


def predict(model: Model, X: Floats) -> Floats:
    """Calibrated probability of churn for input columns of shape (n, n_inputs)."""
    return model.calibration.apply(model.trees.margin(model.columns(X)))


def check_enough(snapshots: Snapshots) -> None:
    """Refuse to learn from too little.

    Raises
    ------
    TooLittleData
        Fewer than `MIN_ROWS` rows, or fewer than `MIN_OF_EACH_CLASS` of one outcome.
    """
    customers = len(set(snapshots.customer_id.tolist()))
    check_counts(len(snapshots), int(snapshots.is_churn.sum()), customers)


def check_counts(n: int, churned: int, customers: int) -> None:
    """Refuse to learn from `n` rows of so many customers, of which `churned` left.

    Raises
    ------
    TooLittleData
        As `check_enough`.
    """
    if n < MIN_ROWS:
        raise TooLittleData(
            f"only {n} rows (customers: {customers}) to learn from, at least {MIN_ROWS} are "
            "needed: bring more customers, or raise [problem] inactivity_days"
        )
    if churned < MIN_OF_EACH_CLASS or n - churned < MIN_OF_EACH_CLASS:
        few, way_out = ("stayed", "raise") if churned > n - churned else ("churned", "lower")
        raise TooLittleData(
            f"{churned} of {n} rows churned: too few customers {few} to learn the difference; "
            f"{way_out} [problem] horizon_days"
        )


def _boost(rows: Snapshots, horizon_days: int, feeds: frozenset[Feed], seed: int) -> Boosted:
    columns, labels = [], []
    rng = np.random.default_rng(seed)
    schema = Schema(rows.columns).learnt(rows.X)
    # Columns that say nothing (the feeds this log lacks) would only cost time and memory.
    known = np.asarray(~np.isnan(rows.X).all(axis=0))
    loop = np.append(known[: len(FEATURES)], np.ones(len(RHYTHM_NAMES), np.bool_))
    own = np.append(known[len(FEATURES) :], known[list(schema.ranked)])
    used = np.flatnonzero(np.concatenate([loop, loop, own]))
    for date in rows.dates:
        part = rows.at(date)
        # Ranks within the row's own snapshot: what is a long silence differs between seasons.
        population = Population.fit(part.X, horizon_days, schema.ranked)
        X = schema.settled(part.X)
        columns.append(population.transform(X)[:, used])
        labels.append(part.is_churn)
        chosen = rng.random(len(part)) < MASKED_SHARE
        columns.append(population.transform(_masked(X[chosen], feeds, rng))[:, used])
        labels.append(part.is_churn[chosen])
    y = np.concatenate(labels)
    parameters = {
        "objective": "binary",
        "learning_rate": 0.03,
        "num_leaves": 7,
        "min_data_in_leaf": int(np.clip(0.005 * len(y), 20, 300)),
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "feature_fraction": 0.2,
        "lambda_l2": 5.0,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 2,
        "verbosity": -1,
    }
    matrix = np.concatenate(columns)
    columns.clear()  # not held twice
    names = [schema.model_columns[column] for column in used]
    coded = [c.name for c in schema.extras if c.kind == "categorical" and c.name in names]
    booster = lgb.train(
        parameters,
        lgb.Dataset(matrix, y, feature_name=names, categorical_feature=coded),
        num_boost_round=TREES,
    )
    trees = FlatTrees.from_booster(booster, [schema.model_families[column] for column in used])
    gain = booster.feature_importance("gain")
    return Boosted(
        text=booster.model_to_string(),
        trees=replace(
            trees,
            feature=used[trees.feature],
            families=np.array(schema.model_families, dtype=np.int64),
            n_families=len(schema.families),
        ),
        schema=schema,
        gain={name: float(total) for name, total in zip(names, gain, strict=True)},
        settings=parameters,
    )


def _masked(X: Floats, feeds: frozenset[Feed], rng: np.random.Generator) -> Floats:
    """Rows with something hidden, so that LightGBM learns what a missing value means.

    Half of the rows lose whole feeds, as where a caller records fewer than the log did, or all the
    columns of the user's own, as where a caller sends events only; the other half lose a random
    part of their features, as where a caller sends only some.
    """
    hidden = np.array(X)
    optional = sorted(feeds - {Feed.ORDERS})
    own = X.shape[1] > len(FEATURES)
    whole = bool(optional) or own
    by_feed = rng.random(len(hidden)) < 0.5 if whole else np.zeros(len(hidden), dtype=np.bool_)
    lost = rng.random((len(hidden), len(optional))) < 0.5
    for row in np.flatnonzero(by_feed):
        kept = feeds - {feed for feed, gone in zip(optional, lost[row], strict=True) if gone}
        mask_absent_feeds(hidden[row : row + 1], kept)
    if own:
        without_own = np.flatnonzero(by_feed & (rng.random(len(hidden)) < 0.5))
        hidden[without_own, len(FEATURES) :] = np.nan
    by_feature = np.flatnonzero(~by_feed)
    gone = rng.random((len(by_feature), X.shape[1])) < rng.random((len(by_feature), 1))
    hidden[by_feature] = np.where(gone, np.nan, hidden[by_feature])
    return hidden
