"""Management figures as lines for people, each with its definition."""

from collections.abc import Iterator

import numpy as np

from churn.retention import DEFINITIONS
from training.policy.retention import Retention

MONEY = ("revenue", "arpu", "lifetime_value")
UNITS = dict.fromkeys(MONEY, "money") | {
    "retention_rate": "%",
    "churn_rate": "%",
    "repeat_purchase_rate": "%",
    "lost_to_new": " ",
}


def retention_lines(found: Retention) -> Iterator[str]:
    """The figures of a period, each with its definition."""
    start, end = (str(np.datetime64(at, "us").astype("datetime64[D]")) for at in found.period[:2])
    yield (
        f"{start} to {end} (exclusive); a customer bought within {found.period.inactivity_days} "
        "days before"
    )
    for name, definition in DEFINITIONS.items():
        value = getattr(found.figures, name)
        if name == "cohorts":
            continue
        unit = UNITS.get(name, "")
        money = f" {found.currency}" if name in MONEY else ""
        shown = "-" if value is None else f"{value:,}" if unit == "" else f"{value:,.2f}"
        shown = shown if value is None else f"{shown}{money or unit}"
        yield f"{name:<22}{shown:>18}  {definition}"
    if found.lost_by is not None:
        for name, counts in found.lost_by.items():
            told = ", ".join(f"{kind} {n:,}" for kind, n in counts.most_common())
            yield f"lost by {name}: {told or '-'}"
    yield f"cohorts: {DEFINITIONS['cohorts']}"
    for row in found.figures.cohorts:
        shares = " ".join(f"{share:5.1f}" for share in row["bought"])  # type: ignore[attr-defined]
        yield f"  {row['month']} {row['customers']:>8,}  {shares}"
