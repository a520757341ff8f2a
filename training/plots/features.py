"""What the model looks at, and how risk goes with it in the feature's own units."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from training.metrics import wilson
from training.report_data import Driver
from training.svg import (
    BLUE,
    ORANGE,
    PLOT_WIDTH,
    Figure,
    chart_of,
    drawn,
    level,
    percent,
    row_labels,
)
from training.units import axis_title, in_words, spoken

Floats = NDArray[np.float64]

BINS = 10
FEWEST_IN_BIN = 10
MOST_CODES = 12


def importance(drivers: Sequence[Driver]) -> Figure:
    """Mean absolute contribution of the leading features."""
    first = drivers[0]
    rows = [
        {"feature": f"{driver.words} ({driver.family})", "moved": driver.importance}
        for driver in drivers
    ]
    title = (
        f"Most of all it looks at: {first.words}, which moves a customer's risk by "
        f"{first.importance:.2f} log-odds on average"
    )
    note = (
        "In brackets the kind of reason. Half a log-odds takes a risk of 50% to 62% or 38%. "
        "Evidence, not proof of a cause."
    )
    return _bars(rows, "feature", "importance", title, note)


def families(contributions: Mapping[str, float]) -> Figure:
    """Mean absolute contribution of each kind of reason."""
    ordered = sorted(contributions.items(), key=lambda item: -item[1])
    share = ordered[0][1] / sum(contributions.values())
    title = f"{ordered[0][0].capitalize()} moves risk most: {share:.0%} of all that is moved"
    rows = [{"family": name, "moved": value} for name, value in ordered]
    note = (
        "Features of one kind count together, so that related ones do not split a cause among them."
    )
    return _bars(rows, "family", "families", title, note)


def dependence(
    driver: Driver, is_churn: NDArray[np.bool_], probability: Floats, currency: str
) -> Figure | None:
    """Share that left, and effect on risk, along a feature's own values; None if it has one."""
    codes = _codes(driver)
    if codes is not None:
        return _by_code(driver, codes, is_churn, probability)
    return _by_value(driver, is_churn, probability, currency)


def _by_value(
    driver: Driver, is_churn: NDArray[np.bool_], probability: Floats, currency: str
) -> Figure | None:
    values = np.asarray(driver.values, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) == 0:
        return None
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)))
    if len(edges) < 2:
        return None
    bin_of = np.minimum(np.searchsorted(edges, values[known], side="right") - 1, len(edges) - 2)
    rows = []
    for at in range(len(edges) - 1):
        chosen = known[bin_of == at]
        if len(chosen) >= min(FEWEST_IN_BIN, len(known)):
            row = _judged(driver, chosen, is_churn, probability)
            one = bool((values[chosen] == values[chosen[0]]).all())
            middle = float(np.median(values[chosen]))
            words = in_words(middle, driver.unit, currency)
            rows.append(row | {"at": middle, "where": f"{'at' if one else 'around'} {words}"})
    if len({row["at"] for row in rows}) < 2:
        return None
    low, high = (f(rows, key=lambda row: row["left"]) for f in (min, max))
    title = (
        f"{_sentence(driver.words)}: {high['left']:.0%} left {high['where']}, "
        f"{low['left']:.0%} {low['where']}"
    )
    # The far tail is drawn at the edge, or a single customer would squeeze all others.
    first, last = float(values[known].min()), float(np.quantile(values[known], 0.975))
    last = max(last, rows[-1]["at"])
    sides = np.linspace(first, last, 41)
    if last - first <= 40 and (values[known] == np.round(values[known])).all():
        sides = np.arange(first, last + 2) - 0.5
        first, last = sides[0], sides[-1]
    counts, _ = np.histogram(np.minimum(values[known], last), sides)
    bars = [
        {"at": float(low), "to": float(high), "customers": int(n)}
        for low, high, n in zip(sides, sides[1:], counts, strict=False)
    ]
    scale = alt.Scale(domain=[float(first), float(last)], nice=False, zero=False)
    x = alt.X("at:Q", title=None, axis=alt.Axis(labels=False, ticks=False), scale=scale)
    own_axis = alt.X(
        "at:Q", bin="binned", title=axis_title(driver.words, driver.unit, currency), scale=scale,
        axis=alt.Axis(format="~%") if driver.unit == "share" else alt.Axis(),
    )  # fmt: skip
    rug = (
        chart_of(bars)
        .mark_bar(color=BLUE, opacity=0.45)
        .encode(x=own_axis, x2="to:Q",
                y=alt.Y("customers:Q", title="People", axis=alt.Axis(tickCount=1)))
        .properties(width=PLOT_WIDTH, height=44)
    )  # fmt: skip
    chart = alt.vconcat(_rates(rows, x), _effect(rows, x), rug)
    return drawn(chart, f"feature-{driver.name}", title, _note(driver, values, is_churn))


