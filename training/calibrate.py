"""Choose the number of trees and the calibration by evidence on later dates.

For each of the latest labelled dates a booster is fitted on labels that had ended by then and
scores that date: rows that fitted nothing of it. More trees than the fewest are kept only if they
surely lowered the log loss, and on each of these dates: one date's base rate misleads. Then the
maps compete by the same rule, each fitted on the dates before the one that it is judged on. "None"
is the simplest and often the best. The map that wins is fitted on all of these dates, on margins of
boosters that had not seen them, so the published booster need not leave any label out. Last, a
shift of all odds by as much as the same season was off a year before: kept if it surely helped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.calibration import Calibration
from churn.compiled import Booleans, Floats
from churn.events import MICROSECONDS_PER_DAY
from training.boost import STAGES
from training.calendar import CALIBRATION_DATES
from training.maps import MAPS
from training.shift import shift
from training.snapshots import Snapshots

MIN_ROWS = 500
MIN_DATES = 2
RESAMPLES = 500
YEAR = 365 * MICROSECONDS_PER_DAY
NEAR = 35 * MICROSECONDS_PER_DAY  # a month on either side steadies the figure
DAYS_OFF = 3 * MICROSECONDS_PER_DAY  # months differ in length


@dataclass(frozen=True, slots=True)
class Dated:
    """An earlier date, predicted by a booster whose labels had ended by then.

    Attributes
    ----------
    as_of : int
        Microseconds since 1970-01-01 UTC.
    is_churn, is_one_time : ndarray of bool, shape (n,)
        What became of the customers, and whether they had bought on one day only.
    next_purchase_days : ndarray of float64, shape (n,)
        As in `Snapshots`.
    margin : ndarray of float64, shape (n,)
        Log-odds at the chosen number of trees, before calibration.
    customer_id : ndarray of object, shape (n,)
        Identifiers.
    """

    as_of: int
    is_churn: Booleans
    is_one_time: Booleans
    next_purchase_days: Floats
    margin: Floats
    customer_id: NDArray[np.object_]

    @property
    def probability(self) -> Floats:
        """Before any calibration, shape (n,)."""
        return Calibration().apply(self.margin)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the later dates said.

    Attributes
    ----------
    n_trees : int
        How many trees to keep.
    calibration : Calibration
        The map.
    season : float
        Shift of all log-odds after the map, as a year ago; 0 where that was not surely better.
    evidence : str
        Why, with the figures.
    earlier : tuple of Dated
        The dates that told, newest first.
    """

    n_trees: int
    calibration: Calibration
    season: float
    evidence: str
    earlier: tuple[Dated, ...] = field(default=(), compare=False)


def choose(
    snapshots: Snapshots,
    window: int,
    margins: Callable[[int, Snapshots], Floats],
    seed: int,
) -> Choice:
    """Choose the number of trees, then among no map, Platt's, the beta map and the isotonic one.

    Parameters
    ----------
    snapshots : Snapshots
        Labelled rows.
    window : int
        Lead time and horizon together, in microseconds.
    margins : callable
        Given a date and rows, their log-odds, shape (n, n_stages), by a booster whose labels had
        ended by that date.
    seed : int
        Of the bootstrap.
    """
    rows, staged = _later_dates(snapshots, window, margins)
    if len(rows) < MIN_DATES:
        return Choice(
            STAGES[0],
            Calibration(),
            0.0,
            "none: too few later dates to compare calibrations on",
            tuple(_dated(there, m[:, 0]) for there, m in zip(rows, staged, strict=True)),
        )
    stage, trees = _fewest_trees(rows, staged, seed)
    earlier = tuple(_dated(there, m[:, stage]) for there, m in zip(rows, staged, strict=True))
    if len(earlier) < CALIBRATION_DATES:
        calibration, maps = Calibration(), "none: too few later dates to compare calibrations on"
    else:
        calibration, maps = _compete(earlier, seed)
    made_at = max(snapshots.dates) + window

    def a_year_before(date: int) -> float | None:
        then = _around(snapshots, date - YEAR, date - window)
        if not then:
            return None
        margin = np.concatenate([margins(date, rows)[:, stage] for rows in then])
        is_churn = np.concatenate([rows.is_churn for rows in then])
        return shift(calibration.apply(margin), is_churn)

    season, seasons = _season(earlier, calibration, a_year_before, made_at, seed)
    return Choice(STAGES[stage], calibration, season, f"{maps}. {trees}. {seasons}", earlier)


def better(usual: Choice, without: Choice, what: str, seed: int) -> tuple[Choice, bool]:
    """The choice to keep, and whether it is the usual one.

    Parameters
    ----------
    usual, without : Choice
        With the same later dates; the second made without something that is usually there.
    what : str
        Its name.
    seed : int
        Of the bootstrap.
    """
    losses = [
        [_losses(one.margin, one.is_churn, choice.calibration) for one in choice.earlier]
        for choice in (usual, without)
    ]
    if len(usual.earlier) < MIN_DATES:
        return usual, True
    gain = _gain(losses[0], losses[1], seed)
    kept = without if gain.sure else usual
    told = (
        f"{kept.evidence}. A young log: without {what} the log loss on {len(usual.earlier)} later "
        f"dates changed by {-gain.mean:+.4f} ({-gain.low:+.4f}), "
        f"{what} {'dropped' if gain.sure else 'kept'}"
    )
    return replace(kept, evidence=told), not gain.sure


def _dated(rows: Snapshots, margin: Floats) -> Dated:
    return Dated(
        as_of=int(rows.as_of[0]),
        is_churn=rows.is_churn,
        is_one_time=rows.is_one_time,
        next_purchase_days=rows.next_purchase_days,
        margin=np.ascontiguousarray(margin),
        customer_id=rows.customer_id,
    )


