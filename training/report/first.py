"""The first screen: what the model is, whether to trust it, and three figures to remember."""

from html import escape

from training.findings import MODEL, label
from training.html import folded, grade_box, key_figures, number, paragraph, table, warning_box
from training.next_steps import next_steps
from training.report_data import ReportData
from training.svg import points
from training.verdicts import Gate, Outcome

# The worst first.
_OUTCOMES = {
    Outcome.FAILED: "\u2717 failed",
    Outcome.WARNING: "! passed, with a warning",
    Outcome.PASSED: "\u2713 passed",
}


def first_screen(data: ReportData) -> str:
    """Return the head of the page, down to the table of all models."""
    grade = "" if data.grade is None else grade_box(data.grade.letter, data.grade.sentence)
    return (
        f"<header><h1>Churn model {escape(data.model_version)}</h1>"
        f'<p class="soft">Trained {data.created_at:%Y-%m-%d %H:%M} UTC</p></header>'
        + grade
        + paragraph(data.findings.headline(), "lead")
        + paragraph(what_it_does(data))
        + key_figures(_three(data))
        + warning_box(data.cautions)
        + _next(data)
        + "<h2>The figures</h2>"
        + _models(data)
        + _gates(data.gates)
    )


def what_it_does(data: ReportData) -> str:
    """What the model answers, what it learnt from and what it was asked, in plain words."""
    learnt = [s for s in data.calendar if s.role != "test"]
    story = f"It answers: how probable is it that {data.target}? "
    if learnt:
        story += (
            f"It learnt from {sum(s.customers for s in learnt):,} past situations on "
            f"{len(learnt)} dates, {min(s.as_of for s in learnt)} to "
            f"{max(s.as_of for s in learnt)}, and how each ended. "
        )
    n = len(data.is_churn)
    story += f"Then it was asked about {n:,} customers{when(data)} whose outcome it had not seen."
    return story


def when(data: ReportData) -> str:
    """The test dates, to follow "customers"; empty where the rows came without dates."""
    if data.as_of is None:
        return ""
    dates = [str(day) for day in sorted(set(data.as_of.astype("datetime64[D]").tolist()))]
    if len(dates) < 3:
        return f" as of {' and '.join(dates)}"
    return f" on {len(dates)} dates between {dates[0]} and {dates[-1]}"


def _three(data: ReportData) -> list[tuple[str, str]]:
    found = data.findings
    own = found.metrics[MODEL]
    figures = []
    if found.riskiest is not None:
        figures = [
            (
                f"{found.riskiest:.0%}",
                f"of the riskiest tenth of customers left, against {own.churn_rate:.0%} of all",
            ),
            (
                f"{found.reached[MODEL]:.0%}",
                "of those who left are reached by contacting the riskiest fifth",
            ),
        ]
    chance = "no more" if own.ece <= found.floor.p95 else "more"
    return [
        *figures,
        (
            points(own.ece),
            f"is how far a stated risk is off on average, {chance} than chance explains",
        ),
    ]


def _gates(gates: tuple[Gate, ...]) -> str:
    if not gates:
        return ""
    rows = [
        (
            gate.name.replace("_", " ").capitalize(),
            _OUTCOMES[gate.outcome],
            gate.sentence,
            "-" if gate.figure is None else f"{gate.figure:.3g}",
            f"{gate.limit:.3g}",
            gate.measured,
        )
        for gate in sorted(gates, key=lambda gate: [*_OUTCOMES].index(gate.outcome))
    ]
    failed = sum(not gate.passed for gate in gates)
    verdict = f"{failed} of {len(gates)} failed" if failed else f"all {len(gates)} passed"
    return folded(
        f"What is asked of a model before it may serve: {verdict}.",
        table(
            ("Gate", "Result", "What was found", "Measured", "Limit", "What is measured"),
            rows,
            "Each gate with its figure, and the limit that the figure may not pass.",
            words=(2, 5),
        ),
        shown=any(gate.outcome is not Outcome.PASSED for gate in gates),
    )


def _next(data: ReportData) -> str:
    items = "".join(f"<li>{escape(step)}</li>" for step in next_steps(data))
    return f"<h2>What to do next</h2><ol>{items}</ol>"


def _models(data: ReportData) -> str:
    found = data.findings
    own = found.metrics[MODEL]
    rows = []
    for name, m in found.metrics.items():
        spread = found.intervals[name]
        lift = "-" if m.top_decile_lift is None else f"{m.top_decile_lift:.2f}"
        rows.append(
            (label(name), number(m.roc_auc, spread["roc_auc"]), number(m.pr_auc),
             number(m.log_loss, spread["log_loss"]), number(m.brier), number(m.ece), lift)
        )  # fmt: skip
    later = ", later than everything the model learnt from" if data.as_of is not None else ""
    return table(
        ("Model", "ROC AUC", "PR AUC", "Log loss", "Brier", "ECE", "Top-decile lift"),
        rows,
        f"Keepwell beside simple rules, on {own.n:,} customers{when(data)}{later}; "
        f"{own.churn_rate:.1%} of them left. In brackets 95% intervals over customers. ROC AUC, PR "
        "AUC and lift: higher is better; log loss, Brier and ECE (mean error of a stated "
        "risk): lower is better.",
        own=True,
    )
