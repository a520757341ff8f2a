"""How well customers are ranked by risk, beside every baseline."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from training.findings import MODEL, Findings, label
from training.intervals import Interval
from training.metrics import cumulative
from training.svg import (
    BLUE,
    COLOURS,
    DASHES,
    Figure,
    chart_of,
    diagonal,
    drawn,
    level,
    percent,
    row_labels,
)

Floats = NDArray[np.float64]

CURVE_POINTS = 101
FIFTH = 0.2


def differences(found: Mapping[str, Mapping[str, Interval | None]], metric: str) -> Figure | None:
    """Difference to each baseline in ``roc_auc`` or ``log_loss``; None where there is none."""
    sign, words, unit = {
        "roc_auc": (1, "Keepwell ranks customers", "ROC AUC, right is better"),
        "log_loss": (-1, "Keepwell's probabilities are", "log loss, left is better"),
    }[metric]
    rows = [
        {"rule": label(name)} | i._asdict()
        for name, metrics in found.items()
        if (i := metrics[metric]) is not None
    ]
    if not rows:
        return None
    spans = [i for metrics in found.values() if (i := metrics[metric]) is not None]
    won = sum(min(sign * i.low, sign * i.high) > 0 for i in spans)
    lost = sum(max(sign * i.low, sign * i.high) < 0 for i in spans)
    title = f"{words} better than {won} of {len(rows)} simpler models, beyond chance"
    if lost:
        title += f", and worse than {lost}"
    order = [str(row["rule"]) for row in rows]
    base = chart_of(rows).encode(y=alt.Y("rule:N", sort=order, axis=None))
    bars = base.mark_rule(strokeWidth=3, color=BLUE).encode(
        x=alt.X("low:Q", title=f"Keepwell minus the other ({unit})"),
        x2="high:Q",
    )
    dots = base.mark_point(size=80, filled=True, color=BLUE, opacity=1).encode(x="value:Q")
    return drawn(
        level(0, "x") + bars + dots + row_labels(rows, "rule", order),
        f"difference-{metric}",
        title,
        "On the same customers, with 95% intervals: a bar that touches the dashed line decides "
        "nothing.",
        height=40 * len(rows) + 10,
    )


def gains(is_churn: NDArray[np.bool_], models: Mapping[str, Floats], found: Findings) -> Figure:
    """Share of all who left among the riskiest customers."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        rows += _series(name, grid, np.interp(grid * len(p), flagged, lost / max(lost[-1], 1)))
    title = (
        f"Contacting the riskiest {FIFTH:.0%} reaches {found.reached[MODEL]:.0%} of those who left"
    )
    if found.best_rule is not None:
        title += f"; by {label(found.best_rule)}, {found.reached[found.best_rule]:.0%}"
    chart = _lines(
        rows,
        percent("Customers contacted, riskiest first (% of all)"),
        percent("Reached (% of those who left)"),
    )
    note = "The higher the curve the better; the dashed diagonal is contact at random."
    return drawn(level(FIFTH, "x") + chart + diagonal(), "gains", title, note)


def lift(is_churn: NDArray[np.bool_], models: Mapping[str, Floats], found: Findings) -> Figure:
    """Churn rate of each tenth of customers, riskiest first, over that of all."""
    tenth = np.arange(1, 11, dtype=np.float64)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        churners = np.diff(np.interp(np.linspace(0, len(p), 11), flagged, lost))
        rows += _series(name, tenth, 10 * churners / max(lost[-1], 1))
    times = found.metrics[MODEL].top_decile_lift
    title = (
        "Nobody left, so no tenth holds more leavers than another"
        if times is None
        else f"The riskiest 10% hold {times:.2f} times as many leavers as a random tenth"
    )
    chart = _lines(
        rows,
        {"title": "Tenth of customers (1 = riskiest)",
         "axis": alt.Axis(values=list(range(1, 11)), format="d", grid=False)},
        {"title": "Leavers, against a random tenth (times)"},
        marks=True,
    )  # fmt: skip
    note = "The steeper the fall the better; a tenth on the dashed line leaves as often as all do."
    return drawn(level(1, "y") + chart, "lift", title, note)


