"""Whether a probability means what it says."""

from collections.abc import Mapping

import altair as alt
import numpy as np
from numpy.typing import NDArray

from training.findings import MODEL, Findings
from training.groups import FEWEST_OF_PART, Group
from training.metrics import reliability_bins
from training.svg import (
    BLUE,
    ORANGE,
    SKY,
    Figure,
    chart_of,
    diagonal,
    drawn,
    level,
    percent,
    points,
)

Floats = NDArray[np.float64]

_MOST_BINS, _FEWEST_BINS, _ENOUGH_IN_BIN = 10, 3, 30


def reliability(is_churn: NDArray[np.bool_], probability: Floats, found: Findings) -> Figure:
    """Realised churn rate against predicted probability, ten equal-count bins."""
    ece, floor = found.metrics[MODEL].ece, found.floor
    title = f"A stated risk is off by {points(ece)} on average: " + (
        "no more than chance alone makes of a perfect model"
        if ece <= floor.p95
        else f"more than the {points(floor.p95)} that chance explains"
    )
    diagram, how = _diagram(is_churn, probability)
    note = how + "On the dashed line as many left as was said; below it the model was too gloomy."
    return drawn(diagram, "reliability", title, note)


def reliability_of(
    stage: Group, is_churn: NDArray[np.bool_], probability: Floats, name: str
) -> Figure | None:
    """The same for a part of the customers; None of too few to say anything."""
    if stage.metrics.n < FEWEST_OF_PART:
        return None
    rate = stage.churn_rate
    verdict = (
        "within chance"
        if not stage.misses
        else f"{points(stage.miss)} too {'high' if stage.miss > 0 else 'low'}"
    )
    title = (
        f"{stage.name.capitalize()}: {stage.predicted:.0%} were expected to leave, "
        f"{rate.value:.0%} did ({verdict})"
    )
    diagram, how = _diagram(is_churn, probability)
    note = how + f"{stage.metrics.n:,} customers."
    return drawn(diagram, f"reliability-{name}", title, note)


def distribution(
    is_churn: NDArray[np.bool_], probability: Floats, thresholds: Mapping[str, float]
) -> Figure:
    """How many customers got which probability: leavers upwards, stayers downwards."""
    edges = np.linspace(0, 1, 41)
    rows = [
        {"low": low, "high": high, "customers": sign * int(count), "outcome": outcome}
        for outcome, chosen, sign in (("left", is_churn, 1), ("stayed", ~is_churn, -1))
        for low, high, count in zip(
            edges, edges[1:], np.histogram(probability[chosen], edges)[0], strict=False
        )
    ]
    title = "All customers did the same"
    if is_churn.any() and not is_churn.all():
        left, stayed = (np.median(probability[rows]) for rows in (is_churn, ~is_churn))
        title = (
            f"Half of those who left had been given {left:.0%} or more; "
            f"half of those who stayed, {stayed:.0%} or less"
        )
    bars = (
        chart_of(rows)
        .mark_bar()
        .encode(
            x=alt.X("low:Q", bin="binned", **percent("Predicted churn probability", domain=(0, 1))),
            x2="high:Q",
            y=alt.Y("customers:Q", title="Customers: stayed below 0, left above",
                    axis=alt.Axis(labelExpr="format(abs(datum.value), ',')")),
            color=alt.Color("outcome:N", title="They then",
                            scale=alt.Scale(domain=["left", "stayed"], range=[ORANGE, SKY])),
        )
    )  # fmt: skip
    limits = [level(limit, "x") for limit in thresholds.values()]
    bands = ", ".join(f"{name} from {limit:.0%}" for name, limit in thresholds.items())
    note = f"The further apart the two hills, the more the model knows. Dashed: the bands, {bands}."
    return drawn(alt.layer(bars, *limits), "distribution", title, note)


def _diagram(is_churn: NDArray[np.bool_], probability: Floats) -> tuple[alt.LayerChart, str]:
    """The chart, and how to read it."""
    bins = int(np.clip(len(is_churn) // _ENOUGH_IN_BIN, _FEWEST_BINS, _MOST_BINS))
    rows = [b._asdict() for b in reliability_bins(is_churn, probability, bins)]
    base = chart_of(rows).encode(
        x=alt.X("probability:Q", **percent("Predicted churn probability", domain=(0, 1)))
    )
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        y=alt.Y("low:Q", **percent("Left (% of the group)", domain=(0, 1))), y2="high:Q"
    )
    dots = base.mark_point(size=60, filled=True, color=BLUE, opacity=1).encode(y="churn_rate:Q")
    diagram: alt.LayerChart = diagonal() + bars + dots
    how = f"{len(rows)} groups of equal size, with 95% intervals of the share that left. "
    return diagram, how
