"""The model card: one page of Markdown that travels with the bundle.

For whoever meets the model without its makers: what it is for, what it learnt from, how good it
is, and what it must not be used for. The sections follow Mitchell et al. (2019), "Model Cards for
Model Reporting".
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from training.faithfulness import Faithfulness, headline
from training.findings import MODEL, Findings, label
from training.groups import Group
from training.html import number
from training.next_steps import next_steps
from training.report.value import meaning
from training.report_data import ReportData
from training.value.check import NAMES

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
        "per customer, with the kinds of reasons that moved it.",
        "" if data.grade is None else f"**Grade {data.grade.letter}.** {data.grade.sentence}",
        f"**How good.** {found.headline()}",
        "## What to do next",
        "\n".join(f"{at}. {step}" for at, step in enumerate(next_steps(data), start=1)),
        "## Intended use",
        "Ordering retention work and estimating what is at stake, by people or systems that know "
        "the reasons shown are evidence, not proof of a cause.",
        "Not for:",
        _bullets(_not_for(data)),
        "## Data",
        _bullets(data.facts),
        _bullets(
            line for what in (data.usability, data.own) if what is not None for line in what.lines()
        ),
        _calendar(data),
        f"Data fingerprint `{data.data_fingerprint or '-'}`; trained "
        f"{data.created_at:%Y-%m-%d %H:%M} UTC, seed {data.seed}.",
        f"## Quality on {own.n:,} customers it had not seen",
        _metrics(found),
        f"{own.churn_rate:.1%} of them left. In brackets 95% intervals over customers. Log loss, "
        "Brier and ECE: lower is better.",
        _parts("as of", found.dates if len(found.dates) > 1 else ()),
        _parts("favourite category", found.categories),
        "## Calibration",
        f"Layer: {data.calibration}. ECE {own.ece:.3f}; a perfect model of this size shows "
        f"{found.floor.mean:.3f} by chance (95%: {found.floor.p95:.3f}).",
        _parts("customers", found.stages),
        _bands(found),
        _value(data),
        _reasons(data.faithfulness),
        _gates(data),
        "## Limits",
        _bullets(_limits(data)),
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


def _not_for(data: ReportData) -> list[str]:
    lines = [NOT_FOR[0], *NOT_FOR[2:]]
    if data.inactivity_days is not None:
        lines.insert(1, NOT_FOR[1].format(inactivity_days=data.inactivity_days))
    return lines


def _limits(data: ReportData) -> list[str]:
    lines = list(data.cautions)
    if data.horizon_days is not None:
        lines = [
            "The test covers the dates above; a season or a shock that the log does not hold is "
            "unknown to it. Watch the churn rate: when it moves, the probabilities lag.",
            f"A buyer who returns after {data.horizon_days} days counts as having left.",
            *lines,
        ]
    return lines or ["It knows only what the rows that it learnt from tell."]


def _calendar(data: ReportData) -> str:
    if not data.calendar:
        return ""
    rows = []
    for role in dict.fromkeys(s.role for s in data.calendar):
        chosen = [s for s in data.calendar if s.role == role]
        dates = sorted(s.as_of for s in chosen)
        customers = sum(s.customers for s in chosen)
        rows.append((role, str(len(chosen)), f"{dates[0]}", f"{dates[-1]}", f"{customers:,}"))
    return _table(("used for", "dates", "first", "last", "rows"), rows)


def _metrics(found: Findings) -> str:
    rows = [
        (
            label(name),
            number(m.roc_auc, found.intervals[name]["roc_auc"]),
            number(m.pr_auc),
            number(m.log_loss, found.intervals[name]["log_loss"]),
            number(m.brier),
            number(m.ece),
            "-" if m.top_decile_lift is None else f"{m.top_decile_lift:.2f}",
        )
        for name, m in found.metrics.items()
    ]
    return _table(("model", "ROC AUC", "PR AUC", "log loss", "Brier", "ECE", "lift"), rows)


def _parts(head: str, groups: Iterable[Group]) -> str:
    rows = [
        (
            part.name,
            f"{part.metrics.n:,}",
            f"{part.churn_rate.value:.1%} [{part.churn_rate.low:.1%}, {part.churn_rate.high:.1%}]",
            f"{part.predicted:.1%}",
            number(part.metrics.roc_auc, part.roc_auc),
            number(part.metrics.log_loss, part.log_loss),
            number(part.metrics.ece),
        )
        for part in groups
    ]
    head_of = (head, "n", "left", "expected", "ROC AUC", "log loss", "ECE")
    return _table(head_of, rows) if rows else ""


def _value(data: ReportData) -> str:
    worth = data.worth
    if worth is None:
        return ""
    told = f"## Value\n\n{meaning(worth).strip()}"
    check = worth.check
    if check is not None:
        rows = [
            (
                NAMES[name],
                number(check.ranks[name].value, check.ranks[name]),
                number(check.ratio(name).value, check.ratio(name)),
                f"{check.miss(name):.0%}",
            )
            for name in check.expected
        ]
        told += (
            f"\n\nMargin in the {check.days} days after {check.as_of}, learnt from what was "
            "known by then:\n\n"
            + _table(
                ("expected by", "rank correlation", "realised / expected", "tenths off by"), rows
            )
        )
    return told + "\n\n" + _parts("part", (*data.findings.segments, *data.findings.losses))


def _reasons(found: Faithfulness | None) -> str:
    if found is None or not found.told:
        return ""
    rows = [
        (family, f"{n:,}", f"{lowers:.0%}", "-" if beats != beats else f"{beats:.0%}")
        for family, n, lowers, beats in found.by_family
    ]
    return (
        "## Reasons\n\n"
        f"{headline(found)} Its norm is the customer's own where the reason names one, else what "
        "customers at low risk have. A reason is evidence, not proof of a cause.\n\n"
        + _table(("first reason", "customers", "risk falls", "more than by another"), rows)
    )


def _gates(data: ReportData) -> str:
    if not data.gates:
        return ""
    rows = [
        (
            gate.name,
            gate.outcome.value,
            "-" if gate.figure is None else f"{gate.figure:.3g}",
            f"{gate.limit:.3g}",
            gate.sentence,
        )
        for gate in data.gates
    ]
    return "## Gates\n\n" + _table(("gate", "result", "measured", "limit", "found"), rows)


def _bands(found: Findings) -> str:
    return _table(
        ("band", "probability", "customers", "left"),
        [
            (band.name, f"{band.low:.3f} to {band.high:.3f}", f"{band.customers:,}",
             "-" if band.churn_rate is None else f"{band.churn_rate:.1%}")
            for band in found.bands
        ],
    )  # fmt: skip


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    safe = [[_in_cell(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *safe]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _in_cell(text: str) -> str:
    """A log's own names must neither end a cell nor become markup."""
    plain = " ".join(text.split())
    for sign in "\\|<>`*_":
        plain = plain.replace(sign, f"\\{sign}")
    return plain.replace("](", "]\\(")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
