"""The report's plots, one function each, as SVG text.

A title says what to see, not what is drawn; titles are the report's, since it speaks around them.
How a plot looks is `training.svg`'s business.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval
from training.metrics import Metrics, cumulative, reliability_bins
from training.report_data import MODEL, Importance, Snapshot, label
from training.svg import COLOURS, chart_of, date_axis, diagonal, to_svg, unit_scale

Floats = NDArray[np.float64]

CURVE_POINTS = 101
ROLES = ("training", "calibration", "test")


def differences(found: Mapping[str, Mapping[str, Interval | None]], metric: str, good: str) -> str:
    """Difference to each baseline in one metric, with its 95% interval."""
    rows = [
        {"rule": label(name), "value": i.value, "low": i.low, "high": i.high}
        for name, metrics in found.items()
        if (i := metrics[metric]) is not None
    ]
    base = chart_of(rows).encode(y=alt.Y("rule:N", sort=None, title=None))
    title = f"Keepwell minus the rule, {metric.replace('_', ' ').replace('roc auc', 'ROC AUC')}"
    bars = base.mark_rule(strokeWidth=3, color=COLOURS[0]).encode(
        x=alt.X("low:Q", title=f"{title} ({good})"), x2="high:Q"
    )
    dots = base.mark_point(size=90, filled=True, color=COLOURS[0], opacity=1).encode(x="value:Q")
    zero = chart_of([{"zero": 0}]).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    return to_svg(zero + bars + dots, f"difference-{metric}", height=32 * len(rows))


def roc(is_churn: NDArray[np.bool_], models: Mapping[str, Floats]) -> str:
    """Share of churners found against share of stayers disturbed."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        stayed = flagged - lost
        share = np.interp(grid, stayed / max(stayed[-1], 1), lost / max(lost[-1], 1))
        rows += _series(name, grid, share)
    chart = _lines(rows, "Stayers also flagged (share)", "Churners found (share)")
    return to_svg(chart + diagonal(), "roc")


def precision_recall(is_churn: NDArray[np.bool_], models: Mapping[str, Floats]) -> str:
    """Share of churners among the flagged against share of churners found."""
    # The first few customers are all noise: one churner more or less is a jump to 0 or 1.
    grid = np.linspace(0.02, 1, CURVE_POINTS)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        needed = np.interp(grid * lost[-1], lost, flagged)
        rows += _series(name, grid, grid * lost[-1] / np.maximum(needed, grid * lost[-1] + 1e-9))
    chart = _lines(rows, "Churners found (share)", "Churners among the flagged (share)")
    rate = chart_of([{"rate": float(is_churn.mean())}]).mark_rule(strokeDash=[4, 4])
    return to_svg(chart + rate.encode(y="rate:Q"), "precision-recall")


def gains(is_churn: NDArray[np.bool_], models: Mapping[str, Floats]) -> str:
    """Share of all churners among the riskiest customers."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        rows += _series(name, grid, np.interp(grid * len(p), flagged, lost / max(lost[-1], 1)))
    chart = _lines(rows, "Customers contacted, riskiest first (share)", "Churners reached (share)")
    return to_svg(chart + diagonal(), "gains")


def lift(is_churn: NDArray[np.bool_], models: Mapping[str, Floats]) -> str:
    """Churn rate of each tenth of customers, riskiest first, over that of all."""
    tenth = np.arange(1, 11, dtype=np.float64)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        churners = np.diff(np.interp(np.linspace(0, len(p), 11), flagged, lost))
        rows += _series(name, tenth, 10 * churners / max(lost[-1], 1))
    title = "Churn rate over the average (times)"
    chart = _lines(rows, "Tenth of customers, riskiest first", title)
    even = chart_of([{"one": 1}]).mark_rule(strokeDash=[4, 4]).encode(y="one:Q")
    return to_svg(chart + even, "lift")


def reliability(is_churn: NDArray[np.bool_], probability: Floats) -> str:
    """Realised churn rate against predicted probability, ten equal-count bins."""
    rows = [b._asdict() for b in reliability_bins(is_churn, probability)]
    base = chart_of(rows).encode(
        x=alt.X("probability:Q", title="Predicted churn probability", scale=unit_scale())
    )
    bars = base.mark_rule(strokeWidth=2, color=COLOURS[0]).encode(
        y=alt.Y("low:Q", title="Realised churn rate", scale=unit_scale()), y2="high:Q"
    )
    dots = base.mark_point(size=70, filled=True, color=COLOURS[0], opacity=1).encode(
        y="churn_rate:Q"
    )
    return to_svg(diagonal() + bars + dots, "reliability")


def distribution(is_churn: NDArray[np.bool_], probability: Floats) -> str:
    """How many customers got which probability, by what they then did."""
    edges = np.linspace(0, 1, 41)
    rows = [
        {"low": low, "high": high, "customers": int(count), "outcome": outcome}
        for outcome, chosen in (("left", is_churn), ("stayed", ~is_churn))
        for low, high, count in zip(
            edges, edges[1:], np.histogram(probability[chosen], edges)[0], strict=False
        )
    ]
    chart = (
        chart_of(rows)
        .mark_bar()
        .encode(
            x=alt.X("low:Q", bin="binned", title="Predicted churn probability", scale=unit_scale()),
            x2="high:Q",
            y=alt.Y("customers:Q", title="Customers", stack=True),
            color=alt.Color(
                "outcome:N",
                title="They then",
                scale=alt.Scale(domain=["left", "stayed"], range=[COLOURS[4], COLOURS[5]]),
            ),
        )
    )
    return to_svg(chart, "distribution")


def by_date(found: Mapping[str, Mapping[date, Metrics]], metric: str, title: str) -> str:
    """One metric of every model on each test date."""
    rows = [
        {"model": label(name), "day": day.isoformat(), "value": getattr(metrics, metric)}
        for name, dates in found.items()
        for day, metrics in dates.items()
        if getattr(metrics, metric) is not None
    ]
    chart = (
        chart_of(rows)
        .mark_line(point=alt.OverlayMarkDef(size=60, filled=True))
        .encode(
            x=alt.X("day:O", title="Test date (as of)", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
            color=_model_colour([label(name) for name in found]),
        )
    )
    return to_svg(chart, f"by-date-{metric}", height=220)


def features(importances: Sequence[Importance], top: int = 20) -> str:
    """Share of the trees' total gain that each of the leading features brought."""
    total = sum(i.gain for i in importances) or 1.0
    leading = sorted(importances, key=lambda i: -i.gain)[:top]
    rows = [{"feature": i.feature, "family": i.family, "share": i.gain / total} for i in leading]
    chart = (
        chart_of(rows)
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="Share of the trees' gain", axis=alt.Axis(format="%")),
            y=alt.Y("feature:N", sort=None, title=None),
            color=alt.Color("family:N", title="Family", scale=alt.Scale(range=[*COLOURS])),
        )
    )
    return to_svg(chart, "features", height=18 * max(len(rows), 2))


