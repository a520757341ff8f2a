"""Boost small trees on labelled snapshots, and keep every stage of them within reach.

How many trees are enough differs between logs: few and small ones where purchases are all there is,
more and larger ones where complaints and visits tell as well. So one run is grown to the end, its
first trees small and its later ones larger and bolder, and evidence on later dates says at which of
`STAGES` to cut it (`training.calibrate`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from churn.compiled import Floats
from churn.events import Feed
from churn.features import FEATURES, mask_absent_feeds
from churn.linear import Linear
from churn.population import Population
from churn.rhythm import RHYTHM_NAMES
from churn.schema import Schema
from churn.trees import FlatTrees
from training.linear import fit_linear
from training.progress import Progress, Silent
from training.snapshots import Snapshots

STAGES = (150, 200, 250, 300)
FIRST = {"learning_rate": 0.03, "num_leaves": 7}
LATER = {"learning_rate": 0.1, "num_leaves": 15}  # of the trees after the first of `STAGES`
MASKED_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster of the last of `STAGES`, its columns and LightGBM's parameters.

    Attributes
    ----------
    booster : lightgbm.Booster
        Over the `used` columns of `schema.model_columns`.
    schema : Schema
        The columns and the codes of their categories.
    used : ndarray of int64
        Positions of the columns that said anything.
    horizon_days : int
        Length of the outcome window.
    settings : dict
        LightGBM's parameters.
    straight : Linear
        The linear part that the first of `STAGES` is averaged with.
    """

    booster: lgb.Booster
    schema: Schema
    used: NDArray[np.int64]
    horizon_days: int
    settings: dict[str, Any]
    straight: Linear

    def margins(self, rows: Snapshots, stages: tuple[int, ...] = STAGES) -> Floats:
        """Log-odds at each stage, shape (n, n_stages), for the rows of one date."""
        population = Population.fit(rows.X, self.horizon_days, self.schema.ranked)
        columns = population.transform(self.schema.settled(rows.X))
        seen = columns[:, self.used]
        found = np.empty((len(columns), len(stages)))
        for at, n in enumerate(stages):
            margin = np.asarray(
                self.booster.predict(seen, raw_score=True, num_iteration=n, num_threads=2)
            )
            linear = self.linear(n)
            found[:, at] = margin if linear is None else linear.blend(columns, margin)
        return found

    def linear(self, n_trees: int) -> Linear | None:
        """What so many trees are averaged with: many and large ones tell it better themselves."""
        return self.straight if n_trees == STAGES[0] else None

    def trees(self, n_trees: int) -> FlatTrees:
        """The first trees, over all of `schema.model_columns`."""
        families = self.schema.model_families
        first = lgb.Booster(model_str=self.text(n_trees))
        trees = FlatTrees.from_booster(first, [families[column] for column in self.used])
        return replace(
            trees,
            feature=self.used[trees.feature],
            families=np.array(families, dtype=np.int64),
            n_families=len(self.schema.families),
        )

    def text(self, n_trees: int) -> str:
        """The first trees as LightGBM writes them."""
        return str(self.booster.model_to_string(num_iteration=n_trees))

    def gain(self, n_trees: int) -> dict[str, float]:
        """Total gain of each used column in the first trees."""
        total = self.booster.feature_importance("gain", iteration=n_trees)
        names = [self.schema.model_columns[column] for column in self.used]
        return {name: float(gain) for name, gain in zip(names, total, strict=True)}


def boost(
    rows: Snapshots,
    horizon_days: int,
    feeds: frozenset[Feed],
    seed: int,
    *,
    ranks: bool = True,
    progress: Progress | None = None,
) -> Boosted:
    """Fit the longest run of trees.

    Parameters
    ----------
    rows : Snapshots
        Labelled rows.
    horizon_days : int
        Length of the outcome window.
    feeds : frozenset of Feed
        What the log has.
    seed : int
        Of bagging and masking.
    ranks : bool
        Whether the trees may see each column's rank among the customers of its date.
    progress : Progress, optional
        Told of each tree.
    """
    listener = progress or Silent()
    columns, labels = [], []
    rng = np.random.default_rng(seed)
    schema = Schema(rows.columns).learnt(rows.X)
    # Columns that say nothing (the feeds this log lacks) would only cost time and memory.
    known = np.asarray(~np.isnan(rows.X).all(axis=0))
    loop = np.append(known[: len(FEATURES)], np.ones(len(RHYTHM_NAMES), np.bool_))
    own = known[len(FEATURES) :]
    own_ranks = known[list(schema.ranked)]
    used = np.flatnonzero(np.concatenate([loop, loop & ranks, own, own_ranks & ranks]))
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
        **FIRST,
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
    matrix = np.empty((len(y), len(used)), dtype=np.float64)
    at = len(y)
    while columns:  # a part is given back once it is copied, so the matrix is never held twice
        part_columns = columns.pop()
        at -= len(part_columns)
        matrix[at : at + len(part_columns)] = part_columns
    names = [schema.model_columns[column] for column in used]
    coded = [c.name for c in schema.extras if c.kind == "categorical" and c.name in names]
    booster = lgb.train(
        parameters,
        lgb.Dataset(matrix, y, feature_name=names, categorical_feature=coded),
        num_boost_round=STAGES[-1],
        callbacks=[_bolder(), lambda _: listener.advance()],
    )
    # Ranks bend what a straight line is to follow; codes of categories have no order.
    even = np.concatenate([loop, np.zeros_like(loop), own & _is_numeric(schema)])
    readable = np.flatnonzero(np.isin(used, np.flatnonzero(even)))
    straight = fit_linear(matrix, readable, used, y, seed)
    return Boosted(booster, schema, used, horizon_days, parameters, straight)


def _is_numeric(schema: Schema) -> NDArray[np.bool_]:
    return np.array([column.kind == "numeric" for column in schema.extras], dtype=np.bool_)


def _bolder() -> Callable[[Any], None]:
    """Grow the trees after the first of `STAGES` by `LATER` instead of `FIRST`."""
    late = STAGES[-1] - STAGES[0]
    by_tree = {name: [FIRST[name]] * STAGES[0] + [LATER[name]] * late for name in FIRST}
    return lgb.reset_parameter(**by_tree)


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
