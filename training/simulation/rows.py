"""The rows of the simulated log as columns, and the small things all of them share."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.events import KIND_CODES
from training.simulation.shoppers import Shoppers

CHANNELS = ("app", "web", "telephone", "email", "push", "warehouse")
APP, WEB, TELEPHONE, EMAIL, PUSH, WAREHOUSE = range(len(CHANNELS))
SECONDS_PER_DAY = 86_400

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Rows(NamedTuple):
    """Events of the log, one array per column; -1 or NaN where a column does not apply.

    `time` and `known_at` are seconds since the start of day 0; `known_at` is -1 where the event
    was known at once. `order` and `case` count within the customer.
    """

    customer: Ints
    time: Ints
    known_at: Ints
    kind: Ints
    amount: Floats
    value: Floats
    quantity: Floats
    discount: Floats
    order: Ints
    case: Ints
    category: Ints
    channel: Ints


def rows(
    customer: Ints,
    time: Ints,
    kind: str,
    channel: Ints,
    *,
    known_at: Ints | None = None,
    amount: Floats | None = None,
    value: Floats | None = None,
    quantity: Floats | None = None,
    discount: Floats | None = None,
    order: Ints | None = None,
    case: Ints | None = None,
    category: Ints | None = None,
) -> Rows:
    """Rows of one kind, with the columns that do not apply left empty."""
    n = len(customer)

    def number(given: Floats | None) -> Floats:
        return np.full(n, np.nan) if given is None else given

    def code(given: Ints | None) -> Ints:
        return np.full(n, -1, dtype=np.int64) if given is None else given

    return Rows(
        customer=customer,
        time=time,
        known_at=code(known_at),
        kind=np.full(n, KIND_CODES[kind], dtype=np.int64),
        amount=number(amount),
        value=number(value),
        quantity=number(quantity),
        discount=number(discount),
        order=code(order),
        case=code(case),
        category=code(category),
        channel=channel,
    )


def moment(rng: np.random.Generator, day: Ints) -> Ints:
    """Draw a second of the day between eight and midnight, most often in the afternoon."""
    hour = 8.0 + 15.9 * rng.beta(2.2, 1.8, len(day))
    return day * SECONDS_PER_DAY + (hour * 3600.0).astype(np.int64)


def own_channel(rng: np.random.Generator, customer: Ints, shoppers: Shoppers) -> Ints:
    """App or web, as the customer likes."""
    return np.where(rng.random(len(customer)) < shoppers.app[customer], APP, WEB)
