"""Contributions a row: Keepwell's kernel beside LightGBM and shap, on one thread.

Two models: one of 300 trees x 31 leaves on 40 columns, and one that Keepwell trains, on CDNOW where
the evaluation files are (KEEPWELL_EVAL_DATA), else on a simulated shop. shap is in none of the
ordinary locks: `python requirements/install.py rivals` adds it. shapiq 1.4 was tried and left out:
a second a row, and other values than LightGBM's own.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Result, machine, median
from benchmarks.shop import model_path, simulated
from churn import bundle
from churn.trees import FlatTrees
from training import config as configuration
from training.calendar import Calendar, instant
from training.config import Config
from training.ingest import ingest
from training.pipeline import train
from training.snapshots import collect

Floats = NDArray[np.float64]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = 1000
REPEATS = 5
SOME = 200  # rows one a call, and in a block of what takes milliseconds a row
# The published test date stays out of it: speed needs no later history.
CDNOW = """
[events]
query = \"\"\"SELECT customer_id, date AS occurred_at, 'purchase' AS kind, dollar_value AS amount,
number_of_cds AS quantity FROM 'cdnow.parquet'\"\"\"
complete_until = 1998-01-02
[problem]
horizon_days = 60
inactivity_days = 180
"""


@dataclass(frozen=True)
class Case:
    """A model in both forms, and rows: all columns, and those that LightGBM was given."""

    name: str
    booster: lgb.Booster
    trees: FlatTrees
    X: Floats
    used: NDArray[np.int64]


# Name, call, rows one a call, rows a block, whether it takes all columns.
Timed = tuple[str, Callable[[Floats], object], int, int, bool]


def run() -> Result:
    load = os.getloadavg()[0]
    rows: list[list[Any]] = []
    targets: dict[str, str] = {}
    for case in (large(), ours()):
        found = measured(case)
        base = found["LightGBM pred_contrib"]
        for name, (one, block) in found.items():
            ratios = (base[0] / one, base[1] / block)
            rows.append([case.name, name, one, block, *(f"{ratio:.1f}" for ratio in ratios)])
            if name == "Keepwell, families":
                aim = f"{case.name}: 7 times pred_contrib for one row, 12 in blocks"
                targets[aim] = f"{ratios[0]:.1f} and {ratios[1]:.1f} times"
    return Result(
        title="Contributions of one row and of many",
        notes=(
            "Microseconds a row, one thread, from columns to the margin and every contribution. "
            f"Each repeat times all of them one after another; medians of {REPEATS}. One row: "
            f"{SOME} different rows, one a call. Blocks: {BLOCK:,} rows a call, {SOME} of shap. "
            "LightGBM and shap (which asks LightGBM) contribute features; a family's contribution "
            "is that of one player, not a sum."
        ),
        columns=("model", "", "one row", "block", "times pred_contrib", "in blocks"),
        rows=rows,
        targets=targets,
        machine=machine(load) | _rival_versions(),
    )


def large() -> Case:
    """300 trees x 31 leaves on 40 columns in 8 families."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 40))
    logit = X @ rng.normal(size=40) * 0.5 + X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2])
    y = rng.random(len(X)) < 1.0 / (1.0 + np.exp(-logit))
    X[rng.random(X.shape) < 0.05] = np.nan
    parameters = {
        "objective": "binary", "num_leaves": 31, "learning_rate": 0.05, "num_threads": 1,
        "seed": 1, "deterministic": True, "verbosity": -1,
    }  # fmt: skip
    booster = lgb.train(parameters, lgb.Dataset(X, y.astype(float)), num_boost_round=300)
    trees = FlatTrees.from_booster(booster, [feature % 8 for feature in range(40)])
    return Case("300 trees x 31 leaves", booster, trees, X[:BLOCK], np.arange(40))


def ours() -> Case:
    """The model that Keepwell trains, and customers of its log."""
    with tempfile.TemporaryDirectory(prefix="keepwell-") as folder:
        config, log = _log(Path(folder))
        train(config, Path(folder) / "models", now=NOW)
        model = bundle.load(model_path(Path(folder) / "models")).model
        ingested = ingest(config, Path(folder) / "work", now_us=instant(NOW))
        as_of = Calendar.of(config, ingested).last_test_date()
        customers = collect(ingested, [as_of], config.problem, everyone=False).X
    booster = lgb.Booster(model_str=model.lightgbm_text)
    names = list(model.schema.model_columns)
    used = np.array([names.index(name) for name in booster.feature_name()])
    X = model.columns(np.resize(customers, (BLOCK, customers.shape[1])))
    leaves = int(np.diff(model.trees.leaf_start).max())
    name = f"{log}, {booster.num_trees()} trees x {leaves} leaves"
    return Case(name, booster, model.trees, np.ascontiguousarray(X), used)


def _log(folder: Path) -> tuple[Config, str]:
    files = os.environ.get("KEEPWELL_EVAL_DATA")
    if not files:
        return simulated(folder / "shop", 5_000), "simulated shop"
    text = CDNOW.replace("'cdnow.parquet'", f"'{Path(files).resolve() / 'cdnow.parquet'}'")
    return configuration.parse(text, folder / "keepwell.toml"), "CDNOW"


def measured(case: Case) -> dict[str, tuple[float, float]]:
    """Microseconds a row of each way, alone and in blocks."""
    ways = [*_own(case), *_rivals(case)]
    narrow = np.ascontiguousarray(case.X[:, case.used])
    seconds: dict[str, tuple[list[float], list[float]]] = {way[0]: ([], []) for way in ways}
    for repeat in range(REPEATS + 1):
        for name, call, some, block, wide in ways:
            X = case.X if wide else narrow
            alone = [X[row : row + 1] for row in range(some)]
            started = time.perf_counter()
            for row in alone:
                call(row)
            one = (time.perf_counter() - started) / len(alone)
            started = time.perf_counter()
            call(X[:block])
            if repeat:  # the first compiles and fills tables
                seconds[name][0].append(one)
                seconds[name][1].append((time.perf_counter() - started) / block)
    return {
        name: (median(one) * 1e6, median(block) * 1e6) for name, (one, block) in seconds.items()
    }


def _own(case: Case) -> list[Timed]:
    everyone = np.arange(len(case.trees.families))
    check = replace(case.trees, families=everyone, n_families=len(everyone))
    narrow = np.ascontiguousarray(case.X[:20, case.used])
    expected = case.booster.predict(narrow, pred_contrib=True, num_threads=1)
    np.testing.assert_allclose(
        check.explain(case.X[:20])[1][:, case.used], expected[:, :-1], rtol=0, atol=1e-9
    )

    def pred_contrib(X: Floats) -> object:
        return case.booster.predict(X, pred_contrib=True, num_threads=1)

    return [
        ("Keepwell, families", case.trees.explain, SOME, BLOCK, True),
        ("Keepwell, features", case.trees.explain_features, SOME, BLOCK, True),
        ("LightGBM pred_contrib", pred_contrib, SOME, BLOCK, False),
    ]


def _rivals(case: Case) -> list[Timed]:
    """Those that are installed."""
    found: list[Timed] = []
    try:
        import shap

        explainer = shap.TreeExplainer(case.booster)
        found.append(("shap TreeExplainer", explainer.shap_values, SOME, SOME, False))
    except ModuleNotFoundError:
        pass
    return found


def _rival_versions() -> dict[str, str]:
    try:
        return {"shap": version("shap")}
    except PackageNotFoundError:
        return {"shap": "not installed"}
