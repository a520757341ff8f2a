"""Out-of-time quality on purchase logs, beside what a good analyst would build (`rivals`).

    python -m benchmarks.real_logs cdnow 1997-12-03 1998-01-02
    python -m benchmarks.real_logs online_retail 2011-07-12 2011-08-11
    python -m benchmarks.real_logs path/to/keepwell.toml 2017-09-01 2017-10-01

The first two need the evaluation files (KEEPWELL_EVAL_DATA). Dates are given on the command line,
so that published test dates are run on purpose and not by habit. Every prediction is kept in
KEEPWELL_BENCHMARK_CACHE (by default a folder among the temporary files) under a key of what it was
made from, so that a run that was broken off, or one after a change of Keepwell alone, is cheap.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from benchmarks import rivals
from training import config as configuration
from training.backtest import MODEL, judge, labelled
from training.baselines import BASELINES
from training.calendar import MAX_SNAPSHOTS, Calendar, instant
from training.config import Config
from training.ingest import Ingested, ingest
from training.intervals import Bootstrap, Interval
from training.metrics import ece_floor, evaluate
from training.progress import Silent
from training.snapshots import Snapshots, collect

ROOT = Path(__file__).resolve().parents[1]
CDNOW = """
[events]
query = \"\"\"SELECT customer_id, date AS occurred_at, 'purchase' AS kind, dollar_value AS amount,
number_of_cds AS quantity FROM 'cdnow.parquet'\"\"\"
complete_until = 1998-07-01
[problem]
horizon_days = 60
inactivity_days = 180
"""
SEED = 7
REPEATS = 2000

Floats = NDArray[np.float64]
Dated = tuple[str, Snapshots, dict[str, Floats]]


def main() -> None:
    """Print a table per date and one over the dates, each with paired differences."""
    log, *days = sys.argv[1:]
    config = config_of(log)
    found: list[Dated] = []
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(datetime.now(UTC)))
        calendar = Calendar.of(config, ingested)
        for day in sorted(set(days)):
            chosen = date.fromisoformat(day)
            zone = config.events.zone
            as_of = instant(datetime(chosen.year, chosen.month, chosen.day, tzinfo=zone))
            calendar.check_test_date(as_of)
            test, probabilities = _predictions(config, ingested, calendar, as_of)
            found.append((day, test, probabilities))
            _print_date(*found[-1])
    if len(found) > 1:
        _print_mean(found)


def config_of(log: str) -> Config:
    if log.endswith(".toml"):
        return configuration.load(Path(log))
    folder = Path(os.environ["KEEPWELL_EVAL_DATA"])
    texts = {
        "cdnow": CDNOW,
        "online_retail": (ROOT / "examples/online_retail/keepwell.toml").read_text(),
    }
    return configuration.parse(texts[log], folder / "keepwell.toml")


def _predictions(
    config: Config, ingested: Ingested, calendar: Calendar, as_of: int
) -> tuple[Snapshots, dict[str, Floats]]:
    """The test customers and everybody's churn probabilities, cached or computed."""
    training, test, _ = labelled(config, ingested, calendar, as_of, Silent())
    learnt = training.where(np.isin(training.as_of, training.dates[-MAX_SNAPSHOTS:]))
    everyone = collect(ingested, [learnt.dates[-1]], config.problem, everyone=True).X
    horizon, seed = config.problem.horizon_days, config.training.seed
    rows = rivals.Rows(learnt.X, learnt.is_churn, everyone, test.X, horizon, seed)
    data = _key(rows.X, rows.y, everyone, test.X, str((horizon, seed)))

    def own() -> dict[str, Floats]:
        return judge(config, ingested, calendar, as_of, Silent()).probabilities

    sources = sorted([*(ROOT / "churn").rglob("*.py"), *(ROOT / "training").rglob("*.py")])
    source = _key(*(path.read_text() for path in sources), lgb.__version__)
    probabilities = _cached(f"{data}-{source}-{calendar.window}", (MODEL, *BASELINES), own)
    rules = _key(Path(rivals.__file__).read_text(), lgb.__version__)
    for name, predict in rivals.RIVALS.items():

        def rival(name: str = name, predict: Callable[..., Floats] = predict) -> dict[str, Floats]:
            return {name: predict(rows)}

        try:
            probabilities |= _cached(f"{data}-{rules}-{name}", (name,), rival)
        except ModuleNotFoundError as absent:
            print(f"{name} left out, {absent}: run `python requirements/install.py rivals`")
    return test, probabilities