def families(contributions: Mapping[str, float]) -> str:
    """Mean absolute contribution of each reason family."""
    rows = [
        {"family": name, "contribution": value}
        for name, value in sorted(contributions.items(), key=lambda item: -item[1])
    ]
    chart = (
        chart_of(rows)
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("contribution:Q", title="Mean |contribution| (log-odds)"),
            y=alt.Y("family:N", sort=None, title=None),
        )
    )
    return to_svg(chart, "families", height=22 * max(len(rows), 2))


def calendar(snapshots: Sequence[Snapshot], lead_time_days: int, horizon_days: int) -> str:
    """When each snapshot was taken and until when its outcome was watched."""
    rows = [
        {
            "row": f"{s.as_of.isoformat()} {s.role}",
            "role": s.role,
            "start": (s.as_of + timedelta(days=lead_time_days)).isoformat(),
            "end": (s.as_of + timedelta(days=lead_time_days + horizon_days)).isoformat(),
            "as_of": s.as_of.isoformat(),
        }
        for s in sorted(snapshots, key=lambda s: (s.as_of, s.role))
    ]
    base = chart_of(rows).encode(y=alt.Y("row:N", sort=None, axis=None))
    bars = base.mark_bar(opacity=0.55).encode(
        x=date_axis("start:T", "Outcome watched from (dot: as of) to"),
        x2="end:T",
        color=_role_colour(snapshots),
    )
    dots = base.mark_point(size=30, filled=True, opacity=1).encode(
        x="as_of:T", color=_role_colour(snapshots)
    )
    return to_svg(bars + dots, "calendar", height=max(8 * len(rows), 60))


def churn_rates(snapshots: Sequence[Snapshot]) -> str:
    """Churn rate of each snapshot."""
    rows = [
        {"as_of": s.as_of.isoformat(), "churn_rate": s.churn_rate, "role": s.role}
        for s in snapshots
    ]
    chart = (
        chart_of(rows)
        .mark_point(size=60, filled=True, opacity=1)
        .encode(
            x=date_axis("as_of:T", "As of"),
            y=alt.Y("churn_rate:Q", title="Churn rate", scale=alt.Scale(zero=False)),
            color=_role_colour(snapshots),
        )
    )
    return to_svg(chart, "churn-rates", height=200)


def _found(is_churn: NDArray[np.bool_], p: Floats) -> tuple[Floats, Floats]:
    """Customers flagged, riskiest first, and churners among them, where no tie is cut."""
    ranks, churners, _ = cumulative(is_churn, p)
    return (len(p) - ranks[::-1]).astype(np.float64), churners[-1] - churners[::-1]


def _series(name: str, x: Floats, y: Floats) -> list[dict[str, Any]]:
    return [
        {"model": label(name), "x": round(float(a), 4), "y": round(float(b), 4)}
        for a, b in zip(x, y, strict=True)
    ]


def _lines(rows: list[dict[str, Any]], x: str, y: str) -> alt.Chart:
    names = list(dict.fromkeys(row["model"] for row in rows))
    chart: alt.Chart = (
        chart_of(rows)
        .mark_line()
        .encode(
            x=alt.X("x:Q", title=x),
            y=alt.Y("y:Q", title=y, scale=alt.Scale(zero=False)),
            color=_model_colour(names),
            strokeWidth=alt.condition(
                alt.datum.model == label(MODEL), alt.value(3), alt.value(1.5)
            ),
        )
    )
    return chart


def _model_colour(names: list[str]) -> alt.Color:
    scale = alt.Scale(domain=names, range=[*COLOURS[: len(names)]])
    return alt.Color("model:N", title=None, scale=scale)


def _role_colour(snapshots: Sequence[Snapshot]) -> alt.Color:
    """Each role keeps its colour, whichever of them occur."""
    used = {snapshot.role for snapshot in snapshots}
    roles = {r: c for r, c in zip(ROLES, COLOURS, strict=False) if r in used}
    scale = alt.Scale(domain=[*roles], range=[*roles.values()])
    return alt.Color("role:N", title="Used for", scale=scale)
