"""The model card: one page of Markdown that travels with the bundle.

For whoever meets the model without its makers: what it is for, what it learnt from, how good it
is, and what it must not be used for. The sections follow Mitchell et al. (2019), "Model Cards for
Model Reporting".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from training.report_data import MODEL, Findings, ReportData, label

NOT_FOR = (
    "Decisions about a person other than how to serve them: credit, price, access, employment.",
    "Customers without a purchase in the last {inactivity_days} days: they get a status, not a "
    "probability.",
    "Another horizon, another shop or another country than those it was trained on.",
    "Choosing whom to contact by risk alone: the riskiest are not the most persuadable.",
)


def write(path: Path, data: ReportData) -> None:
    """Write the model card to `path` as Markdown.

    Raises
    ------
    TooLittleData
        If there is no test row.
    """
    path.write_text(render(data), encoding="utf-8")


def render(data: ReportData) -> str:
    """Return the model card as Markdown text."""
    found = data.findings
    own = found.metrics[MODEL]
    blocks = (
        f"# Model card: {data.model_version}",
        f"**What it answers.** How probable is it that {data.target}? A calibrated probability "
        "per customer, with the families of reasons that moved it.",
        f"**How good.** {found.headline()}",
        "## Data",
        _bullets(data.usability),
        _calendar(data),
        f"Data fingerprint `{data.data_fingerprint or '-'}`; trained "
        f"{data.created_at:%Y-%m-%d %H:%M} UTC.",
        f"## Quality on {own.n:,} customers it had not seen",
        _metrics(found),
        f"{own.churn_rate:.1%} of them left. Intervals are 95%, over customers. Log loss, Brier "
        "and ECE: lower is better.",
        _stages(found),
        "## Calibration",
        f"Layer: {data.calibration}. ECE {own.ece:.3f}; a perfect model of this size shows "
        f"{found.floor.mean:.3f} by chance (95%: {found.floor.p95:.3f}).",
        _bands(found),
        "## Intended use",
        "Ordering retention work and estimating what is at stake, by people or systems that know "
        "the reasons shown are evidence, not proof of a cause.",
        "Not for:",
        _bullets(line.format(inactivity_days=data.inactivity_days) for line in NOT_FOR),
        "## Limits",
        _bullets(
            (
                "The test covers the dates above; a season or a shock that the log does not hold "
                "is unknown to it. Watch the churn rate: when it moves, the probabilities lag.",
                f"A buyer who returns after {data.horizon_days} days counts as having left.",
                *data.cautions,
            )
        ),
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


def _calendar(data: ReportData) -> str:
    rows = []
    for role in dict.fromkeys(s.role for s in data.calendar):
        chosen = [s for s in data.calendar if s.role == role]
        dates = sorted(s.as_of for s in chosen)
        customers = sum(s.customers for s in chosen)
        rows.append((role, str(len(chosen)), f"{dates[0]}", f"{dates[-1]}", f"{customers:,}"))
    return _table(("used for", "dates", "first", "last", "rows"), rows)


def _metrics(found: Findings) -> str:
    rows = []
    for name, m in found.metrics.items():
        auc, loss = found.intervals[name]["roc_auc"], found.intervals[name]["log_loss"]
        rows.append(
            (
                label(name),
                _number(m.roc_auc) + (f" [{auc.low:.3f}, {auc.high:.3f}]" if auc else ""),
                _number(m.pr_auc),
                _number(m.log_loss) + (f" [{loss.low:.3f}, {loss.high:.3f}]" if loss else ""),
                _number(m.brier),
                _number(m.ece),
                _number(m.top_decile_lift, 2),
            )
        )
    return _table(("model", "ROC AUC", "PR AUC", "log loss", "Brier", "ECE", "lift"), rows)


def _stages(found: Findings) -> str:
    return _table(
        ("customers", "n", "left", "ROC AUC", "log loss"),
        [
            (stage, f"{m.n:,}", f"{m.churn_rate:.1%}", _number(m.roc_auc), _number(m.log_loss))
            for stage, m in found.by_stage.items()
        ],
    )


def _bands(found: Findings) -> str:
    return _table(
        ("band", "probability", "customers", "left"),
        [
            (band.name, f"{band.low:.3f} to {band.high:.3f}", f"{band.customers:,}",
             "-" if band.churn_rate is None else f"{band.churn_rate:.1%}")
            for band in found.bands
        ],
    )  # fmt: skip


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
