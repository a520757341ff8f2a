"""What a report and a model card say: the facts they are given and what follows from them.

Whoever trained a model hands over plain values (`ReportData`); everything that can be derived is
derived here once (`Findings`), so that the page, the card and the manifest print the same figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.empc import CampaignProfit
from training.intervals import Bootstrap, Interval
from training.metrics import EceFloor, Metrics, ece_floor, evaluate
from training.verdicts import Gate, Grade

MODEL = "keepwell"
LABELS = {
    MODEL: "Keepwell",
    "recency_lr": "Recency rule",
    "rfm_lr": "RFM rule",
    "bgnbd": "BG/NBD",
    "lightgbm_default": "LightGBM defaults",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One date of the calendar and what it was used for."""

    as_of: date
    role: str
    customers: int
    churn_rate: float


@dataclass(frozen=True, slots=True)
class Importance:
    """What one feature contributed to the trees: its total gain."""

    feature: str
    family: str
    gain: float


@dataclass(frozen=True)
class ReportData:
    """A trained model and how it did on customers and dates it had not seen.

    Attributes
    ----------
    model_version : str
    created_at : datetime
    horizon_days, lead_time_days, inactivity_days, observation_window_days : int
        The problem, as in `keepwell.toml`.
    usability : tuple of str
        The lines of the data-usability report.
    calendar : tuple of Snapshot
        Every snapshot used; roles are ``training``, ``calibration`` and ``test``.
    is_churn : ndarray of bool, shape (n,)
        Outcome of each test row.
    as_of : ndarray of datetime64[D], shape (n,)
        Date of each test row.
    is_one_time : ndarray of bool, shape (n,)
        Whether the customer had bought on one day only.
    probabilities : mapping of str to ndarray, shape (n,)
        Churn probabilities of ``keepwell`` and of every baseline for the test rows.
    features : tuple of Importance
    families : mapping of str to float
        Mean absolute contribution of each reason family on the test rows, in log-odds.
    thresholds : mapping of str to float
        Lowest probability of the bands ``medium`` and ``high``.
    calibration : str
        The calibration layer that was chosen, and why.
    settings, libraries : mapping of str to str
    warnings : tuple of str
        What the reader should know before trusting the figures.
    data_fingerprint : str
    seed : int
        Of the bootstrap.
    gates : tuple of Gate
        What was asked before promotion, and the answers.
    grade : Grade or None
        The letter for a manager and why.
    empc : mapping of str to CampaignProfit
        Expected maximum profit of a retention campaign with each model, ``keepwell`` first.
    """

    model_version: str
    created_at: datetime
    horizon_days: int
    lead_time_days: int
    inactivity_days: int
    observation_window_days: int
    usability: tuple[str, ...]
    calendar: tuple[Snapshot, ...]
    is_churn: NDArray[np.bool_]
    as_of: NDArray[np.datetime64]
    is_one_time: NDArray[np.bool_]
    probabilities: Mapping[str, NDArray[np.float64]]
    features: tuple[Importance, ...]
    families: Mapping[str, float]
    thresholds: Mapping[str, float]
    calibration: str
    settings: Mapping[str, str] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    data_fingerprint: str = ""
    seed: int = 7
    gates: tuple[Gate, ...] = ()
    grade: Grade | None = None
    empc: Mapping[str, CampaignProfit] = field(default_factory=dict)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What to know before trusting the figures: warnings, and probabilities that are off."""
        ece, floor = self.findings.metrics[MODEL].ece, self.findings.floor
        if ece <= floor.p95:
            return self.warnings
        return (
            *self.warnings,
            f"The probabilities are off by {ece:.3f} on average, more than chance explains (up to "
            f"{floor.p95:.3f} in 95% of cases): rely on the order of customers rather than on the "
            "probabilities themselves.",
        )

    @property
    def target(self) -> str:
        """The question that the probability answers, in words."""
        wait = f", after {self.lead_time_days} days" if self.lead_time_days else ""
        return (
            f"a customer who bought in the last {self.inactivity_days} days "
            f"buys nothing in the next {self.horizon_days} days{wait}"
        )

    @cached_property
    def findings(self) -> "Findings":
        """What follows from these facts, computed once for all who print it."""
        return findings(self)


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
    by_date : dict of str to dict of date to Metrics
    by_stage : dict of str to Metrics
        Keepwell on one-time and on repeat buyers.
    bands : tuple of Band
        Highest first.
    """

    metrics: dict[str, Metrics]
    intervals: dict[str, dict[str, Interval | None]]
    differences: dict[str, dict[str, Interval | None]]
    best_rule: str | None
    floor: EceFloor
    by_date: dict[str, dict[date, Metrics]]
    by_stage: dict[str, Metrics]
    bands: tuple[Band, ...]

    def headline(self) -> str:
        """How good the model is against the best simple rule, in one sentence."""
        own = self.metrics[MODEL]
        if self.best_rule is None or own.top_decile_lift is None:
            return f"Log loss {own.log_loss:.3f} on {own.n:,} customers it had not seen."
        riskiest = own.top_decile_lift * own.churn_rate
        difference = self.differences[self.best_rule]
        return (
            f"Of the riskiest tenth, {riskiest:.0%} left, against {own.churn_rate:.0%} of all; "
            f"next to the best simple rule ({label(self.best_rule)}) it ranks customers "
            f"{_verdict('ROC AUC', difference['roc_auc'], +1, 'equally well')} and its "
            f"probabilities are "
            f"{_verdict('log loss', difference['log_loss'], -1, 'equally good')}."
        )


def findings(data: ReportData) -> Findings:
    """Derive every figure that the report and the model card print.

    Raises
    ------
    TooLittleData
        If there is no test row.
    """
    y = data.is_churn
    names = sorted(data.probabilities, key=lambda name: name != MODEL)
    models = {name: data.probabilities[name] for name in names}
    metrics = {name: evaluate(y, p) for name, p in models.items()}
    # A large test needs fewer resamples than patience: its intervals are narrow anyway.
    repeats = max(200, min(1000, 40_000_000 // len(y)))
    bootstrap = Bootstrap(y, models, seed=data.seed, repeats=repeats)
    rules = [name for name in names if name != MODEL]
    days = {day: data.as_of == day for day in np.unique(data.as_of)}
    stages = {"one-time buyers": data.is_one_time, "repeat buyers": ~data.is_one_time}
    return Findings(
        metrics=metrics,
        intervals={name: bootstrap.of(name) for name in names},
        differences={name: bootstrap.difference(MODEL, name) for name in rules},
        best_rule=min(rules, key=lambda name: metrics[name].log_loss, default=None),
        floor=ece_floor(models[MODEL], data.seed),
        by_date={
            name: {day.astype(date): evaluate(y[rows], p[rows]) for day, rows in days.items()}
            for name, p in models.items()
        },
        by_stage={
            stage: evaluate(y[rows], models[MODEL][rows])
            for stage, rows in stages.items()
            if rows.any()
        },
        bands=_bands(y, models[MODEL], data.thresholds),
    )


def label(model: str) -> str:
    """Return a model's name for people."""
    return LABELS.get(model, model)


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