def _by_code(
    driver: Driver,
    codes: Mapping[str, NDArray[np.bool_]],
    is_churn: NDArray[np.bool_],
    probability: Floats,
) -> Figure | None:
    rows = [
        _judged(driver, np.flatnonzero(chosen), is_churn, probability)
        | {"code": f"{name} ({int(chosen.sum()):,} customers)", "name": name}
        for name, chosen in codes.items()
        if chosen.sum() >= FEWEST_IN_BIN
    ]
    if len(rows) < 2:
        return None
    low, high = (f(rows, key=lambda row: row["left"]) for f in (min, max))
    title = (
        f"{_sentence(driver.words)}: {high['left']:.0%} left where it is "
        f"{high['name']}, {low['left']:.0%} where it is {low['name']}"
    )
    order = [row["code"] for row in rows]
    base = chart_of(rows).encode(y=alt.Y("code:N", sort=order, axis=None))
    shares = percent("Left (dot, 95% interval), and predicted (diamond)", zero=False)
    bars = base.mark_rule(strokeWidth=3, color=BLUE).encode(x=alt.X("low:Q", **shares), x2="high:Q")
    dots = base.mark_point(size=80, filled=True, color=BLUE, opacity=1).encode(x="left:Q")
    diamonds = base.mark_point(
        size=80, filled=True, color=ORANGE, opacity=1, shape="diamond"
    ).encode(x="expected:Q")
    note = f"On average it moves a customer's risk by {driver.importance:.2f} log-odds."
    return drawn(
        bars + dots + diamonds + row_labels(rows, "code", order),
        f"feature-{driver.name}",
        title,
        note,
        height=38 * len(rows) + 10,
    )


def _judged(
    driver: Driver, rows: NDArray[np.int64], is_churn: NDArray[np.bool_], probability: Floats
) -> dict[str, Any]:
    low, high = wilson(int(is_churn[rows].sum()), len(rows))
    effect = driver.contribution[rows]
    effect = effect[~np.isnan(effect)]
    middle, least, most = (
        (float(effect.mean()), *(float(q) for q in np.quantile(effect, [0.1, 0.9])))
        if len(effect)
        else (0.0, 0.0, 0.0)
    )
    return {
        "left": float(is_churn[rows].mean()), "low": low, "high": high,
        "expected": float(probability[rows].mean()),
        "effect": middle, "least": least, "most": most,
    }  # fmt: skip


def _rates(rows: list[dict[str, Any]], x: alt.X) -> alt.LayerChart:
    base = chart_of(rows).encode(x=x)
    shares = percent("Left, predicted (%)", zero=False)
    line = base.mark_line(color=ORANGE, strokeDash=[5, 3]).encode(y=alt.Y("expected:Q", **shares))
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(y=alt.Y("low:Q"), y2="high:Q")
    dots = base.mark_point(size=50, filled=True, color=BLUE, opacity=1).encode(y="left:Q")
    chart: alt.LayerChart = (line + bars + dots).properties(width=PLOT_WIDTH, height=140)
    return chart


def _effect(rows: list[dict[str, Any]], x: alt.X) -> alt.LayerChart:
    base = chart_of(rows).encode(x=x)
    band = base.mark_area(opacity=0.2, color=BLUE).encode(
        y=alt.Y("least:Q", title="Effect (log-odds)", axis=alt.Axis(tickCount=3)), y2="most:Q"
    )
    line = base.mark_line(color=BLUE).encode(y="effect:Q")
    chart: alt.LayerChart = (level(0, "y") + band + line).properties(width=PLOT_WIDTH, height=90)
    return chart


def _note(driver: Driver, values: Floats, is_churn: NDArray[np.bool_]) -> str:
    note = f"On average it moves a customer's risk by {driver.importance:.2f} log-odds."
    missing = np.isnan(values)
    if missing.mean() >= 0.01:
        note += (
            f" For {missing.mean():.0%} of customers it is not known: "
            f"of these {is_churn[missing].mean():.0%} left."
        )
    return note


def _codes(driver: Driver) -> dict[str, NDArray[np.bool_]] | None:
    """Rows of each value where the values are names, not amounts; the largest first."""
    if driver.unit not in ("code", "category"):
        return None
    values = driver.values
    known = values != "" if values.dtype == object else ~np.isnan(values.astype(np.float64))
    names, counts = np.unique(values[known], return_counts=True)
    shown = names[np.sort(np.argsort(-counts, kind="stable")[:MOST_CODES])]
    return {spoken(driver.name, name): known & (values == name) for name in shown}


def _bars(rows: list[dict[str, Any]], field: str, name: str, title: str, note: str) -> Figure:
    order = [str(row[field]) for row in rows]
    bars = (
        chart_of(rows)
        .mark_bar(color=BLUE, height=9)
        .encode(
            x=alt.X("moved:Q", title="Mean movement of risk, up or down (log-odds)"),
            y=alt.Y(f"{field}:N", sort=order, axis=None),
        )
    )
    return drawn(bars + row_labels(rows, field, order), name, title, note, height=34 * len(rows))


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
