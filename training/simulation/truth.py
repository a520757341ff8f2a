"""The true probability of no purchase, by exact backward integration of the process.

While a customer does not buy, (life, complaint stage, offer) is a small Markov chain, and a day's
buying intensity depends on it and on the days since the last purchase alone. Summing over the
chain's states from the horizon's end back to `as_of` gives P(no purchase in [as_of, as_of + H))
without sampling: exact but for rounding (about 1e-14). New complaints from orders gone wrong,
resolutions, leaving for good, and the campaigns within the horizon are all in the sum.
"""

import math

import numpy as np
from numpy.typing import NDArray

from churn.compiled import compiled
from training.simulation.mechanism import (
    CONTACT,
    CONTACTABLE_DAYS,
    EFFECT_HORIZON_DAYS,
    GONE,
    HORIZONS_DAYS,
    NO_OFFER,
    REWARD,
    Calendar,
    Mechanism,
)
from training.simulation.process import Lives, buying_intensity, turns
from training.simulation.shoppers import Shoppers

TRUTH_COLUMNS = (
    "churn_probability_30d",
    "churn_probability_60d",
    "churn_probability_90d",
    "contact_effect_60d",
    "reward_effect_60d",
)

_Chain = NDArray[np.float64]


@compiled
def _after_tonight(
    tomorrow: _Chain, life: int, stage: int, offer: int, drift: float, mechanism: Mechanism
) -> float:
    """Mean of `tomorrow` over the steps that life, complaint and offer take tonight."""
    leave = min(1.0, mechanism.leave_by_life[life] + mechanism.leave_by_complaint[stage])
    if life == 0:
        turn = drift * mechanism.drift_by_complaint[stage]
    else:
        turn = mechanism.recover
    turn = min(turn, 1.0 - leave)
    fades = mechanism.offer_fades[offer]
    mean = leave
    for after in range(stage + 1):
        step = mechanism.complaint_step[stage, after]
        if step > 0.0:
            stays = (1.0 - fades) * tomorrow[life, after, offer] + fades * tomorrow[life, after, 0]
            turned = (1.0 - fades) * tomorrow[1 - life, after, offer]
            turned += fades * tomorrow[1 - life, after, 0]
            mean += step * ((1.0 - leave - turn) * stays + turn * turned)
    return float(mean)


@compiled
def _given(
    today: _Chain,
    life: int,
    stage: int,
    offer: int,
    winback: float,
    annoyance: float,
    mechanism: Mechanism,
) -> float:
    """Probability of no purchase once an offer is sent this morning."""
    turn = turns(life, stage, winback, annoyance, mechanism)
    return float((1.0 - turn) * today[life, stage, offer] + turn * today[1 - life, stage, offer])


@compiled
def _integrate(
    states: NDArray[np.int64], shoppers: Shoppers, mechanism: Mechanism, calendar: Calendar
) -> NDArray[np.float64]:
    truth = np.empty((len(states), 5), np.float64)
    for row in range(len(states)):
        customer, asked, life_now, stage_now, offer_now, last = states[row, :6]
        if life_now == GONE:
            truth[row] = (1.0, 1.0, 1.0, 0.0, 0.0)
            continue
        as_of = calendar.as_of[asked]
        scale = shoppers.scale[customer]
        shape = shoppers.shape[customer]
        drift = shoppers.drift[customer]
        lift = shoppers.lift[customer]
        winback = shoppers.winback[customer]
        annoyance = shoppers.annoyance[customer]
        for which in range(len(HORIZONS_DAYS)):
            horizon = HORIZONS_DAYS[which]
            tomorrow = np.ones((2, stage_now + 1, 3))
            today = np.ones((2, stage_now + 1, 3))
            for day in range(as_of + horizon - 1, as_of - 1, -1):
                intensity = buying_intensity(day, last, scale, shape, calendar.clock)
                for life in range(2):
                    for stage in range(stage_now + 1):
                        pace = mechanism.pace_by_life[life] * mechanism.pace_by_complaint[stage]
                        for offer in range(3):
                            today[life, stage, offer] = math.exp(
                                -intensity * pace * lift[offer]
                            ) * _after_tonight(tomorrow, life, stage, offer, drift, mechanism)
                if day == as_of and horizon == EFFECT_HORIZON_DAYS:
                    for sent in (CONTACT, REWARD):
                        truth[row, 2 + sent] = (
                            _given(
                                today,
                                life_now,
                                stage_now,
                                sent,
                                winback[sent],
                                annoyance[sent],
                                mechanism,
                            )
                            - today[life_now, stage_now, offer_now]
                        )
                if calendar.is_campaign[day] and day - last <= CONTACTABLE_DAYS:
                    for life in range(2):
                        for stage in range(stage_now + 1):
                            for offer in range(3):
                                mean = (
                                    mechanism.campaign_share[NO_OFFER] * today[life, stage, offer]
                                )
                                for sent in (CONTACT, REWARD):
                                    mean += mechanism.campaign_share[sent] * _given(
                                        today,
                                        life,
                                        stage,
                                        sent,
                                        winback[sent],
                                        annoyance[sent],
                                        mechanism,
                                    )
                                tomorrow[life, stage, offer] = mean
                else:
                    tomorrow[:] = today
            truth[row, which] = tomorrow[life_now, stage_now, offer_now]
    return truth


def truth(
    lives: Lives, shoppers: Shoppers, mechanism: Mechanism, calendar: Calendar
) -> NDArray[np.float64]:
    """Integrate the process from each recorded state.

    Returns
    -------
    ndarray of float64, shape (n_states, 5)
        `TRUTH_COLUMNS`: P(no purchase) within each horizon, in [0, 1], given everything about the
        customer at `as_of`, seen in the log or not; and the change of the 60-day one, in
        [-1, 1], if the customer gets an offer on that morning instead of none. Below zero the
        offer keeps customers. Later campaigns run their random course in both cases.
    """
    return _integrate(lives.states, shoppers, mechanism, calendar)
