"""How a plot looks, and its way from Altair to SVG text without a network or JavaScript.

Every plot is as wide as a phone is and grows with its column, so the same file reads on paper, on
a wide screen and in a hand. Text and axes take the page's colour (``currentColor``), so it reads on
a light and on a dark page. The series colours begin with those of Okabe & Ito, which colour-blind
readers can tell apart; whatever a colour tells, a dash, a shape or a word tells as well.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import altair as alt
import vl_convert

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"),
    *("#8C8C00", "#7F7F7F", "#8A5A00", "#7B52AB"),
)
BLUE, ORANGE, SKY = COLOURS[0], COLOURS[4], COLOURS[5]
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2, 1, 2, 1, 2])
WIDTH, HEIGHT = 420, 280
PLOT_WIDTH = 350  # of a panel among several, whose axes Vega does not fit into a width
INK = "currentColor"
LABEL_SEPARATION = 14  # dates are wider in a browser than vl-convert measured

_TEXT = {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12}
_CONFIG = {
    "background": None,
    # Browsers' fonts may be wider than the one that vl-convert measured.
    "padding": {"left": 8, "right": 14, "top": 6, "bottom": 6},
    "aria": False,
    "font": "system-ui, sans-serif",
    "axis": {**_TEXT, "titleFontWeight": "normal", "titlePadding": 8, "labelLimit": 200,
             "gridColor": INK, "gridOpacity": 0.12, "domainColor": INK, "domainOpacity": 0.5,
             "tickColor": INK, "tickOpacity": 0.5, "tickCount": 5},
    "axisX": {"labelFlush": False},
    "legend": {**_TEXT, "orient": "bottom", "columns": 3, "labelLimit": 160, "symbolSize": 90,
               "symbolStrokeWidth": 2, "titleFontWeight": "normal", "columnPadding": 30},
    "rule": {"color": INK},
    "text": {"color": INK, "fontSize": 12},
    "view": {"stroke": None},
    "concat": {"spacing": 6},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with what to see in it.

    Attributes
    ----------
    title : str
        The finding, with its figure.
    note : str
        How to read the plot.
    svg : str
        The plot; it carries both for those who hear it.
    """

    title: str
    note: str
    svg: str


def drawn(
    chart: alt.TopLevelMixin, name: str, title: str, note: str, *, height: int = HEIGHT
) -> Figure:
    """Render a chart of one panel `height` pixels high, or one of several that know their sizes.

    `name` tells the ids of this plot from those of the others on the page.
    """
    specification = chart.to_dict()
    if "vconcat" not in specification:
        specification |= {
            "width": WIDTH,
            "height": height,
            "autosize": {"type": "fit-x", "contains": "padding"},
        }
    specification["config"] = _CONFIG
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    name = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    words = (
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(note)}</desc>'
    )
    opening = f'<svg role="img" aria-labelledby="{name}-title {name}-desc" '
    svg = re.sub(r"^<svg ([^>]*)>", lambda tag: f"{opening}{tag[1]}>{words}", svg, count=1)
    return Figure(title, note, svg)


def chart_of(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """Return an empty chart of plain rows."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def diagonal() -> alt.Chart:
    """Return the dashed line from (0, 0) to (1, 1)."""
    return diagonal_to(1.0)


def diagonal_to(end: float) -> alt.Chart:
    """Return the dashed line from (0, 0) to (end, end)."""
    ends = [{"x": 0.0, "y": 0.0}, {"x": end, "y": end}]
    chart: alt.Chart = (
        chart_of(ends)
        .mark_line(strokeDash=[4, 4], strokeWidth=1, color=INK)
        .encode(x="x:Q", y="y:Q")
    )
    return chart


def level(value: float, channel: str) -> alt.Chart:
    """Return a dashed line at a value of ``"x"`` or ``"y"``."""
    chart: alt.Chart = (
        chart_of([{"level": value}]).mark_rule(strokeDash=[4, 4]).encode(**{channel: "level:Q"})
    )
    return chart


def percent(title: str, *, zero: bool = True, domain: tuple[float, float] | None = None) -> Any:
    """Return the title, axis and scale of a share, which reads as a percentage."""
    scale = alt.Scale(zero=zero) if domain is None else alt.Scale(domain=list(domain))
    return {"title": title, "axis": alt.Axis(format="~%"), "scale": scale}


def date_axis(field: str, title: str, days: int) -> alt.X:
    """Return an axis of dates in UTC, so that no time zone moves one by a day; `days` long."""
    return alt.X(
        field,
        title=title,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(
            format="%Y-%m" if days > 150 else "%Y-%m-%d",
            tickCount=4,
            labelOverlap="greedy",
            labelSeparation=LABEL_SEPARATION,
        ),
    )


def row_labels(rows: Iterable[Mapping[str, Any]], field: str, order: list[str]) -> alt.LayerChart:
    """Return words above the marks of each row, where long ones do not narrow the plot."""
    words = chart_of(rows).encode(
        x=alt.value(3),
        y=alt.Y(f"{field}:N", sort=order, axis=None),
        text=alt.Text(f"{field}:N"),
    )
    place: dict[str, Any] = {"align": "left", "baseline": "bottom", "dy": -7, "limit": WIDTH - 90}
    # No line behind them may strike the words through.
    chart: alt.LayerChart = words.mark_text(
        stroke="var(--paper, white)", strokeWidth=4, **place
    ) + words.mark_text(**place)
    return chart


def points(share: float) -> str:
    """Return a difference of two shares in percentage points, such as ``4.2 points``."""
    number = f"{abs(share) * 100:.1f}"
    return f"{number} point" if number == "1.0" else f"{number} points"
