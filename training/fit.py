"""Fit one model from labelled snapshots: small trees, honest calibration, the curve over time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from churn.bundle import Model
from churn.curve import RiskCurve
from churn.errors import TooLittleData
from churn.events import MICROSECONDS_PER_DAY, Feed
from churn.population import Population
from training.boost import STAGES, Boosted, boost
from training.calendar import CALIBRATION_DATES, MAX_SNAPSHOTS
from training.calibrate import Choice, better, choose
from training.curve import fit_curve
from training.progress import Progress, Silent
from training.reliability import learn_reliability
from training.snapshots import Snapshots

MIN_ROWS = 100
MIN_OF_EACH_CLASS = 20
CURVE_ROWS = 100_000
YOUNG = 365 * MICROSECONDS_PER_DAY

Floats = NDArray[np.float64]
Boosters = dict[tuple[int, ...], Boosted]
"""By the dates learnt from, and before them whether ranks were seen (1) or not (0)."""


def fit_steps(snapshots: Snapshots, window: int) -> int:
    """Trees that `fit` grows at most, its unit of progress."""
    return ((2 if _is_young(snapshots, window) else 1) * CALIBRATION_DATES + 1) * STAGES[-1]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model and how it came about.

    Attributes
    ----------
    model : Model
        What a bundle holds.
    calibration : Choice
        Which calibration was chosen, on what evidence.
    dates : dict of int to str
        Each snapshot date used, and its role.
    gain : dict of str to float
        Total gain of each column that was not empty.
    settings : dict
        LightGBM's parameters.
    """

    model: Model
    calibration: Choice
    dates: dict[int, str]
    gain: dict[str, float]
    settings: dict[str, Any]


def fit(
    snapshots: Snapshots,
    reference: Snapshots,
    *,
    horizon_days: int,
    window: int,
    feeds: frozenset[Feed],
    seed: int,
    boosters: Boosters | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a model on labelled snapshots.

    Parameters
    ----------
    snapshots : Snapshots
        Labelled rows.
    reference : Snapshots
        The eligible customers at the date the model is made for; their labels are not looked at.
    horizon_days : int
        Length of the outcome window.
    window : int
        Lead time and horizon together, in microseconds.
    feeds : frozenset of Feed
        What the log has.
    seed : int
        Of bagging and masking.
    boosters : dict, optional
        Boosters of earlier calls on the same log; added to here.
    progress : Progress, optional
        Moved on by `fit_steps` in all.

    Raises
    ------
    TooLittleData
        Too few rows, or too few of one class.
    """
    check_enough(snapshots)
    known = {} if boosters is None else boosters
    progress = progress or Silent()
    left = fit_steps(snapshots, window)

    def boosted(labels_end_by: int, ranks: bool) -> tuple[tuple[int, ...], Boosted]:
        ended = [date for date in snapshots.dates if date + window <= labels_end_by]
        dates = tuple(ended[-MAX_SNAPSHOTS:])
        key = (int(ranks), *dates)
        nonlocal left
        if key not in known:
            left -= STAGES[-1]
            rows = snapshots.where(np.isin(snapshots.as_of, dates))
            known[key] = boost(rows, horizon_days, feeds, seed, ranks=ranks, progress=progress)
        return dates, known[key]

    def choice_of(ranks: bool) -> Choice:
        return choose(snapshots, window, lambda by, rows: boosted(by, ranks)[1].margins(rows), seed)

    choice, ranks = choice_of(ranks=True), True
    if _is_young(snapshots, window):
        # Everybody's history is short then, and a rank hides by how much.
        choice, ranks = better(choice, choice_of(ranks=False), "ranks", seed)
    made_at = max(snapshots.dates) + window
    dates, final = boosted(made_at, ranks)
    progress.advance(left)  # of the boosters that are known already, or that no date is left for
    lead = window - horizon_days * MICROSECONDS_PER_DAY
    return Fitted(
        model=Model(
            lightgbm_text=final.text(choice.n_trees),
            trees=final.trees(choice.n_trees),
            linear=final.linear(choice.n_trees),
            population=Population.fit(reference.X, horizon_days, final.schema.ranked),
            calibration=choice.calibration.shifted(choice.season),
            curve=_curve(
                snapshots.where(np.isin(snapshots.as_of, dates)),
                final,
                choice.n_trees,
                made_at - lead,
                horizon_days,
                seed,
            ),
            reliability=learn_reliability(choice.earlier, choice.calibration),
            schema=final.schema.with_norms(reference.X),
        ).against(reference.X),
        calibration=choice,
        dates=dict.fromkeys(dates, "training"),
        gain=final.gain(choice.n_trees),
        settings=final.settings | {"num_iterations": choice.n_trees},
    )


def predict(model: Model, X: Floats) -> Floats:
    """Calibrated probability of churn for input columns of shape (n, n_inputs)."""
    return model.calibration.apply(model.margin(model.columns(X)))


def _is_young(snapshots: Snapshots, window: int) -> bool:
    return max(snapshots.dates) + window - min(snapshots.dates) < YOUNG


def check_enough(snapshots: Snapshots) -> None:
    """Refuse to learn from too little.

    Raises
    ------
    TooLittleData
        Fewer than `MIN_ROWS` rows, or fewer than `MIN_OF_EACH_CLASS` of one outcome.
    """
    customers = len(set(snapshots.customer_id.tolist()))
    check_counts(len(snapshots), int(snapshots.is_churn.sum()), customers)


def check_counts(n: int, churned: int, customers: int) -> None:
    """Refuse to learn from `n` rows of so many customers, of which `churned` left.

    Raises
    ------
    TooLittleData
        As `check_enough`.
    """
    if n < MIN_ROWS:
        raise TooLittleData(
            f"only {n} rows (customers: {customers}) to learn from, at least {MIN_ROWS} are "
            "needed: bring more customers, or raise [problem] inactivity_days"
        )
    if churned < MIN_OF_EACH_CLASS or n - churned < MIN_OF_EACH_CLASS:
        few, way_out = ("stayed", "raise") if churned > n - churned else ("churned", "lower")
        raise TooLittleData(
            f"{churned} of {n} rows churned: too few customers {few} to learn the difference; "
            f"{way_out} [problem] horizon_days"
        )


def _curve(
    rows: Snapshots, booster: Boosted, n_trees: int, until: int, horizon_days: int, seed: int
) -> RiskCurve:
    """From the rows learnt from, each observed until `until` less its date.

    Two numbers a point cannot learn rows by heart, and many dates matter more than unseen ones:
    each of the few dates that no booster had seen carries its own season.
    """
    rng = np.random.default_rng(seed)
    share = min(1.0, CURVE_ROWS / len(rows))
    margin, next_purchase_days, observed_days = [], [], []
    for date in rows.dates:
        there = rows.at(date)
        chosen = rng.random(len(there)) < share
        margin.append(booster.margins(there, (n_trees,))[chosen, 0])
        next_purchase_days.append(there.next_purchase_days[chosen])
        observed_days.append(np.full(chosen.sum(), (until - date) / MICROSECONDS_PER_DAY))
    return fit_curve(
        np.concatenate(margin),
        np.concatenate(next_purchase_days),
        np.concatenate(observed_days),
        horizon_days,
    )
