"""Learn from earlier dates how far the probabilities of a whole date may be off."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

from churn.calibration import Calibration
from churn.compiled import Booleans, Floats
from churn.reliability import Reliability
from training.calibrate import Dated

MIN_DATES = 2
MIN_OF_EACH_CLASS = 20
MOST_SHIFT = 5.0  # in log-odds; nobody's


def learn_reliability(earlier: Sequence[Dated], calibration: Calibration) -> Reliability:
    """The 95% interval for the shift of the odds on a date to come.

    Each earlier date gives one shift: what all odds would have to be multiplied by for the mean
    prediction to be the realised churn rate. They are taken as normal around none, with the
    Student quantile that so few of them ask for.

    Parameters
    ----------
    earlier : sequence of Dated
        Dates that the boosters had not seen.
    calibration : Calibration
        The map that will be applied.
    """
    return Reliability(
        one_time=_half_width(earlier, calibration, one_time=True),
        repeat=_half_width(earlier, calibration, one_time=False),
    )


def shift(probability: Floats, is_churn: Booleans) -> float:
    """By how much the log-odds of all were off: realised minus predicted, on average."""
    log_odds = np.log(probability / (1.0 - probability))

    def excess(by: float) -> float:
        return float((1.0 / (1.0 + np.exp(-log_odds - by))).mean() - is_churn.mean())

    if excess(-MOST_SHIFT) > 0.0 or excess(MOST_SHIFT) < 0.0:
        return float(np.sign(is_churn.mean() - probability.mean())) * MOST_SHIFT
    return float(brentq(excess, -MOST_SHIFT, MOST_SHIFT))


def _half_width(
    earlier: Sequence[Dated], calibration: Calibration, *, one_time: bool
) -> float | None:
    shifts = []
    for date in earlier:
        theirs = date.is_one_time == one_time
        churned = int(date.is_churn[theirs].sum())
        if min(churned, int(theirs.sum()) - churned) >= MIN_OF_EACH_CLASS:
            shifts.append(shift(calibration.apply(date.margin[theirs]), date.is_churn[theirs]))
    if len(shifts) < MIN_DATES:
        return None
    deviation = float(np.sqrt(np.mean(np.square(shifts))))
    return float(student.ppf(0.975, len(shifts))) * deviation