def _key(*parts: Floats | NDArray[np.bool_] | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else np.ascontiguousarray(part))
    return digest.hexdigest()[:16]


def _cached(
    key: str, names: tuple[str, ...], compute: Callable[[], dict[str, Floats]]
) -> dict[str, Floats]:
    default = Path(tempfile.gettempdir()) / "keepwell-benchmark"
    folder = Path(os.environ.get("KEEPWELL_BENCHMARK_CACHE", default))
    file = folder / f"{key}.npz"
    if file.exists():
        with np.load(file) as kept:
            return {name: kept[name] for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    found = compute()
    unfinished = folder / f"{key}.{os.getpid()}.npz"
    np.savez(unfinished, **found)
    unfinished.rename(file)
    return found


def _print_date(day: str, test: Snapshots, probabilities: dict[str, Floats]) -> None:
    y = test.is_churn
    print(f"\n{day}: {len(y):,} customers, churn {y.mean():.3f}")
    print(f"{'':22s} ROC AUC  PR AUC  Brier  log loss    ECE  floor (95%)     lift")
    for name, p in probabilities.items():
        m, floor = evaluate(y, p), ece_floor(p, SEED)
        print(
            f"{name:22s} {m.roc_auc:7.4f} {m.pr_auc:7.4f} {m.brier:6.4f} {m.log_loss:9.4f} "
            f"{m.ece:6.4f}  {floor.mean:.4f} ({floor.p95:.4f}) {m.top_decile_lift:6.3f}"
        )
    _print_differences(Bootstrap(y, probabilities, seed=SEED, repeats=REPEATS), probabilities)


def _print_mean(found: list[Dated]) -> None:
    """Over the dates; a customer is drawn with all of their dates."""
    names = [name for name in found[0][2] if all(name in one for _, _, one in found)]
    print(f"\nmean over {len(found)} dates, {sum(len(test) for _, test, _ in found):,} rows")
    print(f"{'':22s} ROC AUC  PR AUC  Brier  log loss    ECE    lift")
    for name in names:
        each = [evaluate(test.is_churn, one[name]) for _, test, one in found]
        means = [
            float(np.mean([getattr(m, metric) for m in each]))
            for metric in ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "top_decile_lift")
        ]
        print(
            f"{name:22s} {means[0]:7.4f} {means[1]:7.4f} {means[2]:6.4f} {means[3]:9.4f} "
            f"{means[4]:6.4f} {means[5]:7.3f}"
        )
    bootstrap = Bootstrap(
        np.concatenate([test.is_churn for _, test, _ in found]),
        {name: np.concatenate([one[name] for _, _, one in found]) for name in names},
        seed=SEED,
        repeats=REPEATS,
        customer_id=np.concatenate([test.customer_id for _, test, _ in found]).astype(str),
        as_of=np.concatenate([test.as_of for _, test, _ in found]),
    )
    _print_differences(bootstrap, names)


def _print_differences(bootstrap: Bootstrap, names: "list[str] | dict[str, Floats]") -> None:
    print(f"{MODEL}: {_shown(bootstrap.of(MODEL))}")
    for name in names:
        if name != MODEL:
            print(f"{MODEL} - {name}: {_shown(bootstrap.difference(MODEL, name))}")


def _shown(intervals: dict[str, Interval | None]) -> str:
    return ", ".join(
        f"{metric} {interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
        for metric, interval in intervals.items()
        if interval is not None
    )


if __name__ == "__main__":
    main()
