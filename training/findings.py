"""What follows from the facts about a model: computed once, printed by the page and the card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.groups import Group, group
from training.intervals import Bootstrap, Interval
from training.metrics import EceFloor, Metrics, cumulative, ece_floor, evaluate

if TYPE_CHECKING:
    from training.report_data import ReportData
    from training.value.worth import Part

MODEL = "keepwell"
LABELS = {
    MODEL: "Keepwell",
    "recency_lr": "Recency rule",
    "rfm_lr": "RFM rule",
    "bgnbd": "BG/NBD",
    "lightgbm_default": "LightGBM defaults",
    "logistic": "Logistic regression",
}
MOST_CATEGORIES, FEWEST_OF_CATEGORY = 8, 50


@dataclass(frozen=True, slots=True)
class Band:
    """Customers whose probability lies in [low, high), and how many of them left."""

    name: str
    low: float
    high: float
    customers: int
    churn_rate: float | None


@dataclass(frozen=True, slots=True)
class Findings:
    """What follows from a `ReportData`; models by name, ``keepwell`` first.

    Attributes
    ----------
    metrics : dict of str to Metrics
    intervals : dict of str to dict
        95% intervals of each model's ``roc_auc`` and ``log_loss``.
    differences : dict of str to dict
        The same of Keepwell minus each baseline.
    best_rule : str or None
        The baseline with the lowest log loss; None without baselines.
    floor : EceFloor
        ECE that Keepwell would show if its every probability were right.
    reached : dict of str to float
        Share of those who left whom each model puts among the riskiest fifth.
    stages, categories, dates : tuple of Group
        Keepwell on one-time and on repeat buyers, by favourite category (largest first, the small
        ones together) and on each date, oldest first; empty where the facts do not say.
    segments, losses : tuple of Group
        Keepwell by value segment and by loss category.
    bands : tuple of Band
        Highest first.
    """

    metrics: dict[str, Metrics]
    intervals: dict[str, dict[str, Interval | None]]
    differences: dict[str, dict[str, Interval | None]]
    best_rule: str | None
    floor: EceFloor
    reached: dict[str, float]
    stages: tuple[Group, ...]
    categories: tuple[Group, ...]
    dates: tuple[Group, ...]
    segments: tuple[Group, ...]
    losses: tuple[Group, ...]
    bands: tuple[Band, ...]

    @property
    def riskiest(self) -> float | None:
        """Share of the riskiest tenth that left; None where nobody did."""
        own = self.metrics[MODEL]
        return None if own.top_decile_lift is None else own.top_decile_lift * own.churn_rate

    def headline(self) -> str:
        """How good the model is against the best simple rule, in one sentence."""
        own = self.metrics[MODEL]
        if self.best_rule is None or self.riskiest is None:
            return f"Log loss {own.log_loss:.3f} on {own.n:,} customers it had not seen."
        difference = self.differences[self.best_rule]
        return (
            f"Of the riskiest tenth, {self.riskiest:.0%} left, against {own.churn_rate:.0%} of "
            f"all; next to the best simple rule ({label(self.best_rule)}) it ranks customers "
            f"{_verdict('ROC AUC', difference['roc_auc'], +1, 'equally well')} and its "
            f"probabilities are "
            f"{_verdict('log loss', difference['log_loss'], -1, 'equally good')}."
        )


def findings(data: "ReportData") -> Findings:
    """Derive every figure that the report and the model card print.

    Raises
    ------
    TooLittleData
        If there is no test row.
    """
    y = data.is_churn
    names = sorted(data.probabilities, key=lambda name: name != MODEL)
    models = {name: data.probabilities[name] for name in names}
    own = models[MODEL]
    metrics = {name: evaluate(y, p) for name, p in models.items()}
    bootstrap = Bootstrap(y, models, seed=data.seed)
    rules = [name for name in names if name != MODEL]
    return Findings(
        metrics=metrics,
        intervals={name: bootstrap.of(name) for name in names},
        differences={name: bootstrap.difference(MODEL, name) for name in rules},
        best_rule=min(rules, key=lambda name: metrics[name].log_loss, default=None),
        floor=ece_floor(own, data.seed),
        reached={name: reached(y, p, 0.2) for name, p in models.items()},
        stages=_stages(data, own),
        categories=_categories(data, own),
        dates=_dates(data, own, bootstrap.of(MODEL)),
        segments=_worth_parts(data, own, data.worth.segments if data.worth else ()),
        losses=_worth_parts(data, own, data.worth.losses if data.worth else ()),
        bands=_bands(y, own, data.thresholds),
    )


def label(model: str) -> str:
    """Return a model's name for people."""
    return LABELS.get(model, model)


