"""Who the customers are: traits drawn once per customer, never seen in the log.

Traits hang together as they do in life: who buys on discount answers to rewards, who lives in the
app reads messages, who came once for a bargain does not come back.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

N_CATEGORIES = 12
ONE_TIME_SHARE = 0.12

Array = NDArray[np.float64]


class Shoppers(NamedTuple):
    """Traits of a chunk of customers, each an array of shape (n,) but for the last three.

    Attributes
    ----------
    scale, shape : ndarray
        Weibull scale (operational days) and shape of the gap between purchases. A shape of 1
        is a customer without rhythm; all have one, some more than others.
    one_time : ndarray of bool
        Leaves after the first purchase.
    drift : ndarray
        Daily probability of starting to drift.
    bad_order : ndarray
        Probability that an order goes wrong and ends in a complaint.
    visits : ndarray
        Daily probability of a visit without a purchase.
    cheque, discounted, returned, app, favourite, breadth : ndarray
        Typical cheque (money); shares of orders on discount, of orders sent back, of visits in
        the app; favourite category; how soon the customer strays from it.
    lift : ndarray, shape (n, 3)
        Multiplier of the buying intensity while an offer is on the mind.
    winback, annoyance : ndarray, shape (n, 3)
        Probability that an offer turns a drifting customer loyal, or a loyal one away.
    """

    scale: Array
    shape: Array
    one_time: NDArray[np.bool_]
    drift: Array
    bad_order: Array
    visits: Array
    cheque: Array
    discounted: Array
    returned: Array
    app: Array
    favourite: NDArray[np.int64]
    breadth: Array
    lift: Array
    winback: Array
    annoyance: Array


def draw(rng: np.random.Generator, n: int) -> Shoppers:
    """Draw the traits of `n` customers."""
    one_time = rng.random(n) < ONE_TIME_SHARE
    discounted = np.where(one_time, rng.beta(3.0, 2.5, n), rng.beta(1.5, 3.0, n))
    app = rng.beta(1.2, 1.2, n)
    none = np.zeros(n)
    return Shoppers(
        scale=np.clip(62.0 * np.exp(0.75 * rng.standard_normal(n)), 6.0, 300.0),
        shape=rng.uniform(1.1, 1.6, n),
        one_time=one_time,
        drift=np.clip(np.exp(0.8 * rng.standard_normal(n)) / 800.0, 0.0, 0.05),
        bad_order=np.clip(rng.gamma(1.0, 0.021, n), 0.0, 0.25),
        visits=np.clip(0.03 * np.exp(0.7 * rng.standard_normal(n)), 0.005, 0.6),
        cheque=np.where(one_time, 0.85, 1.0) * 1800.0 * np.exp(0.6 * rng.standard_normal(n)),
        discounted=discounted,
        returned=rng.beta(1.0, 19.0, n),
        app=app,
        favourite=rng.integers(0, N_CATEGORIES, n),
        breadth=rng.uniform(0.1, 0.6, n),
        lift=np.exp(
            np.stack(
                [
                    none,
                    -0.05 + 0.40 * app + 0.20 * rng.standard_normal(n),
                    0.05 + 0.90 * discounted + 0.20 * rng.standard_normal(n),
                ],
                axis=1,
            )
        ),
        winback=np.stack([none, 0.30 * app * rng.random(n), 0.45 * discounted], axis=1),
        annoyance=np.stack(
            [none, rng.beta(1.0, 12.0, n) * (1.2 - app), rng.beta(1.0, 60.0, n)], axis=1
        ),
    )
