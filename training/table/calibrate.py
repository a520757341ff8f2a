"""Which capacity, and which map from its margins to probabilities: by rows that fitted nothing.

A capacity is judged with Platt's map, which takes away what over- or underfitting does to the
spread of the margins; the maps then compete on the best capacity. A map is judged on parts of the
rows that did not fit it, as a booster is, and a richer one has to be better by more than chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from churn.calibration import Calibration
from churn.compiled import Booleans, Floats, Integers
from training.maps import MAPS, Fit, platt

# Simplest first.
_NAMES = {"none": "no map", "platt": "Platt's map", "beta": "a beta map", "isotonic": "isotonic"}


@dataclass(frozen=True, slots=True)
class Decision:
    """How to make a model from these rows.

    Attributes
    ----------
    capacity : str
        One of `training.table.fit.CAPACITIES`.
    calibration : Calibration
        The map.
    evidence : str
        Why, with the figures.
    """

    capacity: str
    calibration: Calibration
    evidence: str


def decide(margins: Mapping[str, Floats], is_churn: Booleans, part: Integers) -> Decision:
    """Choose capacity and map.

    Parameters
    ----------
    margins : mapping of str to ndarray, shape (n,)
        Log-odds of each capacity by boosters that had not seen the row.
    is_churn : ndarray of bool, shape (n,)
        The label.
    part : ndarray of int64, shape (n,)
        At least two parts of the rows (folds, or dates), each with both outcomes.
    """
    by_capacity = {
        capacity: float(_losses(platt, margin, is_churn, part).mean())
        for capacity, margin in margins.items()
    }
    capacity = min(by_capacity, key=lambda one: by_capacity[one])
    margin = margins[capacity]
    losses = {name: _losses(MAPS[name], margin, is_churn, part) for name in _NAMES}
    best = "none"
    for name, loss in losses.items():
        gain = losses[best] - loss
        if gain.mean() > 2.0 * gain.std() / np.sqrt(len(gain)):
            best = name
    tried = "; ".join(f"{one} {loss:.4f}" for one, loss in by_capacity.items())
    maps = "; ".join(f"{_NAMES[name]} {loss.mean():.4f}" for name, loss in losses.items())
    return Decision(
        capacity,
        MAPS[best]([margin], [is_churn]),
        f"{_NAMES[best]}, on {capacity}; log loss on rows that fitted nothing: {maps} "
        f"(by capacity, with Platt's map: {tried})",
    )


def _losses(fit: Fit, margin: Floats, is_churn: Booleans, part: Integers) -> Floats:
    """Log loss of each row, with the map that the other parts fit."""
    p = np.empty(len(margin))
    for one in np.unique(part):
        there = part == one
        p[there] = fit([margin[~there]], [is_churn[~there]]).apply(margin[there])
    return -np.log(np.maximum(np.where(is_churn, p, 1.0 - p), 1e-15))
