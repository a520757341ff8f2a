"""The event log: kinds, feeds, and the columnar form that every feature is computed from.

One table, whatever the source: who (`customer_id`), when (`occurred_at`, `known_at`), what
(`kind`) and how much (`amount`, `value`, ...). The log is kept as flat arrays in one canonical
order, so that a sum over a customer's events gives the same bits whoever computes it.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

MICROSECONDS_PER_DAY = 86_400_000_000
LARGEST_NUMBER = 1e15
"""Beyond any money or count; keeps every sum of the features finite."""


class Kind(StrEnum):
    """What happened. The position in this list is the kind's stable code in columnar form."""

    code: int

    def __new__(cls, value: str) -> Self:
        """Number the kinds as they are listed."""
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.code = len(cls.__members__)
        return kind

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


KIND_CODES: dict[str, int] = {kind.value: kind.code for kind in Kind}


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


_TIME, _EVENT_ID = itemgetter(0), itemgetter(Event._fields.index("event_id"))


class EventLog(NamedTuple):
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

    A repeat has the `event_id` of another event or, where neither has one, the same content. The
    first to be known is kept: what is sent again later changes nothing that was known before.
    """
    given = list(events)
    if len(set(map(_TIME, given))) == len(given):
        kept = sorted(given, key=_TIME)
    else:
        kept = []
        for run in _runs(sorted(given, key=_moment)):
            kept.extend(run if len(run) == 1 else _distinct(sorted(run, key=sort_key)))
    ids = list(map(_EVENT_ID, kept))
    if ids.count(None) == len(ids):
        return kept
    named = [at for at, event_id in enumerate(ids) if event_id is not None]
    first: dict[str | None, int] = {}
    for at in named:
        other = first.setdefault(kept[at].event_id, at)
        if known_from(kept[at]) < known_from(kept[other]):
            first[kept[at].event_id] = at
    if len(first) < len(named):
        repeats = set(named) - set(first.values())
        kept = [event for at, event in enumerate(kept) if at not in repeats]
    return kept


def customer_log(customer_id: str, events: Iterable[Event]) -> EventLog:
    """The columnar form of one customer's events, repeats dropped."""
    return customers_log([customer_id], [events])


def customers_log(customer_ids: Sequence[str], histories: Iterable[Iterable[Event]]) -> EventLog:
    """The columnar form of some customers' events, repeats dropped; customers as they are given."""
    kept: list[Event] = []
    offsets = [0]
    for events in histories:
        kept += canonical(events)
        offsets.append(len(kept))
    columns = [*zip(*kept, strict=True)] if kept else [()] * len(Event._fields)
    columns[1] = tuple([kind.code for kind in columns[1]])
    return columnar(customer_ids, offsets, columns)


def columnar(
    customer_ids: Sequence[str], offsets: Sequence[int], columns: Sequence[Sequence[Any]]
) -> EventLog:
    """The columnar form of customers' events, given as columns.

    Two blocks of numbers are filled at once, which takes half the time of an array per column
    (`python -m benchmarks customer`).

    Parameters
    ----------
    customer_ids : sequence of str
        Opaque identifiers.
    offsets : sequence of int
        Customer i owns events ``offsets[i]:offsets[i + 1]``.
    columns : sequence of sequences, each of shape (n_events,)
        In the order of `Event`'s fields, None where not given; a kind is its code. The events of
        each customer are in canonical order, without repeats.
    """
    time, kind, order, amount, value, quantity, discount, category, case, _, _, known_at = columns
    if known_at.count(None) < len(known_at):
        known_at = [t if known is None else known for t, known in zip(time, known_at, strict=True)]
    else:
        known_at = time
    whole = np.array(
        [time, known_at, _codes(order), _codes(case), _codes(category)], dtype=np.int64
    )
    real = np.array([amount, value, quantity, discount], dtype=np.float64)  # None becomes NaN
    return EventLog(
        np.array(customer_ids, dtype=object),
        np.array(offsets, dtype=np.int64),
        whole[0],
        whole[1],
        np.array(kind, dtype=np.int8),
        *real,
        *whole[2:],
    )


def known_from(event: Event) -> int:
    """When the event can first be seen."""
    known_at = event.known_at
    return event.occurred_at if known_at is None else max(event.occurred_at, known_at)


def _moment(event: Event) -> tuple[int, int]:
    """What decides between almost all events of a customer."""
    return event[0], event[1].code


def _runs(events: list[Event]) -> Iterator[list[Event]]:
    """Cut sorted events into those of one moment and kind: only these can repeat each other."""
    start = 0
    for at in range(1, len(events) + 1):
        if at < len(events):
            one, other = events[start], events[at]
            if one[0] == other[0] and one[1] is other[1]:
                continue
        yield events[start:at]
        start = at


def _distinct(events: list[Event]) -> Iterator[Event]:
    """Drop the events without an `event_id` whose content an earlier one of these has."""
    seen: set[tuple[object, ...]] = set()
    for event in events:
        if event.event_id is None:
            content = event[:10]
            if content in seen:
                continue
            seen.add(content)
        yield event


def sort_key(event: Event) -> tuple[object, ...]:
    """Nulls first, kinds by their code: the order of `training.canonical_order`."""
    return (
        event.occurred_at,
        event.kind.code,
        *((field is not None, field if field is not None else 0) for field in event[2:11]),
        event.occurred_at if event.known_at is None else event.known_at,
    )


def _codes(names: Sequence[str | None]) -> list[int]:
    if names.count(None) == len(names):
        return [-1] * len(names)
    if None not in names and len(set(names)) == len(names):
        return list(range(len(names)))
    codes: dict[str | None, int] = {None: -1}
    return [codes.setdefault(name, len(codes) - 1) for name in names]
