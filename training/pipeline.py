"""Train: from the log to a published bundle with its report, promoted if it passes its gates.

The procedure is judged first, as of the last date that leaves a whole horizon; the same procedure
then runs on everything that is labelled, and that model is published. The report's figures are
thus those of this procedure on customers it had not seen, and the published model also knows the
latest horizon. A model that fails a gate is published, for whoever wants to know why, and left
unpromoted.
"""

import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from churn.manifest import Manifest
from churn.registry import Registry
from churn.signing import Keys
from training import model_card, report
from training.backtest import (
    MODEL,
    BacktestResult,
    Judged,
    judge,
    labelled,
    mean_metrics,
)
from training.calendar import Calendar, date_of, instant
from training.config import Config
from training.drivers import drivers, family_shares
from training.favourites import favourite_categories
from training.fit import Boosters, Fitted, fit, fit_steps
from training.ingest import Ingested, ingest
from training.judgement import Judgement, assess, verdict_entry
from training.packing import pack, thresholds
from training.progress import Progress, Silent
from training.report_data import Earlier, ReportData, purchase_target
from training.report_facts import calendar_of, risk_curves
from training.snapshots import collect
from training.value.check import ValueCheck, check_value
from training.value.fit import Window, value_days, with_value
from training.value.worth import worth_of
from training.verdicts import Outcome

ASKED_DATES = 6  # before the test date: enough to know what a column meant until then
ASKED_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training made.

    Attributes
    ----------
    version : str
        Model version.
    path : Path
        The bundle's folder.
    promoted : bool
        Whether it is the current version now.
    metrics : dict of str to float or None
        Out-of-time figures.
    judgement : Judgement
        The gates, the grade and the expected maximum profit.
    lines : list of str
        What to tell a person.
    """

    version: str
    path: Path
    promoted: bool
    metrics: dict[str, float | None]
    judgement: Judgement
    lines: list[str]

    @property
    def reasons(self) -> list[str]:
        """Why it was not promoted: a line for each gate that it failed."""
        return [
            f"{self.version} is not promoted: {gate.name}: {gate.sentence}"
            for gate in self.judgement.failed
        ]


def train(
    config: Config,
    models_dir: Path,
    *,
    now: datetime,
    keys: Keys | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Learn from the log of `keepwell.toml`; publish the model, and promote it if it is good.

    Parameters
    ----------
    config : Config
        The log and the problem.
    models_dir : Path
        The registry's folder.
    now : datetime
        Later events are rejected; becomes part of the version.
    keys : Keys, optional
        What the model is signed with, and who is trusted.
    progress : Progress, optional
        Told of the stages.

    Raises
    ------
    ConfigError
        `models_dir` cannot be written, or nothing that is trusted be published.
    DataError
        The log cannot be used; nothing is published then.
    """
    registry = Registry(models_dir, keys)
    registry.check_writable()
    progress = progress or Silent()
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work:
        ingested = ingest(config, Path(work), now_us=instant(now), progress=progress)
        for line in ingested.lines():
            progress.note(line)
        # Beside keepwell.toml: rejected rows are the analyst's, not the bundle's.
        quarantined = ingested.quarantine_note(config.base_dir)
        calendar = Calendar.of(config, ingested)
        boosters: Boosters = {}
        test_date = calendar.last_test_date()
        judged = judge(config, ingested, calendar, test_date, progress, boosters)
        snapshots, reference, _ = labelled(
            config, ingested, calendar, ingested.complete_until, progress
        )
        progress.stage("fitting the model to publish", fit_steps(snapshots, calendar.window))
        fitted = fit(
            snapshots,
            reference,
            horizon_days=config.problem.horizon_days,
            window=calendar.window,
            feeds=ingested.feeds,
            seed=config.training.seed,
            boosters=boosters,
            progress=progress,
        )
        progress.stage("valuing customers")
        known = with_value(config, ingested, calendar, judged.fitted, judged.test, test_date)
        judged = replace(judged, fitted=known)
        fitted = with_value(
            config, ingested, calendar, fitted, reference, ingested.complete_until, progress
        )
        checked = check_value(config, ingested, calendar, judged)
        asked = collect(
            ingested,
            [*calendar.training_dates(test_date)[-ASKED_DATES:], test_date],
            config.problem,
            max_rows=ASKED_ROWS,
            seed=config.training.seed,
        )
        category = favourite_categories(
            ingested,
            judged.test.customer_id,
            test_date,
            config.problem.observation_window_days,
        )
    progress.stage("asking the gates")
    judgement = assess(config, registry, judged, asked, ingested.feeds)
    progress.stage("writing the report")
    result = BacktestResult(config.problem.horizon_days, (judged,), config.events.zone).to_dict()
    profit = judgement.empc[MODEL]
    metrics = mean_metrics(result) | {
        "expected_maximum_profit": profit.per_customer,
        "contacted_share": profit.contacted_share,
        **judgement.faithfulness.metrics(),
        **({} if checked is None else checked.figures()),
    }
    manifest, files = pack(config, ingested, fitted, reference, snapshots, metrics, now)
    verdict = verdict_entry(judgement, judged, config, ingested.complete_until)
    manifest = manifest.model_copy(update={"verdict": verdict})
    window = Window.of(calendar, test_date, value_days(config))
    data = _report_data(
        config, ingested, judged, judgement, category, fitted, manifest, now, window, checked
    )
    path = registry.publish(manifest, files | pages(data))
    promoted = not judgement.failed
    if promoted:
        registry.promote(manifest.model_version)
    auc, currency = metrics["roc_auc"], config.business.currency
    lines = [
        f"published {'and promoted ' * promoted}{manifest.model_version} in {models_dir}",
        f"grade {judgement.grade.letter}: {judgement.grade.sentence}",
        f"judged as of {result['as_of'][0]} on {len(judged.test):,} customers: "
        f"ROC AUC {'-' if auc is None else f'{auc:.3f}'}, log loss {metrics['log_loss']:.3f}, "
        f"ECE {metrics['ece']:.3f}",
        f"expected maximum profit of a campaign: {profit.per_customer:.2f} {currency} a customer, "
        f"contacting the riskiest {profit.contacted_share:.0%}",
        f"report: {path / 'report.html'}",
    ]
    if quarantined is not None:
        lines.append(quarantined)
    lines += [
        f"warning: {gate.sentence}" for gate in judgement.gates if gate.outcome is Outcome.WARNING
    ]
    return TrainResult(manifest.model_version, path, promoted, metrics, judgement, lines)