def reached(is_churn: NDArray[np.bool_], probability: NDArray[np.float64], share: float) -> float:
    """Share of those who left among the riskiest `share` of customers; 0 where nobody left."""
    ranks, churners, _ = cumulative(is_churn, probability)
    missed = float(np.interp((1 - share) * len(is_churn), ranks, churners))
    return 1.0 - missed / float(churners[-1]) if churners[-1] else 0.0


def _stages(data: "ReportData", own: NDArray[np.float64]) -> tuple[Group, ...]:
    if data.is_one_time is None:
        return ()
    stages = {"one-time buyers": data.is_one_time, "repeat buyers": ~data.is_one_time}
    return tuple(
        group(name, data.is_churn[rows], own[rows], data.seed)
        for name, rows in stages.items()
        if rows.any()
    )


def _categories(data: "ReportData", own: NDArray[np.float64]) -> tuple[Group, ...]:
    if data.category is None:
        return ()
    known = np.flatnonzero(data.category != "")
    names, code, count = np.unique(
        data.category[known].astype(str), return_inverse=True, return_counts=True
    )
    largest = np.argsort(-count, kind="stable")
    shown = [at for at in largest[:MOST_CATEGORIES] if count[at] >= FEWEST_OF_CATEGORY]
    if len(shown) < 2:
        return ()
    parts = [(str(names[at]), known[code == at]) for at in shown]
    others = known[~np.isin(code, shown)]
    if len(others) >= FEWEST_OF_CATEGORY:
        parts.append((f"{len(names) - len(shown)} other categories together", others))
    return tuple(group(name, data.is_churn[rows], own[rows], data.seed) for name, rows in parts)


def _worth_parts(
    data: "ReportData", own: NDArray[np.float64], parts: Sequence["Part"]
) -> tuple[Group, ...]:
    return tuple(
        group(part.name, data.is_churn[part.rows], own[part.rows], data.seed) for part in parts
    )


def _dates(
    data: "ReportData", own: NDArray[np.float64], overall: Mapping[str, Interval | None]
) -> tuple[Group, ...]:
    if data.as_of is None:
        return ()
    parts = [(e.as_of, e.is_churn, e.probability) for e in data.earlier]
    for day in np.unique(data.as_of):
        rows = data.as_of == day
        parts.append((day.astype(date), data.is_churn[rows], own[rows]))
    groups = [
        group(day.isoformat(), y, p, data.seed)
        for day, y, p in sorted(parts, key=lambda part: part[0])
    ]
    loss = overall["log_loss"]
    if loss is not None and len(parts) == len(data.earlier) + 1:
        # The only test date is the whole test: one figure may not have two intervals.
        only = np.unique(data.as_of)[0].astype(date).isoformat()
        groups = [
            replace(one, roc_auc=overall["roc_auc"], log_loss=loss) if one.name == only else one
            for one in groups
        ]
    return tuple(groups)


def _bands(
    y: NDArray[np.bool_], p: NDArray[np.float64], thresholds: Mapping[str, float]
) -> tuple[Band, ...]:
    medium, high = thresholds["medium"], thresholds["high"]
    bands = []
    for name, low, top in (("high", high, 1.0), ("medium", medium, high), ("low", 0.0, medium)):
        rows = (p >= low) & ((p < top) | (name == "high"))
        rate = float(y[rows].mean()) if rows.any() else None
        bands.append(Band(name, low, top, int(rows.sum()), rate))
    return tuple(bands)


def _verdict(metric: str, difference: Interval | None, better: int, same: str) -> str:
    if difference is None:
        return "in no way that this test can tell apart"
    value, low, high = difference
    word = same if low <= 0 <= high else "better" if value * better > 0 else "worse"
    return f"{word} ({metric} {value:+.3f}, 95% interval {low:+.3f} to {high:+.3f})"
