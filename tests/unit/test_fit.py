from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY as DAY
from churn.events import Feed
from churn.features import FAMILIES, FEATURES, POSITION, mask_absent_feeds
from churn.population import MODEL_COLUMNS, MODEL_FAMILIES, Population
from training.boost import FIRST, LATER, STAGES, _masked, boost
from training.calendar import MAX_SNAPSHOTS
from training.fit import (
    MIN_OF_EACH_CLASS,
    MIN_ROWS,
    Boosters,
    Fitted,
    check_enough,
    fit,
    predict,
)
from training.snapshots import Snapshots

WINDOW = 60 * DAY
LAST = 1000 * DAY
FEEDS = frozenset({Feed.ORDERS, Feed.CHEQUES, Feed.VISITS})


def snapshots(dates: int = 9, rows: int = 150, seed: int = 1) -> Snapshots:
    """Silence and visits decide; the feeds outside `FEEDS` are missing."""
    rng = np.random.default_rng(seed)
    n = dates * rows
    X = rng.gamma(2.0, 8.0, size=(n, len(FEATURES))).round(1)
    X[:, POSITION["purchase_days_total"]] = rng.integers(1, 9, size=n)
    mask_absent_feeds(X, FEEDS)
    risk = X[:, POSITION["days_since_last_purchase"]] - X[:, POSITION["visits_30d"]]
    is_churn = risk + rng.normal(0, 10, size=n) > 0
    return Snapshots(
        X=X,
        as_of=np.repeat(LAST - 15 * DAY * np.arange(dates)[::-1], rows),
        is_churn=is_churn,
        next_purchase_days=np.where(is_churn, np.inf, rng.uniform(0, 60, size=n)),
        customer_id=np.array([f"c{k % rows}" for k in range(n)], dtype=object),
    )


def fitted(
    rows: Snapshots,
    reference: Snapshots,
    boosters: Boosters | None = None,
    seed: int = 7,
) -> Fitted:
    return fit(
        rows,
        reference,
        horizon_days=60,
        window=WINDOW,
        feeds=FEEDS,
        seed=seed,
        boosters=boosters,
    )


@pytest.fixture(scope="module")
def rows() -> Snapshots:
    return snapshots()


@pytest.fixture(scope="module")
def reference() -> Snapshots:
    return snapshots(dates=1, seed=2)


@pytest.fixture(scope="module")
def model(rows: Snapshots, reference: Snapshots) -> Fitted:
    return fitted(rows, reference)


def test_what_decides_is_learnt(model: Fitted, reference: Snapshots) -> None:
    probability = predict(model.model, reference.X)
    assert ((probability > 0) & (probability < 1)).all()
    churned, stayed = probability[reference.is_churn], probability[~reference.is_churn]
    assert churned.mean() > stayed.mean() + 0.2


def test_the_same_seed_gives_the_same_model(
    model: Fitted, rows: Snapshots, reference: Snapshots
) -> None:
    again, other = fitted(rows, reference), fitted(rows, reference, seed=8)
    assert again.model.lightgbm_text == model.model.lightgbm_text
    assert other.model.lightgbm_text != model.model.lightgbm_text


def test_the_flat_trees_are_the_booster_over_all_columns(
    model: Fitted, reference: Snapshots
) -> None:
    booster = lgb.Booster(model_str=model.model.lightgbm_text)
    columns = model.model.population.transform(reference.X)
    used = [MODEL_COLUMNS.index(name) for name in booster.feature_name()]
    assert 0 < len(used) < len(MODEL_COLUMNS)
    expected = booster.predict(columns[:, used], raw_score=True)
    assert np.array_equal(model.model.trees.margin(columns), expected)
    families = [FAMILIES.index(family) for family in MODEL_FAMILIES]
    assert model.model.trees.families.tolist() == families


def test_feeds_that_the_log_lacks_are_not_in_the_model(model: Fitted) -> None:
    feeds = {FEATURES[POSITION[name]].feed for name in model.gain if name in POSITION}
    assert feeds == FEEDS


def test_outcomes_at_the_date_of_making_are_not_looked_at(
    model: Fitted, rows: Snapshots, reference: Snapshots
) -> None:
    flipped = replace(reference, is_churn=~reference.is_churn)
    again = fitted(rows, flipped)
    assert again.model.lightgbm_text == model.model.lightgbm_text
    assert (
        predict(again.model, reference.X).tobytes() == predict(model.model, reference.X).tobytes()
    )


def test_ranks_refer_to_the_customers_at_the_date_of_making(
    model: Fitted, reference: Snapshots
) -> None:
    expected = Population.fit(reference.X, 60)
    assert np.array_equal(model.model.population.quantiles, expected.quantiles, equal_nan=True)


def test_no_outcome_after_a_date_reaches_the_booster_of_that_date() -> None:
    rows = snapshots(dates=13, rows=520)
    reference = snapshots(dates=1, seed=2)
    boosters: Boosters = {}
    before = fitted(rows, reference, boosters)
    known_at_last = (1, *(date for date in rows.dates if date + WINDOW <= LAST))
    assert known_at_last in boosters  # it was asked how it would have done on the last date
    later = rows.as_of + WINDOW > LAST
    assert 0 < later.sum() < len(rows)
    changed = replace(rows, is_churn=rows.is_churn ^ later)
    others: Boosters = {}
    after = fitted(changed, reference, others)
    assert others[known_at_last].text(150) == boosters[known_at_last].text(150)
    assert after.calibration.evidence != before.calibration.evidence  # the change was noticed


def test_only_the_latest_snapshots_are_learnt_from_and_told() -> None:
    many = snapshots(dates=MAX_SNAPSHOTS + 5, rows=40)
    assert list(fitted(many, snapshots(dates=1)).dates) == many.dates[5:]


