"""Sections on risk itself: its bands, and what the model looks at."""

from training.faithfulness import headline
from training.findings import MODEL
from training.html import grid, paragraph, table
from training.plots import features
from training.report_data import ReportData

EXPLAINED = 6


def bands(data: ReportData) -> str:
    """Test customers by risk band."""
    found = data.findings
    high = found.bands[0]
    finding = ""
    if high.churn_rate is not None:
        finding = (
            f"Of {high.customers:,} customers in the high band {high.churn_rate:.0%} left, against "
            f"{found.metrics[MODEL].churn_rate:.0%} of all. "
        )
    return table(
        ("Band", "Probability", "Customers", "Share", "Left"),
        [
            (band.name, f"{band.low:.3f} to {band.high:.3f}", f"{band.customers:,}",
             f"{band.customers / found.metrics[MODEL].n:.1%}",
             "-" if band.churn_rate is None else f"{band.churn_rate:.1%}")
            for band in found.bands
        ],
        f"{finding}Test customers by risk band, and how many of them left.",
    )  # fmt: skip


def looked_at(data: ReportData) -> str:
    """Kinds of reasons, features, and risk along the leading features' own values."""
    families = {name: value for name, value in data.families.items() if value > 0}
    plots = [
        features.families(families) if families else None,
        features.importance(data.drivers) if data.drivers else None,
    ]
    if not any(plots):
        return ""
    along = [
        features.dependence(driver, data.is_churn, data.probabilities[MODEL], data.currency)
        for driver in data.drivers[:EXPLAINED]
    ]
    text = grid(plots)
    if any(along):
        text += paragraph(
            "The leading features, in their own units. At the top of each plot: the share that "
            "left (dots, 95% intervals) and the predicted risk (dashed line). In the middle: what "
            "this feature alone adds to the risk, and the span of eight in ten customers (shade); "
            "0 is the average of those learnt from, so a plot may lie wholly on one side of it. "
            "At the bottom: how many customers, the far tail in the last bar. What goes together "
            "with leaving need not cause it: changing the number need not change the outcome."
        ) + grid(along)
    return text


def held(data: ReportData) -> str:
    """Whether the reasons say what moves the risk; empty where nobody was asked."""
    found = data.faithfulness
    if found is None or not found.told:
        return ""
    return paragraph(
        "The first reason of customers at medium and high risk was put to the test: its family "
        "was set to its norm (the customer's own where the reason names one, else what customers "
        "at low risk have), and so was every other family; then every figure was moved by 1%."
    ) + table(
        ("First reason", "Customers", "Risk falls at the norm", "More than by another family"),
        [
            (family, f"{n:,}", f"{lowers:.0%}", "-" if beats != beats else f"{beats:.0%}")
            for family, n, lowers, beats in found.by_family
        ],
        headline(found),
    )
