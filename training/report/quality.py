"""Sections on quality: against simple rules, honesty, over time, for whom, in money."""

import numpy as np

from churn.reliability import Reliability
from training.findings import MODEL, label
from training.groups import Group
from training.html import folded, grid, number, paragraph, table
from training.plots import days, honesty, money, parts, ranking
from training.report_data import ReportData

_OF_WORTH = {
    "segment": "By what is at stake with the customer: A is the most valuable fifth, B the "
    "next three tenths.",
    "loss category": "By what kind of loss the customer would be: the first rule that holds on the "
    "date of the question.",
}


def better(data: ReportData) -> str:
    """Curves and differences beside every baseline."""
    found = data.findings
    y, models = data.is_churn, {name: data.probabilities[name] for name in found.metrics}
    return grid(
        [
            ranking.differences(found.differences, "roc_auc"),
            ranking.differences(found.differences, "log_loss"),
            ranking.gains(y, models, found),
            ranking.lift(y, models, found),
            ranking.roc(y, models, found),
            ranking.precision_recall(y, models, found),
        ]
    )


def honest(data: ReportData) -> str:
    """Calibration of all, and of each stage; where the probabilities lie."""
    found, y, p = data.findings, data.is_churn, data.probabilities[MODEL]
    own = found.metrics[MODEL]
    stages = []
    if data.is_one_time is not None and len(found.stages) > 1:
        rows = (data.is_one_time, ~data.is_one_time)
        stages = [
            honesty.reliability_of(stage, y[chosen], p[chosen], name)
            for stage, chosen, name in zip(found.stages, rows, ("first", "again"), strict=True)
        ]
    text = paragraph(
        f"Calibration error (ECE) {own.ece:.3f}; a perfect model of this size shows "
        f"{found.floor.mean:.3f} on average, and up to {found.floor.p95:.3f} in 95% of cases. "
        "It is the mean distance between a stated risk and the share that left."
    )
    return (
        text
        + reliance(data.reliability)
        + folded(
            "How the trees and the calibration were chosen",
            paragraph(f"Calibration layer: {data.calibration}."),
        )
        + grid(
            [
                honesty.reliability(y, p, found),
                honesty.distribution(y, p, data.thresholds),
                *stages,
            ]
        )
    )


def reliance(reliability: Reliability | None) -> str:
    """How far a stated 50% may be off; empty where too few dates could tell."""
    if reliability is None:
        return ""
    half, told = np.array([0.5]), []
    for words, is_one_time in (("one-time buyers", True), ("repeat buyers", False)):
        low, high = reliability.interval(half, np.array([is_one_time]))[0]
        if not np.isnan(low):
            told.append(f"{low:.0%} to {high:.0%} for {words}")
    if not told:
        return ""
    return paragraph(
        "Judging by how far the dates before it were off, a 50% that the published model states "
        f"may stand for {' and '.join(told)}: such is the interval that its scores carry."
    )


def holding(data: ReportData) -> str:
    """The same procedure on earlier dates; empty where there is one date or none."""
    dates = data.findings.dates
    if not dates:
        return ""
    if len(dates) == 1:
        return paragraph(
            "The log is too short to judge the procedure on an earlier date as well, and one date "
            "can mislead: keepwell backtest --as-of DATE --as-of DATE judges several."
        )
    return grid(
        [
            parts.over_dates(dates, "roc_auc"),
            parts.over_dates(dates, "log_loss"),
            parts.predicted_over_dates(dates),
        ]
    ) + _parts("As of", dates, "The figures of these plots.")


def whom(data: ReportData) -> str:
    """Stages, categories, value and kinds of loss; empty where the facts tell of none."""
    found = data.findings
    text = ""
    if found.stages:
        text += grid(
            [parts.ranking_by(found.stages, "stage"), parts.rates_by(found.stages, "stage")]
        ) + _parts(
            "Stage",
            found.stages,
            "One-time and repeat buyers are different problems; one figure for both hides that.",
        )
    if found.categories:
        text += grid(
            [
                parts.ranking_by(found.categories, "category"),
                parts.rates_by(found.categories, "category"),
            ]
        ) + _parts(
            "Favourite category",
            found.categories,
            "By the category that the customer bought most of before the test date.",
        )
    for what, title, groups in (
        ("segment", "Value segment", found.segments),
        ("loss category", "Loss category", found.losses),
    ):
        if groups:
            text += grid([parts.ranking_by(groups, what), parts.rates_by(groups, what)])
            text += _parts(title, groups, _OF_WORTH[what])
    return text


def over_days(data: ReportData) -> str:
    """Risk at other horizons; empty where the model has one only."""
    return grid(days.curve(curve) for curve in data.curves if len(curve.days) > 1)


def worth(data: ReportData) -> str:
    """Profit of a campaign; empty where nobody said what one costs."""
    if data.economics is None or not data.empc:
        return ""
    models = {name: data.probabilities[name] for name in data.findings.metrics}
    rows = [
        (label(name), f"{profit.per_customer:,.2f}", f"{profit.contacted_share:.0%}")
        for name, profit in data.empc.items()
    ]
    e = data.economics
    money_of = f" {data.currency}" if data.currency else ""
    return (
        paragraph(
            f"Assumed of a campaign: a contact costs {e.contact_cost:g}{money_of}, an accepted "
            f"offer {e.incentive_cost:g}, a customer kept is worth {e.retained_value:g}, and "
            f"{e.acceptance_alpha / (e.acceptance_alpha + e.acceptance_beta):.0%} of would-be "
            "leavers accept. They are [business] settings: put in your own before reading money "
            "into this."
        )
        + grid([money.profit(data.is_churn, models, e, data.currency)])
        + table(
            ("Model", f"Profit per customer{money_of and f' ({data.currency})'}", "Contacted"),
            rows,
            "Expected maximum profit (EMPC): the best campaign with each model, averaged over how "
            "readily leavers accept; the plot takes one readiness, so it differs a little.",
            own=True,
        )
    )


def _parts(head: str, groups: tuple[Group, ...], caption: str) -> str:
    return table(
        (head, "Customers", "Left", "Expected", "ROC AUC", "Log loss", "ECE"),
        [
            (
                part.name,
                f"{part.metrics.n:,}",
                f"{part.churn_rate.value:.1%}",
                f"{part.predicted:.1%}",
                number(part.metrics.roc_auc, part.roc_auc),
                number(part.metrics.log_loss, part.log_loss),
                number(part.metrics.ece),
            )
            for part in groups
        ],
        f"{caption} In brackets 95% intervals.",
    )
