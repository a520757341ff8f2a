"""The new model beside the promoted one: compared where that is fair, and told why where not."""

import tempfile
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from churn.columns import Column
from churn.manifest import Manifest, Verdict
from churn.registry import CURRENT, Registry
from tests.support import NOW, fitted_on, small_model
from training.calendar import date_of, instant
from training.config import Config, Problem, load
from training.fit import predict
from training.incumbent import promoted_gate
from training.ingest import ingest
from training.metrics import evaluate
from training.packing import pack
from training.simulate import simulate
from training.snapshots import Snapshots
from training.verdicts import Gate, Outcome


@cache
def world() -> tuple[Config, Manifest, dict[str, bytes], Snapshots, np.ndarray, date]:
    """A small model's bundle, labelled rows of one date, what it gives them, and that date."""
    with tempfile.TemporaryDirectory(prefix="keepwell-test-") as folder:
        simulate(500, 10, 7, Path(folder) / "shop")
        config = load(Path(folder) / "shop" / "keepwell.toml")
        ingested = ingest(config, Path(folder) / "work", now_us=instant(NOW), n_buckets=2)
        fitted, snapshots, reference = fitted_on(config, ingested)
        manifest, files = pack(config, ingested, fitted, reference, snapshots, {}, NOW)
    test = snapshots.at(snapshots.dates[-1])
    day = date_of(test.dates[0], config.events.zone)
    return config, manifest, files, test, predict(fitted.model, test.X), day


def verdict(made_at: date, judged_as_of: date, grade: str = "B") -> Verdict:
    test = world()[3]
    return Verdict(
        grade=grade,  # type: ignore[arg-type]
        sentence="",
        gates=[],
        made_at=str(made_at),
        judged_as_of=str(judged_as_of),
        judged_customers=len(test),
        judged_churn_rate=float(test.is_churn.mean()),
    )


def gate(
    root: Path,
    probability: np.ndarray,
    record: Verdict | None,
    *,
    metrics: dict[str, float | None] | None = None,
    test: Snapshots | None = None,
    problem: Problem | None = None,
) -> Gate:
    config, manifest, files, rows, _, day = world()
    registry = Registry(root)
    changed = manifest.model_copy(update={"verdict": record, "metrics": metrics or {}})
    registry.publish(changed, files)
    registry.promote(manifest.model_version)
    return promoted_gate(
        registry, problem or config.problem, test or rows, probability, day, seed=1
    )


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(1).uniform(0.05, 0.95, len(world()[3]))


def test_the_first_model_has_nothing_to_be_compared_with(tmp_path, noise):
    config, _, _, test, _, day = world()
    first = promoted_gate(Registry(tmp_path), config.problem, test, noise, day, seed=1)
    assert first.passed
    assert "No model is promoted yet" in first.sentence


def test_a_damaged_pointer_does_not_end_training(tmp_path, noise):
    config, _, _, test, _, day = world()
    gate(tmp_path, noise, verdict(day, day))
    (tmp_path / CURRENT).write_text("../../etc\n")
    told = promoted_gate(Registry(tmp_path), config.problem, test, noise, day, seed=1)
    assert told.passed
    assert told.figure is None
    assert "which model is promoted cannot be read" in told.sentence


def test_an_older_model_is_compared_on_the_same_customers(tmp_path, noise):
    day = world()[5]
    worse = gate(tmp_path / "a", noise, verdict(day, day))
    assert worse.outcome is Outcome.FAILED
    assert "clearly worse on the same" in worse.sentence
    assert worse.figure is not None
    assert worse.figure < 0
    same = gate(tmp_path / "b", world()[4], verdict(day, day))
    assert same.passed
    assert same.figure == 0.0


def test_a_model_that_has_learnt_the_outcomes_is_not_compared_by_memory(tmp_path, noise):
    day = world()[5]
    later = verdict(day.replace(year=day.year + 1), day.replace(year=day.year + 1))
    skipped = gate(tmp_path, noise, later)
    assert skipped.passed
    assert skipped.figure is None
    assert "may know what became of the customers" in skipped.sentence


@pytest.mark.parametrize(("better_by", "passes"), [(0.0, True), (0.3, False), (-0.3, True)])
def test_figures_recorded_on_the_same_customers_are_compared(better_by, passes, tmp_path):
    _, _, _, test, probability, day = world()
    own = evaluate(test.is_churn, probability)
    assert own.roc_auc is not None
    recorded = {"roc_auc": own.roc_auc + better_by, "log_loss": own.log_loss - better_by}
    compared = gate(
        tmp_path, probability, verdict(day.replace(year=day.year + 1), day), metrics=recorded
    )
    assert compared.passed is passes
    assert "as recorded on" in compared.sentence


@pytest.mark.parametrize("change", [{"judged_customers": 1}, {"judged_churn_rate": 0.01}])
def test_figures_recorded_on_other_customers_are_not(change, tmp_path, noise):
    day = world()[5]
    record = verdict(day.replace(year=day.year + 1), day).model_copy(update=change)
    assert gate(tmp_path, noise, record, metrics={"roc_auc": 0.99, "log_loss": 0.1}).passed


def test_another_question_is_not_comparable(tmp_path, noise):
    day = world()[5]
    other = gate(tmp_path, noise, verdict(day, day), problem=Problem(horizon_days=30))
    assert other.passed
    assert "another question" in other.sentence


def test_other_columns_are_not_comparable(tmp_path, noise):
    test, day = world()[3], world()[5]
    plan = Column("plan", "categorical", "plan", "", {"en": "plan", "ru": "тариф"}, None, 0, True,
                  ("gold",), (1,))  # fmt: skip
    own = Snapshots(
        np.column_stack([test.X, np.ones(len(test))]), test.as_of, test.is_churn,
        test.next_purchase_days, test.customer_id, (plan,),
    )  # fmt: skip
    other = gate(tmp_path, noise, verdict(day, day), test=own)
    assert other.passed
    assert "reads other columns" in other.sentence


def test_a_model_that_failed_its_own_gates_or_had_none_is_no_yardstick(tmp_path, noise):
    day = world()[5]
    assert "failed gates of its own" in gate(tmp_path / "a", noise, verdict(day, day, "D")).sentence
    assert "never judged" in gate(tmp_path / "b", noise, None).sentence


def test_a_promoted_bundle_that_is_damaged_does_not_stop_a_new_one(tmp_path, noise):
    config, _, _, test, _, day = world()
    manifest, files = small_model()
    registry = Registry(tmp_path)
    path = registry.publish(manifest, files)
    registry.promote(manifest.model_version)
    (path / "golden.json").write_bytes(b"{}")
    found = promoted_gate(registry, config.problem, test, noise, day, seed=1)
    assert found.passed
    assert "cannot be loaded" in found.sentence
