"""Uplift and Qini: by hand, where the effect is known, and on a published campaign."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import hillstrom
from benchmarks.policy_world import TRUTH, Campaigns, made_up
from churn.errors import TooLittleData
from churn.policy.default import DEFAULT
from churn.policy.policy import parse
from tests.decisions_table import row, table
from training.policy.decisions import of
from training.policy.persuadable import gain, persuadable
from training.policy.qini import Ranked, qini
from training.policy.uplift import cross_fitted
from training.policy.words import uplift_lines

needs_hillstrom = pytest.mark.skipif(
    hillstrom.path() is None,
    reason="KEEPWELL_EVAL_DATA names no folder with hillstrom.parquet",
)


def test_qini_by_hand() -> None:
    # Of the upper half all treated are kept and no other; of the lower half nobody.
    score = np.repeat([1.0, 0.0], 4)
    treated = np.tile([True, False], 4)
    ranked = Ranked.by(score, treated, treated * score, np.arange(8))
    x, gain = ranked.curve()
    assert x.tolist() == [0.0, 0.5, 1.0]
    assert gain.tolist() == [0.0, 0.5, 0.5]
    assert ranked.coefficient() == 0.125
    assert Ranked.by(-score, treated, treated * score, np.arange(8)).coefficient() == -0.125


def test_a_ranking_that_says_nothing_has_no_qini() -> None:
    rng = np.random.default_rng(2)
    n = 4_000
    treated, outcome = rng.random(n) < 0.5, (rng.random(n) < 0.4).astype(float)
    one = np.zeros(n)
    assert Ranked.by(one, treated, outcome, np.arange(n)).coefficient() == pytest.approx(0.0)
    found = qini(rng.random(n), treated, outcome, np.arange(n), seed=1, repeats=200)
    assert found.low < 0.0 < found.high


def test_unequal_arms_do_not_bend_it() -> None:
    rng = np.random.default_rng(3)
    n = 60_000
    score = rng.random(n)
    values = []
    for share in (0.2, 0.8):
        treated = rng.random(n) < share
        outcome = (rng.random(n) < 0.3 + 0.2 * score * treated).astype(float)
        values.append(Ranked.by(score, treated, outcome, np.arange(n)).coefficient())
    # The gain to depth d is .2 (d - d^2 / 2): an area of .2 / 3 less half of .1.
    assert values == pytest.approx([0.2 / 3 - 0.05] * 2, abs=0.005)


def made(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.random((n, 4))
    treated = rng.random(n) < 0.5
    effect = 0.3 * (X[:, 0] > 0.5) - 0.1
    kept = 0.3 + 0.3 * X[:, 1] + treated * effect
    return X, treated, (rng.random(n) < kept).astype(float), effect


def test_it_finds_whom_the_action_changes() -> None:
    X, treated, outcome, effect = made(12_000, 1)
    found = cross_fitted(X, treated, outcome, np.arange(len(X)), 7)
    assert np.corrcoef(found, effect)[0, 1] > 0.8
    assert found.mean() == pytest.approx(effect.mean(), abs=0.03)
    better = qini(found, treated, outcome, np.arange(len(X)), seed=1, against=X[:, 1], repeats=200)
    assert better.low > 0.0


def test_a_row_is_never_judged_by_a_model_that_saw_its_customer() -> None:
    # Noise that a customer repeats: learnt by heart it would rank them well.
    rng = np.random.default_rng(5)
    n = 3_000
    cluster = np.repeat(np.arange(n // 2), 2)
    X = np.repeat(rng.random((n // 2, 1)), 2, axis=0)
    treated = np.repeat(rng.random(n // 2) < 0.5, 2)
    outcome = np.repeat((rng.random(n // 2) < 0.5).astype(float), 2)
    found = qini(
        cross_fitted(X, treated, outcome, cluster, 1), treated, outcome, cluster,
        seed=1, repeats=100,
    )  # fmt: skip
    assert found.low < 0.0


def test_few_customers_are_refused() -> None:
    X, treated, outcome, _ = made(600, 1)
    with pytest.raises(TooLittleData, match="smaller group"):
        cross_fitted(X, treated, outcome, np.arange(600), 7)


@needs_hillstrom
def test_the_published_visits_come_out_and_the_uplift_model_tells_its_qini() -> None:
    file = hillstrom.path()
    assert file is not None
    arms = hillstrom.measure(file)
    for arm in arms:
        assert round(arm.visited, 3) == hillstrom.PUBLISHED[arm.name]
        assert round(arm.visited_without, 3) == hillstrom.PUBLISHED_NONE
        assert arm.lift.value == pytest.approx(arm.visited - arm.visited_without)
        assert arm.lift.high - arm.lift.low == pytest.approx(0.0134, abs=0.001)
        assert arm.lift.low > 0.0
        assert arm.qini.low < arm.qini.value < arm.qini.high


def test_decisions_tell_whom_an_action_changes() -> None:
    truth = replace(TRUTH, saved=TRUTH.saved | {"reorder_reminder": 0.35}, hidden=0.0)
    world = made_up(6, 4_000, truth)
    text = DEFAULT.replace("holdout_share = 0.10", "holdout_share = 0.50")
    policy = parse(text, Path("policy.toml"))
    decisions, _ = Campaigns(world, policy).draw(np.random.default_rng(2), 12_000)
    found = {one.action: one for one in persuadable(decisions, policy, 7)}
    one = found["reorder_reminder"]
    assert one.treated > 500
    assert one.qini.low < one.qini.value < one.qini.high
    assert one.qini.value > 0.0
    assert one.gain is not None
    assert one.gain.low <= one.gain.value <= one.gain.high
    told = "\n".join(uplift_lines([one]))
    assert "over the policy" in told
    assert "more per customer" in told


def test_a_ranking_is_worth_what_acting_by_it_brings() -> None:
    """Of half of the customers all are kept by the action, of the others nobody."""
    n, policy = 4_000, parse(DEFAULT, Path("policy.toml"))
    rng = np.random.default_rng(5)
    saves, held = rng.random(n) < 0.5, rng.random(n) < 0.3
    kept = np.where(held, 0.2, np.where(saves, 0.6, 0.2)) > rng.random(n)
    rows = [
        row(
            customer_id=f"c{at}", withheld=bool(held[at]), purchased=bool(kept[at]), value=1_000.0,
            cost=250.0, propensity=0.3 if held[at] else 0.7,
        )
        for at in range(n)
    ]  # fmt: skip
    decisions = of(table(rows))
    knows, nothing, all_alike = np.where(saves, 0.4, 0.0), np.zeros(n), np.full(n, 0.4)
    found = gain(decisions, knows, nothing, policy)
    assert found is not None
    assert found.low < saves.mean() * (0.4 * 1_000.0 - 250.0) < found.high
    assert found.low > 0.0
    over_all = gain(decisions, knows, all_alike, policy)
    assert over_all is not None
    assert over_all.low < (~saves).mean() * 250.0 < over_all.high
    same = gain(decisions, knows, knows, policy)
    assert same is not None
    assert tuple(same) == (0.0, 0.0, 0.0)
    assert gain(decisions.where(held), knows[held], nothing[held], policy) is None
