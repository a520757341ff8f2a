"""The names that others build on; a change here is a change of the contract."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from churn.bundle import Bundle, load
from churn.registry import Registry
from churn.scoring import CustomerScore, Scorer
from churn.trees import FlatTrees
from service.app import create_app


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_flat_trees() -> None:
    assert parameters(FlatTrees.from_booster) == ["booster", "families"]
    assert parameters(FlatTrees.explain) == ["self", "X"]
    assert parameters(FlatTrees.margin) == ["self", "X"]
    assert "expected_margin" in {field.name for field in fields(FlatTrees)}


def test_bundle() -> None:
    assert parameters(load) == ["path", "trusted", "version", "passed"]
    assert {"manifest", "model", "sha256"} <= {field.name for field in fields(Bundle)}
    assert isinstance(Bundle.version, property)


def test_registry() -> None:
    assert parameters(Registry) == ["root", "keys"]
    for name in ("versions", "current", "path", "load", "publish", "promote", "rollback"):
        assert callable(getattr(Registry, name))


def test_scorer() -> None:
    assert parameters(Scorer) == ["bundle", "policy"]
    assert parameters(Scorer.score_events)[:4] == ["self", "customer_id", "events", "as_of"]
    assert parameters(Scorer.score_features)[0:2] == ["self", "customer_id"]
    assert parameters(Scorer.score_matrix)[:2] == ["self", "X"]
    assert {
        "customer_id", "status", "churn_probability", "risk_band", "horizon_days", "reasons",
        "action", "model_version", "policy_version", "as_of", "warnings",
    } <= set(CustomerScore._fields)  # fmt: skip


def test_app() -> None:
    assert next(iter(parameters(create_app))) == "settings"


@pytest.mark.parametrize("package", ["churn.scoring", "churn.registry", "service.app", "cli.main"])
def test_what_only_training_needs_is_not_needed_to_serve(package: str) -> None:
    training_only = ("duckdb", "lightgbm", "pyarrow", "sklearn", "scipy", "altair", "vl_convert")
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({training_only!r}))  # None: the import fails\n"
        f"import {package}\n"
    )
    root = Path(__file__).parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
