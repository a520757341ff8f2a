"""Out-of-time quality on two real logs, beside a carefully regularised LightGBM on the same rows.

Needs the evaluation files (KEEPWELL_EVAL_DATA). The dates are given on the command line, so that
published test dates are run on purpose and not by habit:

    python -m benchmarks.real_logs cdnow 1997-12-03 1998-01-02
    python -m benchmarks.real_logs online_retail 2011-07-12 2011-08-11
"""

import os
import sys
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training import config as configuration
from training.backtest import Judged, judge, labelled
from training.calendar import Calendar, instant
from training.fit import Boosted
from training.ingest import ingest
from training.intervals import Bootstrap, Interval
from training.metrics import ece_floor, evaluate
from training.progress import Silent
from training.snapshots import Snapshots

QUERIES = {
    "cdnow": (
        "SELECT customer_id, date AS occurred_at, 'purchase' AS kind, dollar_value AS amount,"
        " number_of_cds AS quantity FROM '{folder}/cdnow.parquet'",
        "1998-07-01",
    ),
    "online_retail": (
        "SELECT CustomerID AS customer_id, InvoiceDate AS occurred_at, InvoiceNo AS order_id,"
        " CASE WHEN InvoiceNo LIKE 'C%' THEN 'return' ELSE 'purchase' END AS kind,"
        " abs(Quantity) * UnitPrice AS amount, abs(Quantity) AS quantity, StockCode AS category"
        " FROM '{folder}/online_retail.parquet'",
        "2011-12-10",
    ),
}
# A careful analyst's LightGBM on the loop's features: more trees, more leaves, no second transform.
REGULARISED = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "feature_fraction": 0.5,
    "min_data_in_leaf": 60,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def main() -> None:
    """Print a table per date, and the paired differences to the regularised LightGBM."""
    log, *dates = sys.argv[1:]
    folder = os.environ["KEEPWELL_EVAL_DATA"]
    query, until = QUERIES[log]
    text = f'[events]\nquery = """{query.format(folder=folder)}"""\ncomplete_until = {until}\n'
    config = configuration.parse(text, Path("keepwell.toml").absolute())
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(datetime.now(UTC)))
        calendar = Calendar.of(config, ingested)
        boosters: dict[tuple[int, ...], Boosted] = {}
        for day in sorted(dates):
            chosen = date.fromisoformat(day)
            as_of = instant(datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC))
            calendar.check_test_date(as_of)
            judged = judge(config, ingested, calendar, as_of, Silent(), boosters)
            training, test = labelled(config, ingested, calendar, as_of, Silent())
            _print(day, judged, _regularised(training, test, config.training.seed))


def _regularised(training: Snapshots, test: Snapshots, seed: int) -> NDArray[np.float64]:
    booster = lgb.train(
        REGULARISED | {"seed": seed}, lgb.Dataset(training.X, training.is_churn), 300
    )
    return np.asarray(booster.predict(test.X, num_threads=2))


def _print(day: str, judged: Judged, regularised: NDArray[np.float64]) -> None:
    y = judged.test.is_churn
    models = judged.probabilities | {"lightgbm_regularised": regularised}
    print(f"\n{day}: {len(y):,} customers, churn {y.mean():.3f}")
    print(f"calibration: {judged.fitted.calibration.evidence}")
    print(f"{'':22s} ROC AUC  PR AUC  Brier  log loss    ECE   lift")
    for name, p in models.items():
        m = evaluate(y, p)
        print(
            f"{name:22s} {m.roc_auc:7.4f} {m.pr_auc:7.4f} {m.brier:6.4f} {m.log_loss:9.4f} "
            f"{m.ece:6.4f} {m.top_decile_lift:6.3f}"
        )
    floor = ece_floor(judged.probabilities["keepwell"], 7)
    print(f"ECE of a perfect model of this size: {floor.mean:.4f} (95%: {floor.p95:.4f})")
    bootstrap = Bootstrap(y, models, seed=7, repeats=2000)
    own = bootstrap.of("keepwell")
    print(f"keepwell's own 95% intervals: {_shown(own)}")
    for name in models:
        if name != "keepwell":
            print(f"keepwell - {name}: {_shown(bootstrap.difference('keepwell', name))}")


def _shown(intervals: dict[str, Interval | None]) -> str:
    return ", ".join(
        f"{metric} {interval[0]:+.4f} [{interval[1]:+.4f}, {interval[2]:+.4f}]"
        for metric, interval in intervals.items()
        if interval is not None
    )


if __name__ == "__main__":
    main()
