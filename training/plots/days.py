"""What happened when: the snapshots learnt from, risk over the coming days, the log itself."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import altair as alt
import numpy as np

from training.config import Problem
from training.gaps import Gaps
from training.metrics import wilson
from training.report_data import RiskCurve, Snapshot
from training.svg import (
    BLUE,
    COLOURS,
    DASHES,
    INK,
    LABEL_SEPARATION,
    ORANGE,
    Figure,
    chart_of,
    date_axis,
    drawn,
    level,
    percent,
    points,
)
from training.usability import Usability

ROLES = ("training", "training and calibration", "calibration", "test")
_SHAPES = ("circle", "diamond", "square", "triangle-up")
MOST_GAP_DAYS = 400
DODGE = 0.03


def calendar(snapshots: Sequence[Snapshot], lead_time_days: int, horizon_days: int) -> Figure:
    """When each snapshot was taken and until when its outcome was watched."""
    ordered = sorted(snapshots, key=lambda s: (s.as_of, s.role))
    watched = timedelta(days=lead_time_days + horizon_days)
    ends = [s.as_of + watched for s in ordered if s.role != "test"]
    tests = [s.as_of for s in ordered if s.role == "test"]
    title = f"{len(ends)} past dates to learn from"
    if ends and tests:
        title = (
            f"No outcome that was learnt from reaches past the test date, {min(tests)}"
            if max(ends) <= min(tests)
            else f"Outcomes that were learnt from reach past the test date, {min(tests)}: the "
            "test is flattered"
        )
    rows = [
        {
            "row": f"{s.as_of.isoformat()} {s.role}",
            "role": s.role,
            "start": (s.as_of + timedelta(days=lead_time_days)).isoformat(),
            "end": (s.as_of + watched).isoformat(),
            "as_of": s.as_of.isoformat(),
            # A role is named where it first occurs, so that colour is not all that tells it.
            "word": s.role if s.role not in {before.role for before in ordered[:at]} else "",
        }
        for at, s in enumerate(ordered)
    ]
    long = (ordered[-1].as_of + watched - ordered[0].as_of).days
    base = chart_of(rows).encode(
        y=alt.Y("row:N", sort=[row["row"] for row in rows], axis=None), color=_colour(snapshots)
    )
    bars = base.mark_bar(opacity=0.5).encode(
        x=date_axis("start:T", "Date (features up to the mark, outcome along the bar)", long),
        x2="end:T",
    )
    marks = base.mark_point(size=45, filled=True, opacity=1).encode(
        x="as_of:T", shape=_shape(snapshots)
    )
    words = base.mark_text(align="right", dx=-8).encode(
        x="as_of:T", text="word:N", color=alt.value(INK)
    )
    note = "One line a date. Its customers are described by what was known before the mark."
    if any("and" in s.role for s in ordered):
        note += (
            " The number of trees and the calibration were chosen on dates that the model judged "
            "there had not seen; the final one has learnt from them as well."
        )
    return drawn(
        bars + marks + words, "calendar", title, note, height=min(max(11 * len(rows), 60), 420)
    )


def churn_rates(snapshots: Sequence[Snapshot]) -> Figure:
    """Churn rate of each snapshot."""
    ordered = sorted(snapshots, key=lambda s: s.as_of)
    low, high = (f(ordered, key=lambda s: s.churn_rate) for f in (min, max))
    title = (
        f"Between {low.churn_rate:.0%} ({low.as_of}) and {high.churn_rate:.0%} ({high.as_of}) of "
        "active customers left"
    )
    rows = [
        {"as_of": s.as_of.isoformat(), "churn_rate": s.churn_rate, "role": s.role} for s in ordered
    ]
    base = chart_of(rows).encode(
        x=date_axis("as_of:T", "As of", (ordered[-1].as_of - ordered[0].as_of).days),
        y=alt.Y("churn_rate:Q", **percent("Left (% of active customers)", zero=False)),
    )
    line = base.mark_line(strokeWidth=1, opacity=0.4, color="currentColor")
    dots = base.mark_point(size=60, filled=True, opacity=1).encode(
        color=_colour(snapshots), shape=_shape(snapshots)
    )
    note = "A rate that moves makes the future harder to tell; newcomers dominate the first dates."
    return drawn(line + dots, "churn-rates", title, note, height=200)


def curve(risk: RiskCurve) -> Figure:
    """Risk over the coming days for each tenth of customers, beside what happened."""
    order = np.argsort(-risk.probability[:, 0], kind="stable")
    rows: list[dict[str, Any]] = []
    misses = []
    step = min((b - a for a, b in pairwise(risk.days)), default=risk.days[0])
    for tenth, chosen in enumerate(np.array_split(order, min(10, len(order))), start=1):
        for at, days in enumerate(risk.days):
            outcome = risk.bought_nothing[chosen, at]
            outcome = outcome[~np.isnan(outcome)]
            row = {
                "tenth": tenth, "days": days,
                "expected": float(risk.probability[chosen, at].mean()),
            }  # fmt: skip
            if len(outcome):
                low, high = wilson(float(outcome.sum()), len(outcome))
                # Side by side, or the intervals of neighbours would hide each other.
                beside = days + DODGE * step * (tenth - 5.5)
                row |= {"left": float(outcome.mean()), "low": low, "high": high, "beside": beside}
                misses.append((abs(row["expected"] - row["left"]), tenth, days))
            rows.append(row)
    last = risk.days[-1]
    riskiest, safest = (
        next(row for row in rows if row["days"] == last and row["tenth"] == tenth)["expected"]
        for tenth in (1, rows[-1]["tenth"])
    )
    title = (
        f"As of {risk.as_of}: after {last} days {riskiest:.0%} of the riskiest tenth and "
        f"{safest:.0%} of the safest are expected not to have bought"
    )
    if misses:
        worst, tenth, days = max(misses)
        title += f"; the widest miss is {points(worst)} (tenth {tenth}, {days} days)"
    base = chart_of(rows).encode(
        x=alt.X("days:Q", title="Days ahead", axis=alt.Axis(values=list(risk.days)),
                scale=alt.Scale(zero=False, padding=30)),
    )  # fmt: skip
    lines = base.mark_line(color=BLUE, opacity=0.7).encode(
        y=alt.Y("expected:Q", **percent("No purchase yet (% of customers)")), detail="tenth:O"
    )
    names = (
        chart_of([row for row in rows if row["days"] == last])
        .mark_text(align="left", dx=18, fontSize=11)
        .encode(x="days:Q", y="expected:Q", text="tenth:O")
    )
    told = [row for row in rows if "left" in row]
    seen = chart_of(told).encode(x="beside:Q")
    bars = seen.mark_rule(strokeWidth=1.5, color=ORANGE).encode(y="low:Q", y2="high:Q")
    dots = seen.mark_point(size=40, filled=True, color=ORANGE, opacity=1).encode(y="left:Q")
    note = (
        "A line for each tenth of the customers, 1 the riskiest: what was said. Dots, with 95% "
        "intervals: what happened, the riskiest tenth to the left."
    )
    unknown = [
        f"{days}" for at, days in enumerate(risk.days) if np.isnan(risk.bought_nothing[:, at]).all()
    ]
    if unknown:
        note += f" The log ends too early to tell of {' and '.join(unknown)} days."
    name = f"curve-{risk.as_of}"
    return drawn(lines + bars + dots + names, name, title, note, height=340)


def gaps(found: Gaps, problem: Problem) -> Figure | None:
    """How soon customers come back; None if nobody did."""
    if found.after_any.share <= 0:
        return None
    horizon, inactivity = problem.horizon_days, problem.inactivity_days
    title = (
        f"Of the customers who come back {found.after_any.within(horizon):.0%} do so within "
        f"{horizon} days, the horizon, and {found.after_any.within(inactivity):.0%} within "
        f"{inactivity}, the inactivity limit"
    )
    limit = min(found.limit_days, max(MOST_GAP_DAYS, inactivity))
    curves = {
        f"{words} ({returns.share:.0%} come back)": returns
        for words, returns in (
            ("after a first purchase", found.after_first),
            ("after a later one", found.after_later),
        )
        if returns.share > 0
    }
    rows = [
        {"days": day, "share": returns.within(day), "after": words}
        for words, returns in curves.items()
        for day in sorted({*range(0, limit + 1, max(1, limit // 150)), limit})
    ]
    names = [*curves]
    line = (
        chart_of(rows)
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=alt.X("days:Q", title="Days between one purchase day and the next"),
            y=alt.Y("share:Q", **percent("Back by then (% of returns)", domain=(0, 1))),
            color=alt.Color("after:N", title=None, legend=alt.Legend(columns=1, labelLimit=300),
                            scale=alt.Scale(domain=names, range=[*COLOURS[: len(names)]])),
            strokeDash=alt.StrokeDash("after:N", title=None,
                                      scale=alt.Scale(domain=names, range=[*DASHES[: len(names)]])),
        )
    )  # fmt: skip
    marks = [
        level(at, "x")
        + chart_of([{"at": at, "word": word}])
        .mark_text(align="left", baseline="bottom", dx=4)
        .encode(x="at:Q", y=alt.value(205), text="word:N")
        for at, word in ((horizon, "horizon"), (inactivity, "inactivity"))
        if at <= limit
    ]
    note = (
        "Who has not come back by the horizon counts as having left, so much should lie left of "
        "it. Customers who are still silent are reckoned with."
    )
    return drawn(alt.layer(line, *marks), "gaps", title, note, height=220)


def months(usability: Usability) -> Figure | None:
    """Purchase days in each month; None for a log of fewer than three months."""
    counted = dict(sorted(usability.total.months.items()))
    if len(counted) < 3:
        return None
    # The first and the last month of a log are rarely whole.
    whole = dict(list(counted.items())[1:-1])
    low, high = (f(whole, key=lambda month: whole[month]) for f in (min, max))
    title = f"Purchase days: most in {high} ({whole[high]:,})"
    if low != high:
        title += f", fewest in {low} ({whole[low]:,}), of the whole months"
    rows = [{"month": f"{month}-01", "days": n} for month, n in counted.items()]
    bars = (
        chart_of(rows)
        .mark_bar(color=BLUE, opacity=0.8)
        .encode(
            x=alt.X("utcyearmonth(month):T", title="Month",
                    axis=alt.Axis(format="%Y-%m", tickCount=4, labelOverlap="greedy",
                                  labelSeparation=LABEL_SEPARATION)),
            y=alt.Y("days:Q", title="Customers' days with a purchase"),
        )
    )  # fmt: skip
    note = "A gap or a step here is often a change of the log rather than of the customers."
    return drawn(bars, "months", title, note, height=220)


def _colour(snapshots: Sequence[Snapshot]) -> alt.Color:
    """Each role keeps its colour, whichever of them occur."""
    roles = _roles(snapshots)
    scale = alt.Scale(domain=roles, range=[COLOURS[ROLES.index(role)] for role in roles])
    return alt.Color("role:N", title="Used for", scale=scale)


def _shape(snapshots: Sequence[Snapshot]) -> alt.Shape:
    roles = _roles(snapshots)
    scale = alt.Scale(domain=roles, range=[_SHAPES[ROLES.index(role)] for role in roles])
    return alt.Shape("role:N", title="Used for", scale=scale)


def _roles(snapshots: Sequence[Snapshot]) -> list[str]:
    used = {snapshot.role for snapshot in snapshots}
    return [role for role in ROLES if role in used]
