"""Whether customers bring what they were expected to."""

import altair as alt

from training.findings import MODEL
from training.svg import BLUE, Figure, chart_of, diagonal_to, drawn
from training.value.check import NAMES, ValueCheck


def tenths(check: ValueCheck, currency: str) -> Figure:
    """Realised against expected margin, by tenth of the customers."""
    rows = [
        {"expected": tenth.expected} | tenth.realised._asdict() for tenth in check.tenths(MODEL)
    ]
    off = sum(not row["low"] <= row["expected"] <= row["high"] for row in rows)
    ratio = check.ratio(MODEL)
    unit = f" ({currency})" if currency else ""
    title = (
        f"Of each 100 expected, {100 * ratio.value:.0f} came"
        + f"; {_count(off)} of {len(rows)} tenths of the customers lie off by more than chance"
    )
    note = (
        f"Mean margin over {check.days} days from {check.as_of} on, learnt from what was known by "
        f"then. Bars are 95% intervals. On the dashed line they brought what {NAMES[MODEL]} "
        "expected; below it less."
    )
    most = max(max(row["expected"], row["high"]) for row in rows)
    base = chart_of(rows).encode(
        x=alt.X("expected:Q", title=f"Expected margin{unit}", scale=alt.Scale(zero=True))
    )
    bars = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        y=alt.Y("low:Q", title=f"Realised margin{unit}"), y2="high:Q"
    )
    dots = base.mark_point(size=60, filled=True, color=BLUE, opacity=1).encode(y="value:Q")
    return drawn(diagonal_to(most) + bars + dots, "value-tenths", title, note)


def _count(n: int) -> str:
    return "none" if n == 0 else str(n)