def _later_dates(
    snapshots: Snapshots, window: int, margins: Callable[[int, Snapshots], Floats]
) -> tuple[list[Snapshots], list[Floats]]:
    """The latest dates that a booster could be made for, newest first, and what it said there."""
    rows: list[Snapshots] = []
    staged: list[Floats] = []
    date = max(snapshots.dates)
    while len(rows) < CALIBRATION_DATES:
        before = snapshots.where(snapshots.as_of + window <= date)
        there = snapshots.at(date)
        if min(len(before), len(there)) < MIN_ROWS or _one_sided(before) or _one_sided(there):
            break
        rows.append(there)
        staged.append(margins(date, there))
        date = max(before.dates)
    return rows, staged


def _fewest_trees(
    rows: Sequence[Snapshots], staged: Sequence[Floats], seed: int
) -> tuple[int, str]:
    """The stage that lost least among those that surely beat the fewest trees, and the figures."""
    losses = [
        [_losses(m[:, at], there.is_churn) for there, m in zip(rows, staged, strict=True)]
        for at in range(len(STAGES))
    ]
    verdicts = [_gain(losses[0], richer, seed) for richer in losses]
    best = max(range(len(STAGES)), key=lambda at: verdicts[at].mean if verdicts[at].sure else 0.0)
    changes = ", ".join(
        f"{n} {-verdict.mean:+.4f}" for n, verdict in zip(STAGES[1:], verdicts[1:], strict=True)
    )
    return best, (
        f"{STAGES[best]} trees: change of the log loss on {len(rows)} later dates against "
        f"{STAGES[0]} trees: {changes}"
    )


def _compete(earlier: Sequence[Dated], seed: int) -> tuple[Calibration, str]:
    """The simplest map that no richer one surely beats, and the figures."""
    loss = {name: _out_of_time(name, earlier) for name in MAPS}
    best, figures = "none", []
    for name in list(MAPS)[1:]:
        gain = _gain(loss[best], loss[name], seed)
        verdict = "kept" if gain.sure else "dropped"
        figures.append(f"{name} {-gain.mean:+.4f} against {best} ({-gain.low:+.4f}), {verdict}")
        if gain.sure:
            best = name
    fitted = MAPS[best]([one.margin for one in earlier], [one.is_churn for one in earlier])
    return fitted, (
        f"{best}: change of the log loss on {len(earlier) - 1} later dates by {'; '.join(figures)} "
        "(in brackets the bound at 97.5%; kept if that is below zero and each date agrees)"
    )


class _Gain(NamedTuple):
    """Mean fall of the log loss over dates, its 2.5% bound, and whether it is beyond doubt."""

    mean: float
    low: float
    sure: bool


def _gain(simple: Sequence[Floats], rich: Sequence[Floats], seed: int) -> _Gain:
    gains = [old - new for old, new in zip(simple, rich, strict=True)]
    rng = np.random.default_rng(seed)
    resampled = [
        float(np.mean([part[rng.integers(len(part), size=len(part))].mean() for part in gains]))
        for _ in range(RESAMPLES)
    ]
    low = float(np.quantile(resampled, 0.025))
    sure = low > 0.0 and all(part.mean() > 0.0 for part in gains)
    return _Gain(float(np.mean([part.mean() for part in gains])), low, sure)


def _around(snapshots: Snapshots, date: int, labels_end_by: int) -> list[Snapshots]:
    """The snapshots within about a month of `date`, if one lies on either side of it or on it."""
    near = [at for at in snapshots.dates if abs(at - date) <= NEAR and at <= labels_end_by]
    if not near or min(near) > date + DAYS_OFF or max(near) < date - DAYS_OFF:
        return []
    return [snapshots.at(at) for at in near]


def _season(
    earlier: Sequence[Dated],
    calibration: Calibration,
    a_year_before: Callable[[int], float | None],
    made_at: int,
    seed: int,
) -> tuple[float, str]:
    """The shift that the same season asked for a year ago, if such shifts helped, and why."""
    then = [(one, a_year_before(one.as_of)) for one in earlier]
    known = [(one, by) for one, by in then if by is not None]
    now = a_year_before(made_at) if len(known) >= MIN_DATES else None
    if now is None:
        return 0.0, "No season: the log is too short to show that a year repeats"
    plain = [_losses(one.margin, one.is_churn, calibration) for one, _ in known]
    shifted = [_losses(one.margin, one.is_churn, calibration.shifted(by)) for one, by in known]
    gain = _gain(plain, shifted, seed)
    kept = gain.low > 0.0
    return now if kept else 0.0, (
        f"Season: shifting the log-odds as a year before changed the log loss on {len(known)} "
        f"later dates by {-gain.mean:+.4f} ({-gain.low:+.4f}), "
        f"{'kept' if kept else 'dropped'}; now it would be {now:+.3f}"
    )


def _out_of_time(name: str, earlier: Sequence[Dated]) -> list[Floats]:
    """Losses on each date but the oldest, by the map that all dates before it give."""
    losses = []
    for at in range(len(earlier) - 1):
        before = earlier[at + 1 :]
        fitted = MAPS[name]([one.margin for one in before], [one.is_churn for one in before])
        losses.append(_losses(earlier[at].margin, earlier[at].is_churn, fitted))
    return losses


def _one_sided(rows: Snapshots) -> bool:
    return bool(rows.is_churn.all() or not rows.is_churn.any())


def _losses(margin: Floats, is_churn: Booleans, calibration: Calibration | None = None) -> Floats:
    p = (calibration or Calibration()).apply(np.ascontiguousarray(margin))
    return -np.log(np.maximum(np.where(is_churn, p, 1.0 - p), 1e-15))
