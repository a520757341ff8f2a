"""The event log: kinds, feeds, and the columnar form that every feature is computed from.

One table, whatever the source: who (`customer_id`), when (`occurred_at`, `known_at`), what
(`kind`) and how much (`amount`, `value`, ...). The log is kept as flat arrays in one canonical
order, so that a sum over a customer's events gives the same bits whoever computes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MICROSECONDS_PER_DAY = 86_400_000_000


class Kind(StrEnum):
    """What happened. The position in this list is the kind's stable code in columnar form."""

    PURCHASE = "purchase"
    RETURN = "return"
    CANCELLATION = "cancellation"
    COMPLAINT = "complaint"
    COMPLAINT_RESOLVED = "complaint_resolved"
    VISIT = "visit"
    CART_ABANDONED = "cart_abandoned"
    REVIEW = "review"
    SURVEY = "survey"
    CONTACT = "contact"
    REWARD = "reward"


KIND_CODES: dict[str, int] = {kind.value: code for code, kind in enumerate(Kind)}


class Feed(StrEnum):
    """A group of facts that a business either records or does not.

    The first five are groups of event kinds; the last three are optional columns of purchases.
    What a feed would have told is missing (NaN), not zero, where the feed is absent.
    """

    ORDERS = "orders"
    RETURNS = "returns"
    COMPLAINTS = "complaints"
    VISITS = "visits"
    FEEDBACK = "feedback"
    CHEQUES = "cheques"
    DISCOUNTS = "discounts"
    CATEGORIES = "categories"


FEED_KINDS: dict[Feed, tuple[Kind, ...]] = {
    Feed.ORDERS: (Kind.PURCHASE,),
    Feed.RETURNS: (Kind.RETURN, Kind.CANCELLATION),
    Feed.COMPLAINTS: (Kind.COMPLAINT, Kind.COMPLAINT_RESOLVED),
    Feed.VISITS: (Kind.VISIT, Kind.CART_ABANDONED),
    Feed.FEEDBACK: (Kind.REVIEW, Kind.SURVEY),
}

FEED_COLUMNS: dict[Feed, str] = {
    Feed.CHEQUES: "amount",
    Feed.DISCOUNTS: "discount",
    Feed.CATEGORIES: "category",
}


class Event(NamedTuple):
    """One event of one customer; times in microseconds since 1970-01-01 UTC.

    `amount` and `discount` are money in the business's currency (a discount is what was taken
    off), `value` a rating or survey answer. The field order is the canonical sort order.
    """

    occurred_at: int
    kind: Kind
    order_id: str | None = None
    amount: float | None = None
    value: float | None = None
    quantity: float | None = None
    discount: float | None = None
    category: str | None = None
    case_id: str | None = None
    channel: str | None = None
    event_id: str | None = None
    known_at: int | None = None


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events of many customers as flat arrays, sorted by (customer, time, kind, order, ...).

    Attributes
    ----------
    customer_ids : ndarray of object, shape (n_customers,)
        Opaque identifiers, ascending.
    offsets : ndarray of int64, shape (n_customers + 1,)
        Customer i owns events ``offsets[i]:offsets[i + 1]``.
    time, known_at : ndarray of int64, shape (n_events,)
        Microseconds since 1970-01-01 UTC.
    kind : ndarray of int8, shape (n_events,)
        Position in `Kind`.
    amount, value, quantity, discount : ndarray of float64, shape (n_events,)
        NaN where not given.
    order, case, category : ndarray of int64, shape (n_events,)
        Codes in [0, n_codes) that stand for the identifier, -1 where not given.
    """

    customer_ids: NDArray[np.object_]
    offsets: NDArray[np.int64]
    time: NDArray[np.int64]
    known_at: NDArray[np.int64]
    kind: NDArray[np.int8]
    amount: NDArray[np.float64]
    value: NDArray[np.float64]
    quantity: NDArray[np.float64]
    discount: NDArray[np.float64]
    order: NDArray[np.int64]
    case: NDArray[np.int64]
    category: NDArray[np.int64]

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return len(self.customer_ids)

    @property
    def n_events(self) -> int:
        """Number of events of all customers."""
        return len(self.time)


def canonical(events: Iterable[Event]) -> list[Event]:
    """One customer's events without repeats, in canonical order.

    A repeat has the `event_id` of an earlier event or, where neither has one, the same content;
    the first to be known is kept.
    """
    kept: list[Event] = []
    seen_ids: set[str] = set()
    seen_content: set[tuple[object, ...]] = set()
    for event in sorted(events, key=_sort_key):
        if event.event_id is not None:
            if event.event_id in seen_ids:
                continue
            seen_ids.add(event.event_id)
        else:
            content = event[:10]
            if content in seen_content:
                continue
            seen_content.add(content)
        kept.append(event)
    return kept


def customer_log(customer_id: str, events: Iterable[Event]) -> EventLog:
    """The columnar form of one customer's events, repeats dropped."""
    kept = canonical(events)
    nan = float("nan")
    return EventLog(
        customer_ids=np.array([customer_id], dtype=object),
        offsets=np.array([0, len(kept)], dtype=np.int64),
        time=np.array([e.occurred_at for e in kept], dtype=np.int64),
        known_at=np.array(
            [e.occurred_at if e.known_at is None else e.known_at for e in kept], dtype=np.int64
        ),
        kind=np.array([KIND_CODES[e.kind] for e in kept], dtype=np.int8),
        amount=np.array([nan if e.amount is None else e.amount for e in kept], dtype=np.float64),
        value=np.array([nan if e.value is None else e.value for e in kept], dtype=np.float64),
        quantity=np.array(
            [nan if e.quantity is None else e.quantity for e in kept], dtype=np.float64
        ),
        discount=np.array(
            [nan if e.discount is None else e.discount for e in kept], dtype=np.float64
        ),
        order=_codes(e.order_id for e in kept),
        case=_codes(e.case_id for e in kept),
        category=_codes(e.category for e in kept),
    )


def _sort_key(event: Event) -> tuple[object, ...]:
    """Nulls first, kinds by their code: the order of `ORDER BY ... NULLS FIRST` in ingest."""
    return (
        event.occurred_at,
        KIND_CODES[event.kind],
        *((field is not None, field if field is not None else 0) for field in event[2:11]),
        event.occurred_at if event.known_at is None else event.known_at,
    )


def _codes(names: Iterable[str | None]) -> NDArray[np.int64]:
    codes: dict[str, int] = {}
    return np.array(
        [-1 if name is None else codes.setdefault(name, len(codes)) for name in names],
        dtype=np.int64,
    )