def test_the_snapshots_used_are_told_with_their_role(model: Fitted, rows: Snapshots) -> None:
    assert model.dates == dict.fromkeys(rows.dates, "training")


def test_hidden_rows_lose_whole_feeds_or_single_features_but_the_input_stays() -> None:
    X = np.ones((2000, len(FEATURES)))
    mask_absent_feeds(X, FEEDS)
    before = X.copy()
    hidden = _masked(X, FEEDS, np.random.default_rng(1))
    assert np.array_equal(X, before, equal_nan=True)
    assert np.isnan(hidden[np.isnan(X)]).all()
    lost = np.isnan(hidden) & ~np.isnan(X)
    by_feed = {feed: lost[:, [feature.feed is feed for feature in FEATURES]] for feed in FEEDS}
    whole = np.zeros(len(X), dtype=bool)
    for feed in FEEDS - {Feed.ORDERS}:
        whole |= by_feed[feed].all(axis=1) & ~by_feed[Feed.ORDERS].any(axis=1)
    assert 0.25 < whole.mean() < 0.5  # of the half that loses feeds, three quarters lose any
    partly = lost.any(axis=1) & ~whole
    assert 0.4 < partly.mean() < 0.6
    share = lost[partly][:, ~np.isnan(X).any(axis=0)].mean()
    assert 0.4 < share < 0.6


def test_a_log_of_orders_alone_loses_single_features() -> None:
    X = np.ones((500, len(FEATURES)))
    hidden = _masked(X, frozenset({Feed.ORDERS}), np.random.default_rng(1))
    assert np.isnan(hidden).any(axis=1).mean() > 0.9


def labelled(churned: int, stayed: int) -> Snapshots:
    n = churned + stayed
    return Snapshots(
        X=np.full((n, len(FEATURES)), np.nan),
        as_of=np.full(n, LAST),
        is_churn=np.arange(n) < churned,
        next_purchase_days=np.where(np.arange(n) < churned, np.inf, 1.0),
        customer_id=np.array([f"c{k}" for k in range(n)], dtype=object),
    )


@pytest.mark.parametrize(
    ("churned", "stayed", "expected"),
    [
        (10, 10, f"only 20 rows .customers: 20. to learn from, at least {MIN_ROWS}"),
        (0, 0, "only 0 rows"),
        (0, 200, "0 of 200 rows churned.*few customers churned.*lower .problem. horizon_days"),
        (200, 0, "200 of 200 rows churned.*few customers stayed.*raise .problem. horizon_days"),
        (200, MIN_OF_EACH_CLASS - 1, "too few customers stayed"),
        (MIN_OF_EACH_CLASS - 1, 200, "too few customers churned"),
    ],
)
def test_too_little_is_refused_with_the_way_out(churned: int, stayed: int, expected: str) -> None:
    with pytest.raises(TooLittleData, match=expected):
        check_enough(labelled(churned, stayed))


def test_just_enough_is_enough() -> None:
    check_enough(labelled(MIN_OF_EACH_CLASS, MIN_ROWS - MIN_OF_EACH_CLASS))
    check_enough(labelled(MIN_ROWS - MIN_OF_EACH_CLASS, MIN_OF_EACH_CLASS))


def test_later_trees_are_larger_and_bolder(rows: Snapshots) -> None:
    trees = boost(rows, 60, FEEDS, 7).booster.dump_model()["tree_info"]
    assert len(trees) == STAGES[-1]
    for tree in trees[1 : STAGES[0]]:  # the first bears the average, at no rate
        assert tree["num_leaves"] <= FIRST["num_leaves"]
        assert tree["shrinkage"] == FIRST["learning_rate"]
    for tree in trees[STAGES[0] :]:
        assert tree["num_leaves"] <= LATER["num_leaves"]
        assert tree["shrinkage"] == LATER["learning_rate"]
    assert max(tree["num_leaves"] for tree in trees) > FIRST["num_leaves"]


def test_trees_without_ranks_see_none_and_score_all_the_same(rows: Snapshots) -> None:
    without = boost(rows, 60, FEEDS, 7, ranks=False)
    assert not any(MODEL_COLUMNS[column].endswith("_rank") for column in without.used)
    there = rows.at(LAST)
    columns = Population.fit(there.X, 60).transform(there.X)
    linear = without.linear(STAGES[0])
    assert linear is not None
    assert not any(MODEL_COLUMNS[column].endswith("_rank") for column in linear.column)
    margin = linear.blend(columns, without.trees(STAGES[0]).margin(columns))
    assert np.array_equal(margin, without.margins(there, STAGES[:1])[:, 0])


def test_more_trees_go_without_a_linear_part(rows: Snapshots) -> None:
    boosted = boost(rows, 60, FEEDS, 7)
    there = rows.at(LAST)
    columns = Population.fit(there.X, 60).transform(there.X)
    for at, n in enumerate(STAGES[1:], 1):
        assert boosted.linear(n) is None
        assert np.array_equal(boosted.trees(n).margin(columns), boosted.margins(there)[:, at])


def test_only_a_young_log_is_asked_whether_ranks_mislead() -> None:
    young = snapshots(dates=13, rows=520)
    found = fitted(young, young.at(LAST))
    kept = "ranks kept" in found.calibration.evidence
    assert kept is not ("ranks dropped" in found.calibration.evidence)
    assert kept is any(name.endswith("_rank") for name in found.gain)
    old = replace(young, as_of=np.where(young.as_of == young.dates[0], 0, young.as_of))
    assert "without ranks" not in fitted(old, old.at(LAST)).calibration.evidence
