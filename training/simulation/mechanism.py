"""Every constant of the simulated shop, and the states that a customer passes through.

The constants are frozen. They were drawn once, as round numbers a shopkeeper would not find odd,
with no look at what any retention policy assumes; a model or a policy judged on this shop would be
judged on itself if they were tuned to it. Later work may add to them, not change them.

Time runs in days. A customer's state at midnight is a Markov chain over (life, complaint stage,
offer on their mind) plus the days since the last purchase. Nothing but a purchase can start a
complaint, so *while there is no purchase* the chain is small and runs forward by itself: that is
what makes the true probability of no purchase a finite sum instead of an estimate.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOYAL, DRIFTING, GONE = 0, 1, 2
"""Life. Who drifts buys less, spends less, visits less; who is gone never buys again."""

NO_COMPLAINT, SOURED, NEGLECTED, IN_HAND, BREWING = 0, 1, 2, 3, 4
"""Stages of a complaint, numbered so that time alone never raises the number.

Brewing: the order went wrong, nobody has said so yet. In hand: filed, somebody works on it.
Neglected: filed and forgotten by the shop. Soured: closed badly or too late. A complaint closed
well leaves nothing behind.
"""

NO_OFFER, CONTACT, REWARD = 0, 1, 2
"""The retention offer on a customer's mind: none, a message, or a reward."""

BURN_IN_DAYS = 730
"""The shop opened this long before the log begins, so the log has no odd beginning."""

CONTACTABLE_DAYS = 180
"""Campaigns, and the truth file, leave out whoever bought nothing for longer than this."""

HORIZONS_DAYS = (30, 60, 90)
"""Horizons of the truth file; the effect of offers is told for `EFFECT_HORIZON_DAYS`."""

EFFECT_HORIZON_DAYS = 60

ANNUAL_SWING = 0.08
ANNUAL_PEAK_DAY = 150
DECEMBER_LIFT = 0.20
WEEKDAY_PACE = (0.95, 0.90, 0.90, 0.95, 1.10, 1.20, 1.00)
"""Pace of buying: a mild annual wave that peaks in late May, 10-30 December a fifth busier, and
the days from Monday to Sunday."""


class Mechanism(NamedTuple):
    """Daily probabilities and multipliers that all customers share.

    Attributes
    ----------
    pace_by_life : ndarray, shape (2,)
        Multiplier of the buying intensity of a loyal and of a drifting customer.
    pace_by_complaint, drift_by_complaint : ndarray, shape (5,)
        Multipliers of the buying intensity and of the probability of starting to drift.
    leave_by_life : ndarray, shape (2,)
        Daily probability of leaving for good without a complaint.
    leave_by_complaint : ndarray, shape (5,)
        What a complaint adds to it.
    recover : float
        Daily probability that a drifting customer becomes loyal again.
    complaint_step : ndarray, shape (5, 5)
        Daily probability of going from one complaint stage (row) to another (column).
    offer_fades : ndarray, shape (3,)
        Daily probability that an offer is forgotten.
    campaign_share : ndarray, shape (3,)
        Randomised arms of a campaign, drawn anew for every customer on the first of each month.
    winback_by_complaint, annoyance_by_complaint : ndarray, shape (5,)
        Multipliers of an offer's power to bring a drifting customer back, and to put a loyal one
        off.
    visits_by_life : ndarray, shape (3,)
        Multiplier of a customer's visits.
    visits_by_offer : ndarray, shape (3,)
        The same, by the offer on their mind.
    """

    pace_by_life: NDArray[np.float64]
    pace_by_complaint: NDArray[np.float64]
    drift_by_complaint: NDArray[np.float64]
    leave_by_life: NDArray[np.float64]
    leave_by_complaint: NDArray[np.float64]
    recover: float
    complaint_step: NDArray[np.float64]
    offer_fades: NDArray[np.float64]
    campaign_share: NDArray[np.float64]
    winback_by_complaint: NDArray[np.float64]
    annoyance_by_complaint: NDArray[np.float64]
    visits_by_life: NDArray[np.float64]
    visits_by_offer: NDArray[np.float64]


MECHANISM = Mechanism(
    #                              loyal  drifting
    pace_by_life=np.array([1.00, 0.50]),
    #                          none  soured neglected in hand brewing
    pace_by_complaint=np.array([1.00, 0.90, 0.60, 0.80, 1.00]),
    drift_by_complaint=np.array([1.00, 2.00, 3.00, 1.50, 1.00]),
    leave_by_life=np.array([0.0005, 0.0080]),
    leave_by_complaint=np.array([0.0000, 0.0100, 0.0600, 0.0200, 0.0000]),
    recover=0.006,
    complaint_step=np.array(
        [
            [1.000, 0.000, 0.000, 0.000, 0.000],
            [0.012, 0.988, 0.000, 0.000, 0.000],
            [0.008, 0.010, 0.982, 0.000, 0.000],
            [0.070, 0.030, 0.060, 0.840, 0.000],
            [0.000, 0.000, 0.000, 0.300, 0.700],
        ]
    ),
    #                      none  contact reward
    offer_fades=np.array([0.00, 0.10, 0.05]),
    campaign_share=np.array([0.75, 0.15, 0.10]),
    #                             none  soured neglected in hand brewing
    winback_by_complaint=np.array([1.0, 0.5, 0.0, 0.0, 1.0]),
    annoyance_by_complaint=np.array([1.0, 2.0, 4.0, 3.0, 1.0]),
    #                          loyal drifting gone
    visits_by_life=np.array([1.00, 0.70, 0.25]),
    visits_by_offer=np.array([1.0, 1.3, 1.3]),
)


class Calendar(NamedTuple):
    """The days of a simulation; day 0 is the shop's first, long before the log begins.

    Attributes
    ----------
    clock : ndarray of float64, shape (n_days + longest horizon + 1,)
        Operational time at the start of each day: busy days pass faster.
    is_campaign : ndarray of bool
        Whether a campaign is sent on that day.
    log_start, end : int
        First day of the log and the day after its last.
    as_of : ndarray of int64
        Days whose truth is asked for, ascending.
    """

    clock: NDArray[np.float64]
    is_campaign: NDArray[np.bool_]
    log_start: int
    end: int
    as_of: NDArray[np.int64]


def calendar(
    log_start: np.datetime64, log_end: np.datetime64, as_of: NDArray[np.datetime64]
) -> Calendar:
    """Lay out the days from the shop's opening to the longest horizon after the log's end."""
    day = np.timedelta64(1, "D")
    opening = log_start - BURN_IN_DAYS * day
    days = np.arange(opening, log_end + max(HORIZONS_DAYS) * day)
    day_of_year = (days - days.astype("datetime64[Y]")).astype(np.int64)
    day_of_month = (days - days.astype("datetime64[M]")).astype(np.int64) + 1
    month = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    wave = 1.0 + ANNUAL_SWING * np.cos(2.0 * np.pi * (day_of_year - ANNUAL_PEAK_DAY) / 365.25)
    is_busy = (month == 12) & (day_of_month >= 10) & (day_of_month <= 30)
    pace = wave * np.where(is_busy, 1.0 + DECEMBER_LIFT, 1.0) * np.array(WEEKDAY_PACE)[weekday]
    return Calendar(
        clock=np.concatenate([[0.0], np.cumsum(pace)]),
        is_campaign=day_of_month == 1,
        log_start=BURN_IN_DAYS,
        end=int((log_end - opening) / day),
        as_of=((as_of - opening) / day).astype(np.int64),
    )
