"""The truth itself: closed forms where there are any, realised outcomes where there are none."""

import numpy as np
import pytest

from training.simulation.mechanism import (
    BREWING,
    CONTACT,
    DRIFTING,
    EFFECT_HORIZON_DAYS,
    GONE,
    HORIZONS_DAYS,
    IN_HAND,
    LOYAL,
    MECHANISM,
    NEGLECTED,
    NO_COMPLAINT,
    NO_OFFER,
    REWARD,
    SOURED,
    Calendar,
    Mechanism,
    calendar,
)
from training.simulation.process import Lives, live
from training.simulation.shoppers import Shoppers, draw
from training.simulation.truth import truth

DAY = np.timedelta64(1, "D")
AS_OF = np.array(["2025-02-01", "2025-05-01", "2025-08-01", "2025-11-02"], "datetime64[D]")

STILL = MECHANISM._replace(
    leave_by_life=np.zeros(2),
    leave_by_complaint=np.zeros(5),
    recover=0.0,
    campaign_share=np.array([1.0, 0.0, 0.0]),
)
"""A shop where nobody leaves and nobody is sent anything."""


def shoppers(n: int = 1, **traits: object) -> Shoppers:
    drawn = draw(np.random.default_rng(3), n)
    return drawn._replace(**traits)


def steady(n_days: int = 400) -> Calendar:
    """Days that all pass alike, the first of each thirty a campaign day, truth asked on day 100."""
    return Calendar(
        clock=np.arange(n_days + 1, dtype=float),
        is_campaign=np.arange(n_days) % 30 == 0,
        log_start=0,
        end=200,
        as_of=np.array([100]),
    )


def standing(life: int = LOYAL, stage: int = NO_COMPLAINT, last: int = 80) -> Lives:
    state = np.array([[0, 0, life, stage, NO_OFFER, last, -1]])
    return Lives(np.empty((0, 7)), state)


@pytest.fixture(scope="module")
def shop() -> tuple[Lives, Shoppers, np.ndarray, Calendar]:
    days = calendar(np.datetime64("2024-01-01"), np.datetime64("2026-02-01"), AS_OF)
    rng = np.random.default_rng(20)
    people = draw(rng, 20_000)
    lives = live(rng, people, MECHANISM, days)
    return lives, people, truth(lives, people, MECHANISM, days), days


def happened(lives: Lives, kind: int, start: np.ndarray, days: int) -> np.ndarray:
    """Whether each state's customer has an event of a kind in [start, start + days)."""
    events = lives.events[lives.events[:, 2] == kind]
    moments = np.sort(events[:, 0] * 10_000 + events[:, 1])
    first = lives.states[:, 0] * 10_000 + start
    return np.searchsorted(moments, first + days) > np.searchsorted(moments, first)


def deviations(outcome: np.ndarray, p: np.ndarray) -> float:
    """How many binomial standard errors the realised frequency is from the mean probability."""
    return float((outcome - p).sum() / np.sqrt((p * (1.0 - p)).sum()))


def followed(
    person: Shoppers, life: int, stage: int, offer: int, horizon: int, given: int | None = None
) -> float:
    """P(no purchase) by following every state forward, one day at a time, as the page tells it.

    `given` is the offer of the first morning; without it the campaigns alone decide.
    """
    shop_days, now, last = steady(), 100, 80
    weights = {(life, stage, offer): 1.0}

    def spread(step: object) -> None:
        nonlocal weights
        after: dict[tuple[int, int, int], float] = {}
        for state, weight in weights.items():
            for share, reached in step(*state):
                after[reached] = after.get(reached, 0.0) + weight * share
        weights = after

    def sent(kind: int):
        def step(life, stage, offer):
            if life == LOYAL:
                turn = person.annoyance[0, kind] * MECHANISM.annoyance_by_complaint[stage]
            elif life == DRIFTING:
                turn = person.winback[0, kind] * MECHANISM.winback_by_complaint[stage]
            else:
                turn = 0.0
            other = {LOYAL: DRIFTING, DRIFTING: LOYAL, GONE: GONE}[life]
            return [(turn, (other, stage, kind)), (1 - turn, (life, stage, kind))]

        return step

    def campaign(life, stage, offer):
        share = MECHANISM.campaign_share
        stays = [(share[NO_OFFER], (life, stage, offer))]
        for kind in (CONTACT, REWARD):
            stays += [(share[kind] * p, to) for p, to in sent(kind)(life, stage, offer)]
        return stays

    def night(life, stage, offer):
        leave = MECHANISM.leave_by_life[min(life, 1)] + MECHANISM.leave_by_complaint[stage]
        if life == LOYAL:
            turn = person.drift[0] * MECHANISM.drift_by_complaint[stage]
            lives = {GONE: leave, DRIFTING: turn, LOYAL: 1 - leave - turn}
        elif life == DRIFTING:
            lives = {
                GONE: leave,
                LOYAL: MECHANISM.recover,
                DRIFTING: 1 - leave - MECHANISM.recover,
            }
        else:
            lives = {GONE: 1.0}
        fades = MECHANISM.offer_fades[offer]
        return [
            (p * MECHANISM.complaint_step[stage, to] * q, (lived, to, left))
            for lived, p in lives.items()
            for to in range(5)
            for left, q in ((offer, 1 - fades), (NO_OFFER, fades))
        ]

    for day in range(now, now + horizon):
        if day == now and given is not None:
            spread(sent(given))
        elif shop_days.is_campaign[day] and (given is None or day > now):
            spread(campaign)
        age = day - last - 1
        hazard = ((age + 1) / person.scale[0]) ** person.shape[0]
        hazard -= (age / person.scale[0]) ** person.shape[0]
        for life, stage, offer in weights:
            if life != GONE:
                pace = MECHANISM.pace_by_life[life] * MECHANISM.pace_by_complaint[stage]
                weights[life, stage, offer] *= np.exp(-hazard * pace * person.lift[0, offer])
        spread(night)
    return sum(weights.values())