def _report_data(
    config: Config,
    ingested: Ingested,
    judged: Judged,
    judgement: Judgement,
    category: NDArray[np.object_] | None,
    fitted: Fitted,
    manifest: Manifest,
    now: datetime,
    window: Window,
    checked: ValueCheck | None,
) -> ReportData:
    test, zone = judged.test, config.events.zone
    model, problem = judged.fitted.model, config.problem
    judged_on = date_of(test.dates[0], zone)
    return ReportData(
        model_version=manifest.model_version,
        created_at=now,
        target=purchase_target(
            problem.horizon_days, problem.lead_time_days, problem.inactivity_days
        ),
        horizon_days=problem.horizon_days,
        lead_time_days=problem.lead_time_days,
        inactivity_days=problem.inactivity_days,
        observation_window_days=problem.observation_window_days,
        usability=ingested.usability,
        own=None if ingested.own is None else ingested.own.report,
        facts=() if judged.left_out is None else (judged.left_out.sentence(),),
        calendar=calendar_of(judged, zone),
        curves=risk_curves(judged, ingested.complete_until, problem.lead_time_days, zone),
        reliability=fitted.model.reliability,
        is_churn=test.is_churn,
        as_of=np.full(len(test), np.datetime64(judged_on, "D")),
        is_one_time=test.is_one_time,
        probabilities=judged.probabilities,
        category=category,
        earlier=tuple(
            Earlier(date_of(past.as_of, zone), past.is_churn, past.probability)
            for past in judged.earlier
        ),
        drivers=drivers(model, test.X, config.training.seed),
        families=family_shares(model, test.X, config.training.seed),
        thresholds=thresholds(judged.probabilities[MODEL]).model_dump(),
        calibration=judged.fitted.calibration.evidence,
        settings={name: str(setting) for name, setting in fitted.settings.items()},
        libraries=manifest.libraries,
        warnings=(
            "The figures and the limits of the bands on this page belong to a model made as of "
            f"{judged_on}, from outcomes known by then. The published model was made "
            f"in the same way as of {date_of(ingested.complete_until, zone)}: it has also learnt "
            "from the outcomes shown here, and has limits of its own.",
        ),
        data_fingerprint=ingested.fingerprint,
        seed=config.training.seed,
        currency=config.business.currency,
        economics=config.business,
        gates=judgement.gates,
        grade=judgement.grade,
        faithfulness=judgement.faithfulness,
        empc=judgement.empc,
        worth=worth_of(
            model,
            test.X,
            window_days=window.days,
            horizon_days=problem.horizon_days,
            check=checked,
        ),
    )


def pages(data: ReportData) -> dict[str, bytes]:
    """The report and the model card, by name."""
    with tempfile.TemporaryDirectory(prefix="keepwell-") as folder:
        report.write(Path(folder) / "report.html", data)
        model_card.write(Path(folder) / "model_card.md", data)
        return {
            name: (Path(folder) / name).read_bytes() for name in ("report.html", "model_card.md")
        }
