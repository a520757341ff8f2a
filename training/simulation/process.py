"""Customers live day by day: the generating process, compiled.

A day runs in this order: a campaign may reach the customer; they may buy; life, the complaint and
the offer each take one step; they may visit. `truth` integrates the same order with the same
functions, so the log and its truth cannot disagree.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.compiled import compiled
from churn.events import KIND_CODES
from training.simulation.mechanism import (
    BREWING,
    CONTACT,
    CONTACTABLE_DAYS,
    DRIFTING,
    GONE,
    IN_HAND,
    LOYAL,
    NEGLECTED,
    NO_COMPLAINT,
    NO_OFFER,
    REWARD,
    SOURED,
    Calendar,
    Mechanism,
)
from training.simulation.shoppers import Shoppers

EVENT_COLUMNS = ("customer", "day", "kind", "order", "case", "life_days", "detail")
STATE_COLUMNS = ("customer", "as_of", "life", "stage", "offer", "last_purchase", "complained")
LEAD_IN_DAYS = 30

_PURCHASE = KIND_CODES["purchase"]
_COMPLAINT = KIND_CODES["complaint"]
_RESOLVED = KIND_CODES["complaint_resolved"]
_VISIT = KIND_CODES["visit"]
_OFFERS = (-1, KIND_CODES["contact"], KIND_CODES["reward"])
_NEVER = -1_000_000


class Lives(NamedTuple):
    """What a chunk of customers did, bare, and how they stood at each `as_of`.

    Attributes
    ----------
    events : ndarray of float64, shape (n_events, 7)
        `EVENT_COLUMNS`, by customer and then in time. `life_days` is the number of days spent
        drifting, -1 for a customer who does not drift. `detail` is 1 for a purchase that went
        wrong and for a complaint closed well. Begins `LEAD_IN_DAYS` before the log, so that what
        follows a purchase (a return, a review) is there from the log's first day.
    states : ndarray of int64, shape (n_states, 7)
        `STATE_COLUMNS` of customers with a purchase in the log within `CONTACTABLE_DAYS` before
        `as_of`; `complained` is the day of the last complaint still unresolved, -1 if none.
    """

    events: NDArray[np.float64]
    states: NDArray[np.int64]


@compiled
def buying_intensity(
    day: int, last_purchase: int, scale: float, shape: float, clock: NDArray[np.float64]
) -> float:
    """Weibull hazard of a loyal, content customer, integrated over one day.

    The gap since `last_purchase` runs in operational time, so seasons stretch and shrink it.
    """
    start = clock[day] - clock[last_purchase + 1]
    end = clock[day + 1] - clock[last_purchase + 1]
    return float((end / scale) ** shape - (start / scale) ** shape)


@compiled
def turns(life: int, stage: int, winback: float, annoyance: float, mechanism: Mechanism) -> float:
    """Probability that an offer turns a drifting customer loyal or a loyal one away."""
    if life == DRIFTING:
        return float(min(1.0, winback * mechanism.winback_by_complaint[stage]))
    if life == LOYAL:
        return float(min(1.0, annoyance * mechanism.annoyance_by_complaint[stage]))
    return 0.0


@compiled
def _arm(chance: float, mechanism: Mechanism) -> int:
    if chance < mechanism.campaign_share[CONTACT]:
        return CONTACT
    if chance < mechanism.campaign_share[CONTACT] + mechanism.campaign_share[REWARD]:
        return REWARD
    return NO_OFFER


@compiled
def _next_life(chance: float, life: int, stage: int, drift: float, mechanism: Mechanism) -> int:
    leave = mechanism.leave_by_life[life] + mechanism.leave_by_complaint[stage]
    if chance < leave:
        return GONE
    if life == LOYAL and chance < leave + drift * mechanism.drift_by_complaint[stage]:
        return DRIFTING
    if life == DRIFTING and chance < leave + mechanism.recover:
        return LOYAL
    return life


@compiled
def _next_stage(chance: float, stage: int, mechanism: Mechanism) -> int:
    after = 0
    reached = mechanism.complaint_step[stage, 0]
    while after < stage and chance >= reached:
        after += 1
        reached += mechanism.complaint_step[stage, after]
    return after


@compiled
def _grown(table: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    if used + room <= len(table):
        return table
    larger = np.empty((2 * len(table) + room, table.shape[1]), table.dtype)
    larger[:used] = table[:used]
    return larger


@compiled
def _live(
    rng: np.random.Generator, shoppers: Shoppers, mechanism: Mechanism, calendar: Calendar
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    events = np.empty((16_384, 7), np.float64)
    states = np.empty((4_096, 7), np.int64)
    n_events = 0
    n_states = 0
    logged_from = calendar.log_start - LEAD_IN_DAYS
    for customer in range(len(shoppers.scale)):
        first_event = n_events
        first_state = n_states
        in_log = False
        while not in_log:  # a life that never shows in the log is lived again
            n_events = first_event
            n_states = first_state
            joined = int(rng.random() * calendar.end)
            life = LOYAL
            stage = NO_COMPLAINT
            offer = NO_OFFER
            last = _NEVER
            drifting_since = _NEVER
            orders = 0
            cases = 0
            wrong_order = -1
            complained = -1  # day of the last complaint still open
            forgotten = -1  # the same, of the last that will stay open for ever
            asked = 0
            for day in range(joined, calendar.end):
                events = _grown(events, n_events, 5)
                logged = 1 if day >= logged_from else 0

                while asked < len(calendar.as_of) and calendar.as_of[asked] <= day:
                    eligible_from = max(calendar.log_start, day - CONTACTABLE_DAYS)
                    if calendar.as_of[asked] == day and last >= eligible_from:
                        states = _grown(states, n_states, 1)
                        states[n_states] = (customer, asked, life, stage, offer, last, complained)
                        n_states += 1
                    asked += 1

                if calendar.is_campaign[day] and day - last <= CONTACTABLE_DAYS:
                    sent = _arm(rng.random(), mechanism)
                    if sent != NO_OFFER:
                        offer = sent
                        winback = shoppers.winback[customer, sent]
                        annoyance = shoppers.annoyance[customer, sent]
                        if rng.random() < turns(life, stage, winback, annoyance, mechanism):
                            life = LOYAL if life == DRIFTING else DRIFTING
                            drifting_since = day
                        events[n_events] = (customer, day, _OFFERS[sent], -1, -1, -1, 0)
                        n_events += logged

                buys = day == joined
                if not buys and life != GONE:
                    scale = shoppers.scale[customer]
                    shape = shoppers.shape[customer]
                    intensity = buying_intensity(day, last, scale, shape, calendar.clock)
                    intensity *= mechanism.pace_by_life[life] * mechanism.pace_by_complaint[stage]
                    intensity *= shoppers.lift[customer, offer]
                    buys = rng.random() < 1.0 - math.exp(-intensity)
                drifting = day - drifting_since if life == DRIFTING else -1
                if buys:
                    last = day
                    wrong = 1 if rng.random() < shoppers.bad_order[customer] else 0
                    events[n_events] = (customer, day, _PURCHASE, orders, -1, drifting, wrong)
                    n_events += logged
                    in_log = in_log or day >= calendar.log_start
                    if wrong == 1 and (stage == NO_COMPLAINT or stage == SOURED):
                        stage = BREWING
                        wrong_order = orders
                    orders += 1
                    if day == joined and shoppers.one_time[customer]:
                        life = GONE

                if life != GONE:
                    before = life
                    drift = shoppers.drift[customer]
                    life = _next_life(rng.random(), life, stage, drift, mechanism)
                    if life == DRIFTING and before == LOYAL:
                        drifting_since = day

                if stage != NO_COMPLAINT:
                    after = _next_stage(rng.random(), stage, mechanism)
                    if stage == BREWING and after == IN_HAND:
                        complained = day
                        events[n_events] = (customer, day, _COMPLAINT, wrong_order, cases, -1, 0)
                        n_events += logged
                    elif stage == NEGLECTED and after == NO_COMPLAINT:
                        forgotten = complained
                        cases += 1
                    elif stage >= NEGLECTED and after < NEGLECTED:
                        complained = forgotten
                        well = 1 if after == NO_COMPLAINT else 0
                        events[n_events] = (customer, day, _RESOLVED, wrong_order, cases, -1, well)
                        n_events += logged
                        cases += 1
                    stage = after

                if offer != NO_OFFER and rng.random() < mechanism.offer_fades[offer]:
                    offer = NO_OFFER

                visits = shoppers.visits[customer] * mechanism.visits_by_life[life]
                if rng.random() < visits * mechanism.visits_by_offer[offer]:
                    events[n_events] = (customer, day, _VISIT, -1, -1, drifting, 0)
                    n_events += logged
    return events[:n_events].copy(), states[:n_states].copy()


def live(
    rng: np.random.Generator, shoppers: Shoppers, mechanism: Mechanism, calendar: Calendar
) -> Lives:
    """Let a chunk of customers live from the day they join to the end of the log.

    Everybody joins on a day drawn uniformly from the shop's opening to the log's end, and buys on
    that day. Whoever has no purchase in the log lives again from another day: a log knows only
    those who are in it. This leaves the truth untouched, which is asked only of customers who
    already have a purchase in the log.
    """
    return Lives(*_live(rng, shoppers, mechanism, calendar))
