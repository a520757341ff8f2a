"""What a campaign earns, by how many customers it contacts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import altair as alt
import numpy as np
from numpy.typing import NDArray

from training.empc import Economics
from training.findings import MODEL, label
from training.metrics import cumulative
from training.svg import COLOURS, DASHES, Figure, chart_of, drawn, level, percent

Floats = NDArray[np.float64]

CURVE_POINTS = 101
LITTLE = 0.02
"""Of the profit: a choice that brings less than this share more hardly matters."""


class Judged(NamedTuple):
    """A part of the customers, what became of them, and what a campaign among them costs."""

    name: str
    is_churn: NDArray[np.bool_]
    probability: Floats
    economics: Economics


def profit(
    is_churn: NDArray[np.bool_], models: Mapping[str, Floats], e: Economics, currency: str
) -> Figure:
    """Profit per customer of contacting the riskiest ones, at the mean acceptance."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    accepted = e.acceptance_alpha / (e.acceptance_alpha + e.acceptance_beta)
    curves = {name: _profit(is_churn, p, grid, accepted, e) for name, p in models.items()}
    rows = [
        {"model": label(name), "x": float(x), "y": float(y)}
        for name, curve in curves.items()
        for x, y in zip(grid, curve, strict=True)
    ]
    names = [label(name) for name in curves]
    own = curves[MODEL]
    best = int(np.argmax(own))
    unit = f" {currency}" if currency else ""
    title = (
        f"Contacting the riskiest {grid[best]:.0%} earns most: {own[best]:,.2f}{unit} per "
        f"customer, against {own[-1]:,.2f} for contacting everyone"
    )
    if best and own[best] - own[-1] < LITTLE * own[best]:
        title = (
            f"Whom to contact hardly matters at these costs: the riskiest {grid[best]:.0%} bring "
            f"{own[best]:,.2f}{unit} per customer, everybody {own[-1]:,.2f}"
        )
    if best == 0:
        title = "No campaign pays: contacts cost more than the leavers kept are worth"
    elif best == len(grid) - 1:
        title = (
            f"Contacting everyone earns most, {own[-1]:,.2f}{unit} per customer: an offer is "
            "cheap beside what it keeps"
        )
    lines = (
        chart_of(rows)
        .mark_line()
        .encode(
            x=alt.X("x:Q", **percent("Customers contacted, riskiest first (% of all)")),
            y=alt.Y("y:Q", title=f"Profit per customer of all{unit and f' ({currency})'}"),
            color=alt.Color("model:N", title=None,
                            scale=alt.Scale(domain=names, range=[*COLOURS[: len(names)]])),
            strokeDash=alt.StrokeDash("model:N", title=None,
                                      scale=alt.Scale(domain=names, range=[*DASHES[: len(names)]])),
            strokeWidth=alt.condition(
                alt.datum.model == label(MODEL), alt.value(3), alt.value(1.5)
            ),
        )
    )  # fmt: skip
    mark = (
        chart_of([{"x": float(grid[best]), "y": float(own[best])}])
        .mark_point(size=90, filled=True, color=COLOURS[0], opacity=1)
        .encode(x="x:Q", y="y:Q")
    )
    note = f"The dot is the best campaign with Keepwell, if {accepted:.0%} of leavers accept."
    return drawn(level(0, "y") + lines + mark, "profit", title, note)


def profit_by(parts: Sequence[Judged], what: str, currency: str) -> Figure:
    """The same of several parts of the customers, each with its own worth of a customer kept."""
    grid = np.linspace(0, 1, CURVE_POINTS)
    rows, best = [], {}
    for name, is_churn, probability, e in parts:
        accepted = e.acceptance_alpha / (e.acceptance_alpha + e.acceptance_beta)
        curve = _profit(is_churn, probability, grid, accepted, e)
        best[name] = float(curve.max())
        rows += [
            {"part": name, "x": float(x), "y": float(y)} for x, y in zip(grid, curve, strict=True)
        ]
    unit = f" {currency}" if currency else ""
    names = list(best)
    most = max(names, key=lambda name: best[name])
    idle = [name for name in names if best[name] <= 0.0]
    title = f"By {what}, a campaign earns most among {most}: {best[most]:,.2f}{unit} per customer"
    if idle:
        title += f"; among {', '.join(idle)} none pays"
    if len(idle) == len(names):
        title = f"By {what}, no campaign pays at these costs"
    legend = alt.Legend(title=None, columns=3 if max(map(len, names)) < 20 else 1, labelLimit=300)
    shown = alt.Scale(domain=names, range=[*COLOURS[: len(names)]])
    dashes = alt.Scale(domain=names, range=[*DASHES[: len(names)]])
    lines = (
        chart_of(rows)
        .mark_line()
        .encode(
            x=alt.X("x:Q", **percent("Contacted, riskiest first (% of the part)")),
            y=alt.Y("y:Q", title=f"Profit per customer of the part{unit and f' ({currency})'}"),
            color=alt.Color("part:N", legend=legend, scale=shown),
            strokeDash=alt.StrokeDash("part:N", legend=legend, scale=dashes),
        )
    )
    note = "Each line is a part of the customers, by itself; 0 is to leave all of them alone."
    return drawn(level(0, "y") + lines, f"profit-{what}", title, note)


def _profit(
    is_churn: NDArray[np.bool_], p: Floats, grid: Floats, accepted: float, e: Economics
) -> Floats:
    ranks, churners, _ = cumulative(is_churn, p)
    flagged = grid * len(p)
    left = churners[-1] - np.interp(len(p) - flagged, ranks, churners)
    kept = accepted * (e.retained_value - e.incentive_cost) - e.contact_cost
    wasted = e.incentive_cost + e.contact_cost
    return np.asarray((kept * left - wasted * (flagged - left)) / len(p))
