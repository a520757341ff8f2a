"""Train on a ready table: judged first, then made of all rows and published."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from churn.bundle import Model
from churn.curve import RiskCurve
from churn.errors import ConfigError
from churn.registry import Registry
from churn.reliability import Reliability
from churn.signing import Keys
from training.backtest import MODEL, mean_metrics
from training.calendar import date_of, instant
from training.packing import own_entries, packed
from training.pipeline import TrainResult, pages
from training.progress import Progress, Silent
from training.reference import reference
from training.table.calibrate import Decision
from training.table.config import TableConfig
from training.table.dates import decide_by_date, out_of_time, window_of
from training.table.faithful import faithfulness_unseen
from training.table.fit import boost
from training.table.folds import in_folds
from training.table.judged import Judged
from training.table.judgement import assess_model, verdict_entry
from training.table.report_data import report_data
from training.table.rows import Read, Rows, read
from training.table.usability import assess
from training.verdicts import Outcome


def train(
    config: TableConfig,
    models_dir: Path,
    *,
    now: datetime,
    keys: Keys | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Learn from the table of `keepwell.toml`; publish the model, and promote it if it is good.

    Parameters
    ----------
    config : TableConfig
        The table and the problem.
    models_dir : Path
        The registry's folder.
    now : datetime
        Rows of later dates are rejected; becomes part of the version.
    keys : Keys, optional
        What the model is signed with, and who is trusted.
    progress : Progress, optional
        Told of the stages.

    Raises
    ------
    ConfigError
        `models_dir` cannot be written, or nothing that is trusted be published.
    DataError
        The table cannot be used; nothing is published then.
    """
    registry = Registry(models_dir, keys)
    registry.check_writable()
    progress = progress or Silent()
    table = _read(config, now, progress)
    usability = assess(table, config.problem, instant(now))
    for line in usability.lines():
        progress.note(line)
    kept = table.keep_quarantine(config.base_dir / "quarantine.parquet")
    judged, decision = _judge(config, table.rows, None, progress)
    progress.stage("fitting the model to publish")
    model, settings = fit(config, table.rows, decision)
    progress.stage("asking the gates")
    faithful = faithfulness_unseen(config, table.rows, judged, decision)
    judgement = assess_model(config, registry, judged, faithful)
    progress.stage("writing the report")
    metrics = mean_metrics(judged.to_dict(config.problem.horizon_days)) | faithful.metrics()
    features = own_entries(model.schema, table.rows.X)
    manifest, files = packed(
        config,
        model,
        table.rows.X,
        now,
        features=features,
        feeds=[],
        metrics=metrics,
        data_fingerprint=table.fingerprint,
        training={
            "rows": len(table.rows),
            "calibration": decision.evidence,
            "capacity": decision.capacity,
            "lightgbm": settings,
        },
        verdict=verdict_entry(judgement, judged, now),
        drift=reference(
            model.schema,
            [entry.name for entry in features],
            judged.test.X,  # of the latest dates, where there are any
            judged.probabilities[MODEL],
            str(date_of(judged.as_of[-1], UTC)) if judged.as_of else None,
        ),
    )
    data = report_data(config, usability, judged, judgement, model, decision, manifest, now)
    path = registry.publish(manifest, files | pages(data))
    promoted = not judgement.failed
    if promoted:
        registry.promote(manifest.model_version)
    auc, profit, currency = metrics["roc_auc"], judgement.empc[MODEL], config.business.currency
    copies = judged.copies_line()
    lines = [
        f"published {'and promoted ' * promoted}{manifest.model_version} in {models_dir}",
        f"grade {judgement.grade.letter}: {judgement.grade.sentence}",
        f"judged {judged.how} on {len(judged.test):,} rows: "
        f"ROC AUC {'-' if auc is None else f'{auc:.3f}'}, log loss {metrics['log_loss']:.3f}, "
        f"ECE {metrics['ece']:.3f}",
        *([] if copies is None else [copies]),
        f"expected maximum profit of a campaign: {profit.per_customer:.2f} {currency} a customer, "
        f"contacting the riskiest {profit.contacted_share:.0%}",
        f"report: {path / 'report.html'}",
    ]
    if kept is not None:
        lines.append(f"the {len(table.rejected):,} rejected rows, each with its reason: {kept}")
    lines += [
        f"warning: {gate.sentence}" for gate in judgement.gates if gate.outcome is Outcome.WARNING
    ]
    return TrainResult(manifest.model_version, path, promoted, metrics, judgement, lines)


def backtest(
    config: TableConfig,
    as_ofs: list[date] | None,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Judged:
    """Judge the model and every baseline: in folds, or on later dates where rows have dates.

    Raises
    ------
    ConfigError
        Dates are asked for, but the rows have none.
    DataError
        The table cannot be used, or is too small for the dates.
    """
    progress = progress or Silent()
    if as_ofs and config.table.as_of is None:
        raise ConfigError(
            f"{config.path}: --as-of needs the dates of the rows: name their column in "
            "[table] as_of"
        )
    rows = _read(config, now, progress).rows
    return _judge(config, rows, as_ofs, progress)[0]


def fit(config: TableConfig, rows: Rows, decision: Decision) -> tuple[Model, dict[str, Any]]:
    """The model of all rows, made as decided, and LightGBM's settings."""
    boosted = boost(rows, decision.capacity, config.training.seed)
    model = Model(
        lightgbm_text=boosted.booster.model_to_string(),
        trees=boosted.flat(),
        population=None,
        calibration=decision.calibration,
        curve=RiskCurve.flat(config.problem.horizon_days),
        reliability=Reliability(),
        schema=boosted.schema.with_norms(rows.X),
    ).against(rows.X)
    return model, boosted.settings


def _read(config: TableConfig, now: datetime, progress: Progress) -> Read:
    progress.stage("reading the table")
    return read(config, now_us=instant(now))


def _judge(
    config: TableConfig, rows: Rows, as_ofs: list[date] | None, progress: Progress
) -> tuple[Judged, Decision]:
    seed = config.training.seed
    if rows.as_of is None:
        judged, known = in_folds(rows, seed, progress)
        return judged, known.decision()
    judged = out_of_time(rows, rows.as_of, config.problem, as_ofs, seed, progress)
    window = window_of(config.problem)
    return judged, decide_by_date(rows, rows.as_of, window, seed, progress)
