"""The report of a trained model: one HTML file that explains how far to trust it, and why.

It opens anywhere and asks nothing of a network: styles and plots are inline, there is no script,
and a content security policy forbids what is not there. The first screen answers "what is this,
and is it better than a simple rule?"; below it each section goes one question deeper.
"""

from datetime import timedelta
from html import escape
from pathlib import Path

from training import plots
from training.html import figure, grid, number, page, table, warning_box
from training.intervals import Interval
from training.metrics import Metrics
from training.report_data import (
    MODEL,
    Findings,
    Importance,
    ReportData,
    Snapshot,
    findings,
    label,
)

__all__ = ["Findings", "Importance", "ReportData", "Snapshot", "findings", "render", "write"]

DIFFERENCES = (
    (
        "roc_auc",
        "right is better",
        "Dots right of the dashed line: Keepwell ranks better",
        "Difference in ROC AUC on the same customers; a bar across the line decides nothing.",
    ),
    (
        "log_loss",
        "left is better",
        "Dots left of the dashed line: Keepwell's probabilities are better",
        "Difference in log loss on the same customers; a bar across the line decides nothing.",
    ),
)


def write(path: Path, data: ReportData) -> None:
    """Write the report to `path` as one self-contained HTML file.

    Raises
    ------
    TooLittleData
        If there is no test row.
    """
    path.write_text(render(data), encoding="utf-8")


def render(data: ReportData) -> str:
    """Return the report as HTML text."""
    found = data.findings
    sections = (
        ("better", "Is it better than a simple rule?", _better(data, found)),
        ("honest", "Are the probabilities honest?", _honest(data, found)),
        ("whom", "For whom, and when?", _whom(data, found)),
        ("bands", "What do the risk bands mean?", _bands(found)),
        ("drivers", "What does it look at?", _drivers(data)),
        ("data", "What did it learn from?", _data(data)),
        ("settings", "Settings", _settings(data)),
    )
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{escape(title)}</h2>{text}</section>'
        for key, title, text in sections
    )
    return page(
        f"Churn model {data.model_version}",
        f"{_first_screen(data, found)}<nav>{links}</nav>{body}",
    )


def _first_screen(data: ReportData, found: Findings) -> str:
    own = found.metrics[MODEL]
    dates = sorted(found.by_date[MODEL])
    when = " and ".join(dict.fromkeys((dates[0].isoformat(), dates[-1].isoformat())))
    span = f"as of {when}" if len(dates) < 3 else f"on {len(dates)} dates between {when}"
    return (
        f"<header><h1>Churn model {escape(data.model_version)}</h1>"
        f'<p class="soft">Trained {data.created_at:%Y-%m-%d %H:%M} UTC. It answers: how probable '
        f"is it that {escape(data.target)}?</p></header>"
        f'<p class="lead">{escape(found.headline())}</p>'
        + warning_box(data.cautions)
        + table(
            ("Model", "ROC AUC", "PR AUC", "Log loss", "Brier", "ECE", "Top-decile lift"),
            [_row(name, m, found.intervals[name]) for name, m in found.metrics.items()],
            f"Out of time: {own.n:,} customers {span}, later than everything the model learnt "
            f"from; {own.churn_rate:.1%} of them left. 95% intervals are over customers. Log "
            "loss, Brier and ECE: lower is better.",
            own=True,
        )
    )


def _better(data: ReportData, found: Findings) -> str:
    y, models = data.is_churn, {name: data.probabilities[name] for name in found.metrics}
    compared = [
        figure(title, note, plots.differences(found.differences, metric, good))
        for metric, good, title, note in DIFFERENCES
        if any(rule[metric] is not None for rule in found.differences.values())
    ]
    curves = [
        figure(
            "The higher the curve, the more churners are reached by the same number of contacts",
            "The dashed line is contact at random.",
            plots.gains(y, models),
        ),
        figure(
            "The steeper the fall, the better the riskiest are told from the safest",
            "A tenth at 1 leaves as often as customers do on average.",
            plots.lift(y, models),
        ),
        figure(
            "The closer to the upper left corner, the fewer stayers are disturbed",
            "ROC curve; the dashed line is a coin.",
            plots.roc(y, models),
        ),
        figure(
            "The higher the curve, the fewer contacts are wasted on stayers",
            "Precision and recall; the dashed line is contact at random.",
            plots.precision_recall(y, models),
        ),
    ]
    return grid(compared + curves)