@pytest.mark.parametrize("life", [LOYAL, DRIFTING])
@pytest.mark.parametrize("stage", [NO_COMPLAINT, SOURED, NEGLECTED, IN_HAND, BREWING])
def test_following_every_state_forward_gives_the_same_truth(life, stage):
    person = shoppers(scale=np.array([45.0]), shape=np.array([1.3]))
    exact = truth(standing(life, stage), person, MECHANISM, steady())[0]
    forward = [followed(person, life, stage, NO_OFFER, horizon) for horizon in HORIZONS_DAYS]
    assert exact[:3] == pytest.approx(forward, abs=1e-12)


@pytest.mark.parametrize("offer", [CONTACT, REWARD])
def test_following_an_offer_forward_gives_the_same_effect(offer):
    person = shoppers(scale=np.array([45.0]), shape=np.array([1.3]))
    for life in (LOYAL, DRIFTING):
        effect = truth(standing(life), person, MECHANISM, steady())[0, 2 + offer]
        with_offer = followed(person, life, NO_COMPLAINT, NO_OFFER, 60, given=offer)
        without = followed(person, life, NO_COMPLAINT, NO_OFFER, 60)
        assert effect == pytest.approx(with_offer - without, abs=1e-12)
        assert abs(effect) > 1e-4


def test_with_nobody_leaving_the_truth_is_the_survival_of_a_weibull_gap():
    person = shoppers(drift=np.zeros(1), scale=np.array([50.0]), shape=np.array([1.4]))
    exact = truth(standing(last=80), person, STILL, steady())
    age = 100 - 80 - 1
    for column, horizon in enumerate(HORIZONS_DAYS):
        survival = np.exp((age / 50.0) ** 1.4 - ((age + horizon) / 50.0) ** 1.4)
        assert exact[0, column] == pytest.approx(survival, abs=1e-13)


def test_with_a_constant_rate_of_leaving_the_truth_is_a_geometric_sum():
    leave, scale = 0.02, 40.0
    person = shoppers(drift=np.zeros(1), scale=np.array([scale]), shape=np.ones(1))
    mechanism = STILL._replace(leave_by_life=np.array([leave, leave]))
    exact = truth(standing(), person, mechanism, steady())
    quiet = np.exp(-1.0 / scale)
    for column, horizon in enumerate(HORIZONS_DAYS):
        days = np.arange(1, horizon + 1)
        left = np.sum(quiet**days * (1 - leave) ** (days - 1) * leave)
        stayed = (quiet * (1 - leave)) ** horizon
        assert exact[0, column] == pytest.approx(left + stayed, abs=1e-13)


def test_who_is_gone_never_buys_and_no_offer_changes_that():
    exact = truth(standing(life=GONE), shoppers(), MECHANISM, steady())
    assert exact.tolist() == [[1.0, 1.0, 1.0, 0.0, 0.0]]


def test_an_offer_without_power_has_no_effect():
    nothing = np.zeros((1, 3))
    person = shoppers(lift=np.ones((1, 3)), winback=nothing, annoyance=nothing)
    exact = truth(standing(), person, MECHANISM, steady())
    assert exact[0, 3:] == pytest.approx([0.0, 0.0], abs=1e-14)


def test_an_offer_that_only_annoys_raises_the_probability_of_no_purchase():
    person = shoppers(
        lift=np.ones((1, 3)), winback=np.zeros((1, 3)), annoyance=np.array([[0.0, 0.5, 0.1]])
    )
    contact, reward = truth(standing(), person, MECHANISM, steady())[0, 3:]
    assert contact > reward > 0


def test_a_worse_complaint_means_a_higher_probability_of_no_purchase():
    people = shoppers()
    by_stage = [
        truth(standing(stage=stage), people, MECHANISM, steady())[0, 1]
        for stage in (NO_COMPLAINT, SOURED, IN_HAND, NEGLECTED)
    ]
    assert by_stage == sorted(by_stage)
    assert by_stage[3] - by_stage[0] > 0.25
    assert by_stage[1] - by_stage[0] < 0.5 * (by_stage[3] - by_stage[0])


