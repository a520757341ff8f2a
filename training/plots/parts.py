"""Quality on parts of the customers: dates, stages, categories."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
from scipy.stats import norm

from training.groups import FEWEST_OF_PART, Group
from training.intervals import Interval
from training.svg import BLUE, ORANGE, Figure, chart_of, drawn, percent, points, row_labels

METRICS = {"roc_auc": "ROC AUC", "log_loss": "Log loss (nats)"}


def over_dates(dates: Sequence[Group], metric: str) -> Figure | None:
    """ROC AUC or log loss on each date, with intervals; None where no date has it."""
    rows = [
        {"day": date.name, "value": i.value, "low": i.low, "high": i.high}
        for date in dates
        if (i := getattr(date, metric)) is not None
    ]
    if not rows:
        return None
    name, values = METRICS[metric].split(" (")[0], [row["value"] for row in rows]
    title = (
        f"{name} was {min(values):.3f} to {max(values):.3f} on {len(rows)} dates: "
        f"{_steadiness(rows)}"
    )
    base = chart_of(rows).encode(x=_days("Made and judged as of"))
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        y=alt.Y("low:Q", title=METRICS[metric], scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = base.mark_line(color=BLUE, strokeWidth=1).encode(y="value:Q")
    dots = base.mark_point(size=60, filled=True, color=BLUE, opacity=1).encode(y="value:Q")
    note = (
        "Each date has a model of its own, which knew only what had happened by then. Bars are 95% "
        "intervals. " + ("Higher is better." if metric == "roc_auc" else "Lower is better; it also "
        "moves with the churn rate.")
    )  # fmt: skip
    return drawn(line + bars + dots, f"dates-{metric}", title, note, height=200)


def predicted_over_dates(dates: Sequence[Group]) -> Figure:
    """Mean probability beside the share that left, on each date."""
    worst = max(dates, key=lambda date: abs(date.miss))
    direction = "fewer" if worst.miss > 0 else "more"
    missed = sum(date.misses for date in dates)
    title = (
        f"Off by more than chance on {missed} of {len(dates)} dates; the widest miss is "
        f"{points(worst.miss)}: on {worst.name} {direction} customers left "
        f"({worst.churn_rate.value:.0%}) than expected ({worst.predicted:.0%})"
        if missed
        else f"On each of {len(dates)} dates as many left as expected, within chance: the widest "
        f"miss is {points(worst.miss)} ({worst.name})"
    )
    rows = [_rates(date, "day") for date in dates]
    base = chart_of(rows).encode(x=_days("As of"))
    return drawn(
        _realised(base, "y") + _predicted(base, "y"),
        "dates-rates",
        title,
        "Bars are 95% intervals of the share that left. A miss says that the times have changed "
        "since the outcomes learnt from.",
        height=200,
    )


def ranking_by(groups: Sequence[Group], what: str) -> Figure | None:
    """ROC AUC of each part, with intervals; None where there are no two to compare."""
    judged = [
        (part, part.roc_auc)
        for part in groups
        if part.roc_auc is not None and part.metrics.n >= FEWEST_OF_PART
    ]
    if len(judged) < 2:
        return None
    weakest, strongest = (f(judged, key=lambda pair: pair[1].value) for f in (min, max))
    sure = _apart(weakest[1], strongest[1], len(judged))
    title = (
        f"Ranking is best for {_called(strongest[0], what)} (ROC AUC {strongest[1].value:.3f}) "
        f"and weakest for {_called(weakest[0], what)} ({weakest[1].value:.3f}), "
        + ("beyond chance" if sure else "which may be chance")
    )
    rows = [{"part": _counted(part)} | auc._asdict() for part, auc in judged]
    order = [_counted(part) for part, _ in judged]
    base = chart_of(rows).encode(y=alt.Y("part:N", sort=order, axis=None))
    bars = base.mark_rule(strokeWidth=3, color=BLUE).encode(
        x=alt.X("low:Q", title="ROC AUC (0.5 = a coin, 1 = no mistake)",
                scale=alt.Scale(zero=False)), x2="high:Q"
    )  # fmt: skip
    dots = base.mark_point(size=80, filled=True, color=BLUE, opacity=1).encode(x="value:Q")
    return drawn(
        bars + dots + row_labels(rows, "part", order),
        f"ranking-{what}",
        title,
        "Bars are 95% intervals, each for its own part. Of several parts the best and the weakest "
        "lie apart by chance alone; the title reckons with that.",
        height=38 * len(rows) + 10,
    )


def rates_by(groups: Sequence[Group], what: str) -> Figure | None:
    """Predicted and realised churn rate of each part; None where there are no two to compare."""
    groups = [part for part in groups if part.metrics.n >= FEWEST_OF_PART]
    if len(groups) < 2:
        return None
    rows = [_rates(part, "part") | {"part": _counted(part)} for part in groups]
    off = [part for part in groups if _off(part, len(groups))]
    low, high = (f(groups, key=lambda part: part.churn_rate.value) for f in (min, max))
    title = (
        f"From {low.churn_rate.value:.0%} ({_called(low, what)}) to {high.churn_rate.value:.0%} "
        f"({_called(high, what)}) left; "
    )
    if off:
        worst = max(off, key=lambda part: abs(part.miss))
        side = "fewer" if worst.miss > 0 else "more"
        title += f"of {_called(worst, what)}, {points(worst.miss)} {side} than expected"
    else:
        title += "each as expected, within chance"
    order = [row["part"] for row in rows]
    base = chart_of(rows).encode(y=alt.Y("part:N", sort=order, axis=None))
    return drawn(
        _realised(base, "x") + _predicted(base, "x") + row_labels(rows, "part", order),
        f"rates-{what}",
        title,
        "Bars are 95% intervals of the share that left, each for its own part: of 20 diamonds one "
        "lies outside by chance; the title reckons with that.",
        height=38 * len(rows) + 10,
    )


def _rates(part: Group, key: str) -> dict[str, Any]:
    rate = part.churn_rate
    return {
        key: part.name, "left": rate.value, "low": rate.low, "high": rate.high,
        "expected": part.predicted, "is_left": "left", "is_expected": "expected",
    }  # fmt: skip


_COLOURS = alt.Scale(domain=["left", "expected"], range=[BLUE, ORANGE])
_SHAPES = alt.Scale(domain=["left", "expected"], range=["circle", "diamond"])


def _realised(base: alt.Chart, axis: str) -> alt.LayerChart:
    channel = alt.X if axis == "x" else alt.Y
    title = percent("Left, and expected to (%)", zero=False)
    bars = base.mark_rule(strokeWidth=3, color=BLUE).encode(
        **{axis: channel("low:Q", **title), f"{axis}2": "high:Q"}
    )
    dots = base.mark_point(size=80, filled=True, opacity=1).encode(
        **{axis: "left:Q"},
        color=alt.Color("is_left:N", scale=_COLOURS, title=None),
        shape=alt.Shape("is_left:N", scale=_SHAPES, title=None),
    )
    layers: alt.LayerChart = bars + dots
    return layers


def _predicted(base: alt.Chart, axis: str) -> alt.Chart:
    chart: alt.Chart = base.mark_point(size=80, filled=True, opacity=1).encode(
        **{axis: "expected:Q"},
        color=alt.Color("is_expected:N", scale=_COLOURS, title=None),
        shape=alt.Shape("is_expected:N", scale=_SHAPES, title=None),
    )
    return chart


def _days(title: str) -> alt.X:
    return alt.X(
        "day:O", title=title, axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelFontSize=11)
    )


def _called(part: Group, what: str) -> str:
    return f"buyers of {part.name}" if what == "category" else part.name


def _counted(part: Group) -> str:
    n = part.metrics.n
    return f"{part.name} ({n:,} customer{'s' if n != 1 else ''})"


def _apart(weakest: Interval, strongest: Interval, parts: int) -> bool:
    """Whether the ends of so many parts differ by more than the widest gap that chance makes."""
    pairs = parts * (parts - 1) / 2
    error = np.hypot(weakest.high - weakest.value, strongest.value - strongest.low) / norm.ppf(
        0.975
    )
    return bool(strongest.value - weakest.value > norm.ppf(1 - 0.025 / pairs) * error)


def _off(part: Group, parts: int) -> bool:
    """Whether the miss of one of so many parts is more than chance makes of the worst of them."""
    rate = part.churn_rate
    reach = rate.high - rate.value if part.miss > 0 else rate.value - rate.low
    return abs(part.miss) > reach * float(norm.ppf(1 - 0.025 / parts) / norm.ppf(0.975))


def _steadiness(rows: Sequence[dict[str, Any]]) -> str:
    """Whether the intervals of all dates have a value in common."""
    shared = max(row["low"] for row in rows) <= min(row["high"] for row in rows)
    return "no date stands apart" if shared else "the dates differ by more than chance"
