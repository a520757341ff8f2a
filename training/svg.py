"""How a plot looks, and its way from Altair to SVG text without a network or JavaScript.

Text and axes take the page's colour (``currentColor``), so the same file reads on a light and on a
dark page; the series colours begin with those of Okabe & Ito, which colour-blind readers can tell
apart.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import vl_convert

COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"),
    *("#8C8C00", "#7F7F7F", "#8A5A00", "#7B52AB"),
)
WIDTH, HEIGHT = 460, 300


def chart_of(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """Return an empty chart of plain rows."""
    return alt.Chart(alt.InlineData(values=[dict(row) for row in rows]))


def diagonal() -> alt.Chart:
    """Return the dashed line from (0, 0) to (1, 1)."""
    ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    chart: alt.Chart = (
        chart_of(ends)
        .mark_line(strokeDash=[4, 4], strokeWidth=1, color="currentColor")
        .encode(x="x:Q", y="y:Q")
    )
    return chart


def date_axis(field: str, title: str) -> alt.X:
    """Return an axis of dates in UTC, so that no time zone moves one by a day."""
    return alt.X(
        field,
        title=title,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format="%Y-%m-%d", tickCount=4, labelOverlap=True),
    )


def unit_scale() -> alt.Scale:
    """Return the scale of a probability."""
    return alt.Scale(domain=[0, 1])


def to_svg(chart: alt.TopLevelMixin, name: str, *, height: int = HEIGHT) -> str:
    """Render `height` pixels high; ids get the plot's name, since all plots share one page."""
    text = {"labelColor": "currentColor", "titleColor": "currentColor", "labelFontSize": 12}
    config = {
        "background": None,
        # Browsers' fonts may be wider than the one that vl-convert measured.
        "padding": {"left": 24, "right": 12, "top": 6, "bottom": 6},
        "aria": False,
        "font": "system-ui, sans-serif",
        "axis": {**text, "titleFontWeight": "normal", "titleFontSize": 12, "titlePadding": 10,
                 "labelLimit": 260, "gridColor": "currentColor", "gridOpacity": 0.12,
                 "domainColor": "currentColor", "tickColor": "currentColor", "tickCount": 6},
        "legend": {**text, "orient": "bottom", "columns": 5, "titleFontSize": 12},
        "rule": {"color": "currentColor"},
        "view": {"stroke": None},
    }  # fmt: skip
    specification = chart.to_dict() | {"width": WIDTH, "height": height, "config": config}
    svg = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{name}-", svg)