def test_drifting_means_a_higher_probability_of_no_purchase():
    loyal, drifting = (
        truth(standing(life=life), shoppers(), MECHANISM, steady())[0, 1]
        for life in (LOYAL, DRIFTING)
    )
    assert drifting > loyal + 0.05


def test_realised_frequencies_match_the_truth_at_every_horizon(shop):
    lives, _, exact, days = shop
    start = days.as_of[lives.states[:, 1]]
    for column, horizon in enumerate(HORIZONS_DAYS):
        missed = ~happened(lives, 0, start, horizon)
        for asked in range(len(AS_OF)):
            rows = lives.states[:, 1] == asked
            assert rows.sum() > 8_000
            assert abs(deviations(missed[rows], exact[rows, column])) < 3.5


def test_realised_frequencies_match_the_truth_in_every_decile(shop):
    lives, _, exact, days = shop
    missed = ~happened(lives, 0, days.as_of[lives.states[:, 1]], EFFECT_HORIZON_DAYS)
    for asked in range(len(AS_OF)):
        rows = np.flatnonzero((lives.states[:, 1] == asked) & (lives.states[:, 2] != GONE))
        ranked = rows[np.argsort(exact[rows, 1])]
        for decile in np.array_split(ranked, 10):
            assert abs(deviations(missed[decile], exact[decile, 1])) < 4.0


def test_realised_frequencies_match_the_truth_at_every_stage_of_a_complaint(shop):
    lives, _, exact, days = shop
    missed = ~happened(lives, 0, days.as_of[lives.states[:, 1]], EFFECT_HORIZON_DAYS)
    for stage in (NO_COMPLAINT, SOURED, NEGLECTED, IN_HAND, BREWING):
        rows = (lives.states[:, 3] == stage) & (lives.states[:, 2] != GONE)
        assert rows.sum() > 20
        assert abs(deviations(missed[rows], exact[rows, 1])) < 3.5


def test_realised_frequencies_match_the_true_effect_in_every_arm_of_a_campaign(shop):
    lives, _, exact, days = shop
    start = days.as_of[lives.states[:, 1]]
    missed = ~happened(lives, 0, start, EFFECT_HORIZON_DAYS)
    is_campaign = days.is_campaign[start] & (lives.states[:, 2] != GONE)
    share = MECHANISM.campaign_share
    without = exact[:, 1] - share[CONTACT] * exact[:, 3] - share[REWARD] * exact[:, 4]
    contacted, rewarded = happened(lives, 9, start, 1), happened(lives, 10, start, 1)
    arms = {
        NO_OFFER: (~contacted & ~rewarded, without),
        CONTACT: (contacted, without + exact[:, 3]),
        REWARD: (rewarded, without + exact[:, 4]),
    }
    for arm, (given, expected) in arms.items():
        rows = np.flatnonzero(is_campaign & given)
        assert len(rows) / is_campaign.sum() == pytest.approx(share[arm], abs=0.01)
        effect = exact[rows, 3 if arm == CONTACT else 4]
        for part in np.array_split(rows[np.argsort(effect)], 4):
            assert abs(deviations(missed[part], np.clip(expected[part], 0, 1))) < 3.5


def test_realised_frequencies_match_the_truth_in_a_shop_where_everything_happens_at_once():
    """Rates so high that leaving out any of them from the truth would show."""
    restless = MECHANISM._replace(
        campaign_share=np.array([0.2, 0.0, 0.8]),
        recover=0.05,
        leave_by_life=np.array([0.004, 0.02]),
    )
    days = steady()
    rng = np.random.default_rng(9)
    people = draw(rng, 20_000)
    people = people._replace(
        drift=np.minimum(people.drift * 15, 0.2), bad_order=np.full(20_000, 0.3)
    )
    lives = live(rng, people, restless, days)
    missed = ~happened(lives, 0, days.as_of[lives.states[:, 1]], EFFECT_HORIZON_DAYS)

    def deviation(mechanism: Mechanism, these: Shoppers) -> float:
        alive = lives.states[:, 2] != GONE
        return deviations(missed[alive], truth(lives, these, mechanism, days)[alive, 1])

    assert abs(deviation(restless, people)) < 2.5
    for left_out in (
        restless._replace(campaign_share=STILL.campaign_share),
        restless._replace(recover=0.0),
        restless._replace(leave_by_life=np.zeros(2)),
        restless._replace(leave_by_complaint=np.zeros(5)),
    ):
        assert abs(deviation(left_out, people)) > 3.0
    assert abs(deviation(restless, people._replace(drift=np.zeros(20_000)))) > 3.0


def test_the_effects_of_offers_differ_by_customer_in_sign_and_size(shop):
    lives, _, exact, _ = shop
    alive = lives.states[:, 2] != GONE
    for effect in exact[alive, 3:].T:
        assert np.quantile(effect, 0.05) < -0.02
        assert (effect > 0).mean() > 0.02
    assert (exact[alive, 3] > 0).mean() > 0.2
