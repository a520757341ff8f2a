import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from churn.bundle import load
from churn.features import POSITION
from churn.model import Model, model_bytes, parse_model
from churn.registry import Registry
from tests.support import small_bundle
from training.faithfulness import Faithfulness, faithfulness, headline, with_noise
from training.faithfulness_gates import MIN_TOLD, faithfulness_gates
from training.fit import predict

ALL_WELL = Faithfulness(400, 400, 0.99, 0.93, 0.97, (("silence", 400, 0.99, 0.93),))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, np.ndarray, frozenset]:
    """A model of every feed and the customers of its golden rows, each changed a little."""
    root = tmp_path_factory.mktemp("models")
    path = Registry(root).path(small_bundle(root))
    bundle = load(path)
    rows = json.loads((path / "golden.json").read_text())["rows"]
    known = np.array([row["features"] for row in rows], dtype=np.float64)
    rng = np.random.default_rng(3)
    X = with_noise(bundle.model, known[rng.integers(0, len(known), 500)], rng)
    return bundle.model, X, frozenset(bundle.manifest.feeds)


def test_contributions_are_counted_from_the_average_of_the_customers_given(served) -> None:
    model, X, _ = served
    columns = model.columns(X)
    moved = model.against(X)
    margin, contributions = moved.explain(columns)
    np.testing.assert_allclose(contributions.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(contributions.sum(axis=1) + moved.expected_margin, margin)
    assert moved.expected_margin == pytest.approx(float(margin.mean()))
    assert np.array_equal(margin, model.margin(columns))


def test_a_bundle_keeps_what_contributions_are_counted_from(served) -> None:
    model, X, _ = served
    moved = model.against(X)
    read = parse_model(Path("model.joblib"), model_bytes(moved))
    assert np.array_equal(read.usual, moved.usual)
    older = replace(model, usual=None)
    assert parse_model(Path("model.joblib"), model_bytes(older)).usual is None
    assert model.expected_margin == pytest.approx(older.expected_margin + float(model.usual.sum()))


def test_the_reasons_of_an_honest_model_hold(served) -> None:
    model, X, feeds = served
    found = faithfulness(model, X, predict(model, X), feeds, seed=1)
    assert found.told == found.asked >= 250
    assert found.lowers > 0.9
    assert found.beats_others > 0.8
    assert found == faithfulness(model, X, predict(model, X), feeds, seed=1)
    assert sum(n for _, n, _, _ in found.by_family) == found.told


def test_reasons_of_contributions_that_mean_nothing_do_not_hold(served) -> None:
    model, X, feeds = served
    families = (model.trees.families + 1) % model.trees.n_families  # each told as the next
    mixed = replace(model, trees=replace(model.trees, families=families), usual=None).against(X)
    found = faithfulness(mixed, X, predict(model, X), feeds, seed=1)
    assert found.beats_others < 0.8
    assert any(not gate.passed for gate in faithfulness_gates(found))


def test_noise_keeps_whole_numbers_whole_and_what_is_missing_missing(served) -> None:
    model, X, _ = served
    noisy = with_noise(model, X, np.random.default_rng(1))
    assert np.array_equal(np.isnan(noisy), np.isnan(X))
    orders = noisy[:, POSITION["purchases_365d"]]
    assert np.array_equal(orders, np.rint(orders))
    days = POSITION["silence_over_own_gap"]
    known = ~np.isnan(X[:, days]) & (np.rint(X[:, days]) != X[:, days])
    off = noisy[known, days] / X[known, days] - 1
    assert 0.005 < off.std() < 0.015


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"lowers": 0.949}, "reason_lowers_risk"),
        ({"beats_others": 0.849}, "reason_beats_others"),
        ({"steady": 0.899}, "reason_steady"),
    ],
)
def test_a_share_below_its_limit_fails_alone(change: dict[str, float], name: str) -> None:
    assert all(gate.outcome == "passed" for gate in faithfulness_gates(ALL_WELL))
    gates = {gate.name: gate for gate in faithfulness_gates(replace(ALL_WELL, **change))}
    assert gates[name].outcome == "failed"
    assert [gate.name for gate in gates.values() if not gate.passed] == [name]
    assert gates[name].figure == next(iter(change.values()))
    assert "do not act on the reasons" in gates[name].sentence


def test_few_customers_at_risk_say_nothing() -> None:
    few = replace(ALL_WELL, told=MIN_TOLD - 1, lowers=0.1, beats_others=0.1, steady=0.1)
    assert all(gate.passed and gate.figure is None for gate in faithfulness_gates(few))


def test_the_figures_are_told_in_one_sentence_and_as_metrics() -> None:
    assert "400 customers" in headline(ALL_WELL)
    assert ALL_WELL.metrics()["reason_beats_others"] == 0.93
    nobody = Faithfulness(0, 0, float("nan"), float("nan"), float("nan"), ())
    assert set(nobody.metrics().values()) == {None}
