"""Learn from earlier dates how far the probabilities of a whole date may be off."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from churn.calibration import Calibration
from churn.reliability import Reliability
from training.calibrate import Dated
from training.shift import shift

MIN_DATES = 2
MIN_OF_EACH_CLASS = 20


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
