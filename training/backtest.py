"""How good the model would have been: fitted as of a past date, judged on what came after.

For each test date the whole procedure runs as if it were that day: only labels that had ended are
learnt from, ranks refer to that day's customers, and every baseline gets the same rows.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.features import FEATURE_NAMES
from training.baselines import BaselineData, predict_baselines
from training.calendar import Calendar, date_of, instant
from training.calibrate import Dated
from training.config import Config
from training.fit import Boosters, Fitted, check_enough, fit, fit_steps, predict
from training.ingest import Ingested, ingest
from training.metrics import evaluate
from training.progress import Progress, Silent
from training.snapshots import Snapshots, collect
from training.treated import LeftOut, Treatments

MODEL = "keepwell"
MAX_TRAINING_ROWS = 600_000
REPORTED = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "top_decile_lift")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """One test date.

    Attributes
    ----------
    test : Snapshots
        The eligible customers at that date, with their outcomes.
    probabilities : dict of str to ndarray, shape (n,)
        Of Keepwell's model and of every baseline.
    fitted : Fitted
        The model that was judged.
    trained_on : dict of int to (int, float)
        Rows and churn rate of each snapshot that was learnt from.
    left_out : LeftOut or None
        Rows of treated customers among those; None where no decisions are known.
    """

    test: Snapshots
    probabilities: dict[str, Floats]
    fitted: Fitted
    trained_on: dict[int, tuple[int, float]]
    left_out: LeftOut | None = None

    @property
    def earlier(self) -> tuple[Dated, ...]:
        """Dates before the test date, newest first, each predicted as of that date."""
        return self.fitted.calibration.earlier


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """Out-of-time quality at one or more dates, which `zone` names."""

    horizon_days: int
    judged: tuple[Judged, ...]
    zone: tzinfo = UTC

    def to_dict(self) -> dict[str, Any]:
        """What ``backtest --json`` prints: means over the dates, and each date."""
        dates = [str(date_of(one.test.dates[0], self.zone)) for one in self.judged]
        by_date = [
            {name: evaluate(one.test.is_churn, p) for name, p in one.probabilities.items()}
            for one in self.judged
        ]
        models: dict[str, Any] = {}
        for name in by_date[0]:
            rows = [asdict(metrics[name]) for metrics in by_date]
            models[name] = {metric: _mean([row[metric] for row in rows]) for metric in REPORTED}
            models[name]["by_date"] = {
                day: {metric: row[metric] for metric in ("n", "churn_rate", *REPORTED)}
                for day, row in zip(dates, rows, strict=True)
            }
        labels = np.concatenate([one.test.is_churn for one in self.judged])
        return {
            "as_of": dates,
            "horizon_days": self.horizon_days,
            "n": len(labels),
            "churn_rate": float(labels.mean()),
            "models": models,
        }


def backtest(
    config: Config,
    as_ofs: Sequence[date] | None,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> BacktestResult:
    """Judge the model and every baseline on past dates.

    Parameters
    ----------
    config : Config
        The log and the problem.
    as_ofs : sequence of date, optional
        Test dates (midnight in the log's time zone); the last that leaves a whole horizon by
        default.
    now : datetime
        Later events are rejected.
    progress : Progress, optional
        Told of the stages.

    Raises
    ------
    DataError
        The log cannot be used, or is too short for the dates.
    """
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(now), progress=progress)
        calendar = Calendar.of(config, ingested)
        if as_ofs is None:
            dates = [calendar.last_test_date()]
        else:
            zone = config.events.zone
            dates = [instant(datetime(d.year, d.month, d.day, tzinfo=zone)) for d in as_ofs]
            for as_of in dates:
                calendar.check_test_date(as_of)
        boosters: Boosters = {}
        judged = tuple(
            judge(config, ingested, calendar, as_of, progress, boosters)
            for as_of in sorted(set(dates))
        )
    return BacktestResult(config.problem.horizon_days, judged, config.events.zone)


def judge(
    config: Config,
    ingested: Ingested,
    calendar: Calendar,
    as_of: int,
    progress: Progress,
    boosters: Boosters | None = None,
) -> Judged:
    """Fit as of one date and predict what came after, with every baseline beside it."""
    training, test, left_out = labelled(config, ingested, calendar, as_of, progress)
    check_enough(training)
    if len(test) == 0 or test.is_churn.all() or not test.is_churn.any():
        check_enough(test)
    progress.stage(
        f"fitting as of {date_of(as_of, config.events.zone)}",
        fit_steps(training, calendar.window),
    )
    fitted = fit(
        training,
        test,
        horizon_days=config.problem.horizon_days,
        window=calendar.window,
        feeds=ingested.feeds,
        seed=config.training.seed,
        boosters=boosters,
        progress=progress,
    )
    probabilities = {MODEL: predict(fitted.model, test.X)}
    learnt = training.where(np.isin(training.as_of, list(fitted.dates)))
    latest = learnt.dates[-1]
    everyone = collect(
        ingested,
        [latest],
        config.problem,
        everyone=True,
        max_rows=100_000,
        seed=config.training.seed,
    )
    probabilities |= predict_baselines(
        BaselineData(learnt.X, FEATURE_NAMES, learnt.is_churn, everyone.X),
        BaselineData(test.X, FEATURE_NAMES, test.is_churn),
        config.problem.horizon_days,
        config.training.seed,
        progress,
    )
    return Judged(test, probabilities, fitted, _summary(learnt), left_out)


def labelled(
    config: Config, ingested: Ingested, calendar: Calendar, made_at: int, progress: Progress
) -> tuple[Snapshots, Snapshots, LeftOut | None]:
    """The snapshots to learn from as of `made_at`, and the eligible customers at that date.

    Of both, rows of customers who were treated in the window are left out where decisions are
    known; how many of those to learn from is told.
    """
    dates = calendar.training_dates(made_at)
    seed = config.training.seed
    training = collect(
        ingested,
        dates,
        config.problem,
        known_until=made_at,
        max_rows=MAX_TRAINING_ROWS,
        seed=seed,
        progress=progress,
    )
    test = collect(ingested, [made_at], config.problem, progress=progress)
    if config.training.decisions is None:
        return training, test, None
    told = Treatments.read(config.base_dir / config.training.decisions)
    training, left_out = told.leave_out(training, calendar.window, seed)
    progress.note(left_out.sentence())
    return training, told.leave_out(test, calendar.window, seed)[0], left_out


def _summary(rows: Snapshots) -> dict[int, tuple[int, float]]:
    summary = {}
    for as_of in rows.dates:
        labels = rows.is_churn[rows.as_of == as_of]
        summary[as_of] = (len(labels), float(labels.mean()))
    return summary


def _mean(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return float(np.mean(known)) if known else None


def mean_metrics(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Keepwell's figures out of `BacktestResult.to_dict()`, for a manifest."""
    return {metric: result["models"][MODEL][metric] for metric in REPORTED}
