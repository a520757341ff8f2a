"""Orders dressed up: baskets and money, and the returns and ratings that follow them.

Nothing here decides whether anybody buys again, so none of it enters the truth; but it carries
traces of what does. Cheques shrink and baskets narrow while a customer drifts, and orders that
went wrong come back and are rated badly.
"""

import numpy as np
from numpy.typing import NDArray

from training.simulation.rows import (
    SECONDS_PER_DAY,
    WAREHOUSE,
    Floats,
    Ints,
    Rows,
    moment,
    own_channel,
    rows,
)
from training.simulation.shoppers import N_CATEGORIES, Shoppers

CHEQUE_FLOOR = 0.45
CHEQUE_DECLINE_DAYS = 40.0
CHEQUE_NOISE = 0.35
CHEQUE_MINIMUM = 100.0
DISCOUNT_DEPTH = (0.05, 0.30)
EXTRA_LINES = 0.5
MAX_LINES = 4
MAX_STRAY = 2
RETURN_DAYS = (3, 15)
WRONG_RETURN_SHARE = 0.40
PARCEL_DAYS = (1, 4)
REVIEW_SHARE = 0.08
WRONG_REVIEW_SHARE = 0.20
REVIEW_DAYS = (2, 12)
BROWSING_SECONDS = (120, 2400)


def _categories(rng: np.random.Generator, favourite: Ints, breadth: Floats, n_lines: Ints) -> Ints:
    """Walk away from the favourite, line by line, so that no category comes twice in an order."""
    stray = np.minimum(rng.geometric(1.0 - breadth) - 1, MAX_STRAY)
    walked = np.cumsum(stray + 1)
    starts = np.cumsum(n_lines) - n_lines
    walked_before = np.repeat((walked - stray - 1)[starts], n_lines)
    category: Ints = (favourite + walked - walked_before - 1) % N_CATEGORIES
    return category


def order_rows(rng: np.random.Generator, orders: Floats, shoppers: Shoppers) -> list[Rows]:
    """Lines of orders, the visits that led to them, what is sent back, and ratings.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    orders : ndarray, shape (n_orders, 7)
        Purchases as `process.EVENT_COLUMNS`.
    shoppers : Shoppers
        Traits of the chunk.
    """
    customer = orders[:, 0].astype(np.int64)
    is_wrong = orders[:, 6] == 1
    time = moment(rng, orders[:, 1].astype(np.int64))
    channel = own_channel(rng, customer, shoppers)
    browsing = rng.integers(*BROWSING_SECONDS, len(customer))
    decline = CHEQUE_FLOOR + (1.0 - CHEQUE_FLOOR) * np.exp(
        -np.maximum(orders[:, 5], 0.0) / CHEQUE_DECLINE_DAYS
    )
    noise = np.exp(CHEQUE_NOISE * rng.standard_normal(len(customer)))
    cheque = np.maximum(shoppers.cheque[customer] * decline * noise, CHEQUE_MINIMUM)
    is_discounted = rng.random(len(customer)) < shoppers.discounted[customer]
    depth = np.where(is_discounted, rng.uniform(*DISCOUNT_DEPTH, len(customer)), 0.0)
    n_lines = np.minimum(1 + rng.poisson(EXTRA_LINES * decline), MAX_LINES)

    of = np.repeat(np.arange(len(customer)), n_lines)
    weight = rng.uniform(0.3, 1.0, len(of))
    weight /= np.bincount(of, weight, len(customer))[of]
    full = (cheque[of] * weight).round(2)
    discount = (full * depth[of]).round(2)
    lines = rows(
        customer[of],
        time[of],
        "purchase",
        channel[of],
        amount=(full - discount).round(2),
        discount=discount,
        quantity=(1 + rng.poisson(0.4, len(of))).astype(np.float64),
        order=orders[of, 3].astype(np.int64),
        category=_categories(
            rng,
            shoppers.favourite[customer][of],
            (shoppers.breadth[customer] * decline)[of],
            n_lines,
        ),
    )
    return [
        rows(customer, time - browsing, "visit", channel),
        lines,
        _returns(rng, lines, is_wrong[of], shoppers),
        _reviews(rng, orders, shoppers),
    ]


def _returns(
    rng: np.random.Generator, lines: Rows, is_wrong: NDArray[np.bool_], shoppers: Shoppers
) -> Rows:
    """Lines sent back days later; the log learns of them when the warehouse opens the parcel."""
    share = np.where(is_wrong, WRONG_RETURN_SHARE, shoppers.returned[lines.customer])
    back = np.flatnonzero(rng.random(len(share)) < share)
    day = lines.time[back] // SECONDS_PER_DAY + rng.integers(*RETURN_DAYS, len(back))
    time = moment(rng, day)
    return rows(
        lines.customer[back],
        time,
        "return",
        np.full(len(back), WAREHOUSE),
        known_at=time + rng.integers(*PARCEL_DAYS, len(back)) * SECONDS_PER_DAY,
        amount=lines.amount[back],
        quantity=lines.quantity[back],
        order=lines.order[back],
        category=lines.category[back],
    )


def _reviews(rng: np.random.Generator, orders: Floats, shoppers: Shoppers) -> Rows:
    """Ratings from 1 to 5 of some orders."""
    share = np.where(orders[:, 6] == 1, WRONG_REVIEW_SHARE, REVIEW_SHARE)
    rated = orders[rng.random(len(orders)) < share]
    customer = rated[:, 0].astype(np.int64)
    mood = 4.6 - 0.7 * (rated[:, 5] >= 0) - 2.2 * (rated[:, 6] == 1)
    day = rated[:, 1].astype(np.int64) + rng.integers(*REVIEW_DAYS, len(rated))
    return rows(
        customer,
        moment(rng, day),
        "review",
        own_channel(rng, customer, shoppers),
        value=np.clip(np.rint(mood + 0.8 * rng.standard_normal(len(rated))), 1.0, 5.0),
        order=rated[:, 3].astype(np.int64),
    )
