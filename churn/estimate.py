"""How well a model does before anybody knows, from its own probabilities.

If a probability of .3 means that three in ten leave, the probabilities alone tell how many of the
pairs of a leaver and a stayer are ranked right, and how far that may be off by chance: confidence
based performance estimation. It rests on the calibration that it cannot question: realised
calibration tells later whether that held.

References
----------
NannyML's CBPE; the variance is that of a ratio of sums over independent outcomes, linearised in
each (the delta method).
"""

import math
from typing import NamedTuple

import numpy as np

from churn.compiled import Floats, Integers

_Z_95 = 1.959963984540054


class Estimate(NamedTuple):
    """An expected figure and its 95% interval, which is of the chance of the outcomes alone."""

    mean: float
    low: float
    high: float


def roc_auc(n: Integers, probability: Floats) -> Estimate | None:
    """The ROC AUC that customers of these probabilities will show.

    Parameters
    ----------
    n : ndarray of int64, shape (k,)
        How many customers have each probability.
    probability : ndarray of float64, shape (k,)
        Of churn, ascending, in [0, 1].

    Returns
    -------
    Estimate or None
        None where one of the outcomes cannot happen.

    Examples
    --------
    >>> roc_auc(np.array([100, 100]), np.array([0.2, 0.8])).mean.__round__(2)
    0.8
    """
    leave, stay = n * probability, n * (1.0 - probability)
    leavers, stayers = float(leave.sum()), float(stay.sum())
    pairs = leavers * stayers
    if pairs <= 0.0:
        return None
    # Of stayers ranked below each, and of leavers above: half of those of the same probability.
    below = np.cumsum(stay) - stay / 2.0
    above = leavers - np.cumsum(leave) + leave / 2.0
    auc = float((leave * below).sum()) / pairs
    # What it changes if one more of them leaves: pairs won as a leaver less those won as a stayer.
    moved = ((below - above) - auc * (stayers - leavers)) / pairs
    deviation = math.sqrt(float((n * probability * (1.0 - probability) * moved**2).sum()))
    return _estimate(auc, deviation, most=1.0)


def log_loss(n: Integers, probability: Floats) -> Estimate | None:
    """The log loss, in nats, that customers of these probabilities will show; None of nobody.

    Parameters
    ----------
    n, probability
        As for `roc_auc`.

    Examples
    --------
    >>> log_loss(np.array([10]), np.array([0.5])).mean.__round__(4)
    0.6931
    """
    total = int(n.sum())
    if total == 0:
        return None
    p = np.clip(probability, 1e-12, 1.0 - 1e-12)
    mean = float(-(n * (p * np.log(p) + (1.0 - p) * np.log1p(-p))).sum()) / total
    variance = float((n * p * (1.0 - p) * (np.log(p) - np.log1p(-p)) ** 2).sum()) / total**2
    return _estimate(mean, math.sqrt(variance), most=math.inf)


def _estimate(mean: float, deviation: float, most: float) -> Estimate:
    half = _Z_95 * deviation
    return Estimate(mean, max(mean - half, 0.0), min(mean + half, most))
