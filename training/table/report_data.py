"""What the report and the model card of a ready table say."""

from datetime import UTC, datetime

import numpy as np

from churn.bundle import Model
from churn.manifest import Manifest
from training.backtest import MODEL
from training.calendar import date_of
from training.drivers import MOST_ROWS, drivers
from training.judgement import Judgement
from training.packing import thresholds
from training.report_data import ReportData
from training.table.calibrate import Decision
from training.table.config import TableConfig
from training.table.folds import FOLDS
from training.table.judged import Judged
from training.table.usability import TableUsability


def report_data(
    config: TableConfig,
    usability: TableUsability,
    judged: Judged,
    judgement: Judgement,
    model: Model,
    decision: Decision,
    manifest: Manifest,
    now: datetime,
) -> ReportData:
    """Gather the facts of a model that was made of a ready table."""
    test, seed, dated = judged.test, config.training.seed, bool(judged.as_of)
    chosen = np.random.default_rng(seed).permutation(len(test))[:MOST_ROWS]
    _, contributions = model.explain(model.columns(test.X[chosen]))
    families = np.abs(contributions).mean(axis=0)
    copies = judged.copies_line()
    how = (
        f"models made as of {', '.join(str(date_of(day, UTC)) for day in judged.as_of)}, from "
        "outcomes known by then"
        if dated
        else f"{FOLDS} models, each made without the fold that it was asked about"
    )
    return ReportData(
        model_version=manifest.model_version,
        created_at=now,
        target="a customer leaves, as the label of the table has it",
        horizon_days=config.problem.horizon_days if dated else None,
        lead_time_days=config.problem.lead_time_days if dated else 0,
        is_churn=test.is_churn,
        as_of=None
        if judged.test_date is None
        else judged.test_date.astype("datetime64[us]").astype("datetime64[D]"),
        probabilities=judged.probabilities,
        drivers=drivers(model, test.X, seed),
        families={
            family: float(families[at])
            for at, family in enumerate(model.schema.families)
            if families[at] > 0
        },
        thresholds=thresholds(judged.probabilities[MODEL]).model_dump(),
        calibration=decision.evidence,
        facts=tuple(usability.lines()),
        settings={name: str(setting) for name, setting in manifest_settings(manifest).items()},
        libraries=manifest.libraries,
        warnings=(
            f"The figures and the limits of the bands on this page belong to {how}. The published "
            "model was made in the same way of all rows and has limits of its own; what it looks "
            "at is shown of the published model.",
            *([] if copies is None else [f"{copies[0].upper()}{copies[1:]}."]),
            *usability.warnings(),
        ),
        data_fingerprint=manifest.data_fingerprint,
        seed=seed,
        currency=config.business.currency,
        economics=config.business,
        gates=judgement.gates,
        grade=judgement.grade,
        faithfulness=judgement.faithfulness,
        empc=judgement.empc,
    )


def manifest_settings(manifest: Manifest) -> dict[str, object]:
    """LightGBM's settings, as the manifest has them."""
    settings = manifest.training["lightgbm"]
    assert isinstance(settings, dict)
    return settings
