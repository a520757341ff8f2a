"""Bare events dressed up as the rows of a shop's log.

Like `orders`, this decides nothing about the future: hours, channels, opinions, and when the
business learns of what happened.
"""

import numpy as np

from churn.events import KIND_CODES
from training.simulation.orders import order_rows
from training.simulation.rows import (
    EMAIL,
    PUSH,
    SECONDS_PER_DAY,
    TELEPHONE,
    Floats,
    Rows,
    moment,
    own_channel,
    rows,
)
from training.simulation.shoppers import Shoppers

TELEPHONE_SHARE = 0.30
SURVEY_SHARE = 0.35
CART_ABANDONED_SHARE = 0.15


def dress(
    rng: np.random.Generator, events: Floats, shoppers: Shoppers, log_start: int, end: int
) -> Rows:
    """Turn bare events (`process.EVENT_COLUMNS`) into the rows of the log.

    Returns
    -------
    Rows
        Sorted by customer and time, from day `log_start` to before day `end`.
    """
    of_kind = {kind: events[events[:, 2] == code] for kind, code in KIND_CODES.items()}
    parts = [
        *order_rows(rng, of_kind["purchase"], shoppers),
        *_visits(rng, of_kind["visit"], shoppers),
        _complaints(rng, of_kind["complaint"]),
        _resolutions(rng, of_kind["complaint_resolved"]),
        _surveys(rng, of_kind["complaint_resolved"]),
        _offers(rng, of_kind["contact"], "contact"),
        _offers(rng, of_kind["reward"], "reward"),
    ]
    whole = Rows._make(np.concatenate(column) for column in zip(*parts, strict=True))
    keep = np.flatnonzero(
        (whole.time >= log_start * SECONDS_PER_DAY) & (whole.time < end * SECONDS_PER_DAY)
    )
    order = keep[np.lexsort((whole.kind[keep], whole.time[keep], whole.customer[keep]))]
    return Rows._make(column[order] for column in whole)


def _visits(rng: np.random.Generator, visits: Floats, shoppers: Shoppers) -> list[Rows]:
    """Visits without a purchase, some of which leave a full cart behind."""
    customer = visits[:, 0].astype(np.int64)
    time = moment(rng, visits[:, 1].astype(np.int64))
    channel = own_channel(rng, customer, shoppers)
    left = np.flatnonzero(rng.random(len(visits)) < CART_ABANDONED_SHARE)
    left_at = time[left] + rng.integers(60, 300, len(left))
    return [
        rows(customer, time, "visit", channel),
        rows(customer[left], left_at, "cart_abandoned", channel[left]),
    ]


def _complaints(rng: np.random.Generator, filed: Floats) -> Rows:
    """Complaints; those made by telephone are typed in during the next night."""
    day = filed[:, 1].astype(np.int64)
    by_telephone = rng.random(len(filed)) < TELEPHONE_SHARE
    return rows(
        filed[:, 0].astype(np.int64),
        moment(rng, day),
        "complaint",
        np.where(by_telephone, TELEPHONE, EMAIL),
        known_at=np.where(by_telephone, (day + 1) * SECONDS_PER_DAY + 3 * 3600, -1),
        order=filed[:, 3].astype(np.int64),
        case=filed[:, 4].astype(np.int64),
    )


def _resolutions(rng: np.random.Generator, resolved: Floats) -> Rows:
    """Closed complaints: the log does not say how well, except through a survey."""
    return rows(
        resolved[:, 0].astype(np.int64),
        moment(rng, resolved[:, 1].astype(np.int64)),
        "complaint_resolved",
        np.full(len(resolved), EMAIL),
        order=resolved[:, 3].astype(np.int64),
        case=resolved[:, 4].astype(np.int64),
    )


def _surveys(rng: np.random.Generator, resolved: Floats) -> Rows:
    """Answers from 0 to 10 on the day after some resolutions."""
    asked = resolved[rng.random(len(resolved)) < SURVEY_SHARE]
    mood = np.where(asked[:, 6] == 1, 8.0, 3.0)
    return rows(
        asked[:, 0].astype(np.int64),
        moment(rng, asked[:, 1].astype(np.int64) + 1),
        "survey",
        np.full(len(asked), EMAIL),
        value=np.clip(np.rint(mood + 1.8 * rng.standard_normal(len(asked))), 0.0, 10.0),
        case=asked[:, 4].astype(np.int64),
    )


def _offers(rng: np.random.Generator, sent: Floats, kind: str) -> Rows:
    """Campaigns go out in the morning, before anybody shops."""
    seconds = 7 * 3600 + rng.integers(0, 3600, len(sent))
    return rows(
        sent[:, 0].astype(np.int64),
        sent[:, 1].astype(np.int64) * SECONDS_PER_DAY + seconds,
        kind,
        np.full(len(sent), PUSH if kind == "contact" else EMAIL),
    )