def _honest(data: ReportData, found: Findings) -> str:
    own = found.metrics[MODEL]
    verdict = (
        "within what chance alone gives a perfect model"
        if own.ece <= found.floor.p95
        else "more than chance alone gives a perfect model"
    )
    p = data.probabilities[MODEL]
    return (
        f"<p>The calibration error (ECE) is {own.ece:.3f}, {verdict} of this size "
        f"({found.floor.mean:.3f} on average, up to {found.floor.p95:.3f} in 95% of cases). "
        f"Calibration layer: {escape(data.calibration)}.</p>"
        + grid(
            [
                figure(
                    "Dots on the dashed line: as many left as was predicted",
                    "Ten groups of equal size; bars are 95% intervals of the realised rate. "
                    "Below the line the model is too gloomy, above it too hopeful.",
                    plots.reliability(data.is_churn, p),
                ),
                figure(
                    "The further apart the colours, the more the model knows",
                    "Customers by predicted probability and by what they then did.",
                    plots.distribution(data.is_churn, p),
                ),
            ]
        )
    )


def _whom(data: ReportData, found: Findings) -> str:
    stages = table(
        ("Customers", "n", "Left", "ROC AUC", "Log loss", "ECE"),
        [
            (stage, f"{m.n:,}", f"{m.churn_rate:.1%}", number(m.roc_auc), number(m.log_loss),
             number(m.ece))
            for stage, m in found.by_stage.items()
        ],
        "One-time and repeat buyers are different problems; one figure for both hides that.",
    )  # fmt: skip
    if len(found.by_date[MODEL]) == 1:
        return stages + (
            "<p>One test date can mislead: <code>keepwell backtest --as-of DATE --as-of DATE"
            "</code> judges several.</p>"
        )
    return stages + grid(
        [
            figure(
                f"{name} on each test date: a single date can mislead",
                note,
                plots.by_date(found.by_date, metric, name),
            )
            for metric, name, note in (
                ("roc_auc", "ROC AUC", "Higher is better."),
                ("log_loss", "Log loss", "Lower is better; it moves with the churn rate too."),
            )
        ]
    )


def _bands(found: Findings) -> str:
    return table(
        ("Band", "Probability", "Customers", "Share", "Left"),
        [
            (band.name, f"{band.low:.3f} to {band.high:.3f}", f"{band.customers:,}",
             f"{band.customers / found.metrics[MODEL].n:.1%}",
             "-" if band.churn_rate is None else f"{band.churn_rate:.1%}")
            for band in found.bands
        ],
        "Test customers by risk band, and how many of them left.",
    )  # fmt: skip


def _drivers(data: ReportData) -> str:
    return grid(
        [
            figure(
                "The longer the bar, the more that family of reasons moves risk",
                "Mean absolute contribution to the test customers' risk: evidence, not a proof of "
                "cause.",
                plots.families(data.families),
            ),
            figure(
                "The leading features, by what they brought to the trees",
                "Correlated features share their gain, so read families first.",
                plots.features(data.features),
            ),
        ]
    )


def _data(data: ReportData) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in data.usability)
    rows = [
        (s.as_of.isoformat(), s.role, f"{s.customers:,}", f"{s.churn_rate:.1%}")
        for s in data.calendar
    ]
    return (
        f"<ul>{lines}</ul>"
        + grid(
            [
                figure(
                    _calendar_title(data),
                    "Each bar is the window in which a snapshot's outcome was watched.",
                    plots.calendar(data.calendar, data.lead_time_days, data.horizon_days),
                ),
                figure(
                    "A moving churn rate is a harder future",
                    "Churn rate of each snapshot's active customers.",
                    plots.churn_rates(data.calendar),
                ),
            ]
        )
        + f"<details><summary>All {len(rows)} snapshots</summary>"
        + table(("As of", "Used for", "Customers", "Left"), rows, "Every snapshot, in order.")
        + "</details>"
    )


def _calendar_title(data: ReportData) -> str:
    watched = timedelta(days=data.lead_time_days + data.horizon_days)
    ends = [s.as_of + watched for s in data.calendar if s.role != "test"]
    tests = [s.as_of for s in data.calendar if s.role == "test"]
    if ends and tests and max(ends) > min(tests):
        return "Some outcomes learnt from reach past the first test date: the test is flattered"
    return "No outcome learnt from reaches past the first test date"


def _settings(data: ReportData) -> str:
    rows = [
        ("horizon_days", str(data.horizon_days)),
        ("lead_time_days", str(data.lead_time_days)),
        ("inactivity_days", str(data.inactivity_days)),
        ("observation_window_days", str(data.observation_window_days)),
        *data.settings.items(),
        *((f"{name} (library)", version) for name, version in data.libraries.items()),
        ("data fingerprint", data.data_fingerprint or "-"),
    ]
    return table(("Setting", "Value"), rows, "What was used to train this model.")


def _row(name: str, metrics: Metrics, intervals: dict[str, Interval | None]) -> tuple[str, ...]:
    lift = "-" if metrics.top_decile_lift is None else f"{metrics.top_decile_lift:.2f}"
    return (
        label(name),
        number(metrics.roc_auc, intervals["roc_auc"]),
        number(metrics.pr_auc),
        number(metrics.log_loss, intervals["log_loss"]),
        number(metrics.brier),
        number(metrics.ece),
        lift,
    )