def roc(is_churn: NDArray[np.bool_], models: Mapping[str, Floats], found: Findings) -> Figure:
    """Share of leavers found against share of stayers disturbed."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rows = []
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        stayed = flagged - lost
        share = np.interp(grid, stayed / max(stayed[-1], 1), lost / max(lost[-1], 1))
        rows += _series(name, grid, share)
    auc = found.metrics[MODEL].roc_auc
    title = (
        "All customers did the same, so there is no order to judge"
        if auc is None
        else f"Of 100 pairs of a leaver and a stayer, {100 * auc:.0f} are ranked the right way"
    )
    chart = _lines(
        rows, percent("Stayers also flagged (% of stayers)"), percent("Found (% of leavers)")
    )
    note = "ROC curve: the closer to the upper left corner the better; the dashed line is a coin."
    return drawn(chart + diagonal(), "roc", title, note)


def precision_recall(
    is_churn: NDArray[np.bool_], models: Mapping[str, Floats], found: Findings
) -> Figure:
    """Share of leavers among the flagged against share of leavers found."""
    # The first few customers are all noise: one churner more or less is a jump to 0 or 1.
    grid = np.linspace(0.02, 1, CURVE_POINTS)
    rows, half = [], 0.0
    for name, p in models.items():
        flagged, lost = _found(is_churn, p)
        precision = _precision(grid, flagged, lost)
        rows += _series(name, grid, precision)
        if name == MODEL:
            half = float(_precision(np.array([0.5]), flagged, lost)[0])
    title = f"Where half of the leavers are found, {half:.0%} of the contacted are leavers"
    if not is_churn.any():
        title = "Nobody left, so there is nobody to find"
    chart = _lines(
        rows,
        percent("Found (% of leavers)"),
        percent("Leavers (% of the contacted)", zero=False),
    )
    note = f"The higher the better; contact at random gives the dashed line, {is_churn.mean():.0%}."
    return drawn(level(float(is_churn.mean()), "y") + chart, "precision-recall", title, note)


def _precision(recall: Floats, flagged: Floats, lost: Floats) -> Floats:
    hits = recall * lost[-1]
    needed = np.interp(hits, lost, flagged)
    return np.asarray(hits / np.maximum(needed, hits + 1e-9))


def _found(is_churn: NDArray[np.bool_], p: Floats) -> tuple[Floats, Floats]:
    """Customers flagged, riskiest first, and leavers among them, where no tie is cut."""
    ranks, churners, _ = cumulative(is_churn, p)
    return (len(p) - ranks[::-1]).astype(np.float64), churners[-1] - churners[::-1]


def _series(name: str, x: Floats, y: Floats) -> list[dict[str, Any]]:
    return [
        {"model": label(name), "x": round(float(a), 4), "y": round(float(b), 4)}
        for a, b in zip(x, y, strict=True)
    ]


def _lines(
    rows: list[dict[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any], *, marks: bool = False
) -> alt.Chart | alt.LayerChart:
    """One line a model, each with its colour and its dash; Keepwell's is solid and thick."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    colours = [COLOURS[at % len(COLOURS)] for at in range(len(names))]
    dashes = [DASHES[at % len(DASHES)] for at in range(len(names))]
    base = chart_of(rows).encode(
        x=alt.X("x:Q", **x),
        y=alt.Y("y:Q", **y),
        color=alt.Color(
            "model:N",
            scale=alt.Scale(domain=names, range=colours),
            legend=alt.Legend(title=None, symbolType="stroke"),
        ),
    )
    chart: alt.Chart = base.mark_line().encode(
        strokeDash=alt.StrokeDash(
            "model:N",
            scale=alt.Scale(domain=names, range=dashes),
            legend=alt.Legend(title=None, symbolType="stroke"),
        ),
        strokeWidth=alt.condition(alt.datum.model == label(MODEL), alt.value(3), alt.value(1.5)),
    )
    if not marks:
        return chart
    # Coloured by themselves, or the points would take the dashes' place in the legend.
    colour_of = dict(zip(names, colours, strict=True))
    dots = (
        chart_of(row | {"colour": colour_of[row["model"]]} for row in rows)
        .mark_point(size=25, opacity=1, filled=True)
        .encode(x="x:Q", y="y:Q", color=alt.Color("colour:N", scale=None))
    )
    marked: alt.LayerChart = chart + dots
    return marked
