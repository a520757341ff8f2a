"""Customers' events in the store: added as they come, read whole."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import compress

from sqlalchemy import Connection, delete, select

from churn.events import FEED_KINDS, Event, Feed, Kind
from churn.history import History
from service.store import pieces
from service.store.database import Database
from service.store.tables import counters, histories, watermarks
from service.store.tombstones import buried
from service.store.upsert import upsert

RECEIVED = "received"
MOST_EVENTS = 100_000
"""Of one customer, unless told otherwise: so many take a tenth of a second to read."""

_FEED_OF: dict[Kind, Feed] = {kind: feed for feed, kinds in FEED_KINDS.items() for kind in kinds}


class Outcome(StrEnum):
    """What became of an event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    ERASED = "erased"
    FULL = "full"


class Histories:
    """The stored events of all customers.

    Parameters
    ----------
    database : Database
        Where they are.
    most : int, optional
        How many of one customer are kept.
    """

    def __init__(self, database: Database, most: int = MOST_EVENTS) -> None:
        self._database = database
        self._most = most

    def append(self, batch: Sequence[tuple[str, Event]], now: int) -> list[Outcome]:
        """Add events, all or none.

        When this returns, what was accepted is on disk.

        Parameters
        ----------
        batch : sequence of (customer_id, Event)
            In any order.
        now : int
            When they were received, microseconds since 1970-01-01 UTC.

        Returns
        -------
        list of Outcome, as long as `batch`
            ``duplicate`` for an event that is known already, ``erased`` for one from before the
            erasure of its customer, ``full`` for one more than may be kept of its customer.

        Raises
        ------
        StoreUnavailable
            Nothing was added, or it cannot be known whether it was: send the same again.
        """
        if not batch:
            return []
        places: dict[str, list[int]] = {}
        for at, (customer_id, _) in enumerate(batch):
            places.setdefault(customer_id, []).append(at)
        outcomes = [Outcome.DUPLICATE] * len(batch)
        with self._database.writing() as connection:
            forgotten = buried(connection, places)
            number = number_of(connection) + 1
            known = _read(connection, places)
            changed: dict[str, History] = {}
            for customer_id, wanted in places.items():
                erased_at = forgotten.get(customer_id)
                if erased_at is not None:
                    for place in wanted:
                        if batch[place][1].occurred_at < erased_at:
                            outcomes[place] = Outcome.ERASED
                    wanted = [place for place in wanted if outcomes[place] is not Outcome.ERASED]
                before = known.get(customer_id) or History.empty()
                events = [batch[place][1] for place in wanted]
                after, became = _put_in(before, events, number, self._most)
                for place, outcome in zip(wanted, became, strict=True):
                    outcomes[place] = outcome
                if after is not before:
                    changed[customer_id] = after
            if changed:
                put(connection, changed)
                set_number(connection, number)
            advance(connection, newest(event for _, event in batch), now)
        return outcomes

    def read(self, customer_ids: Iterable[str], upto: int | None = None) -> dict[str, History]:
        """Read the histories of those customers who have one.

        Parameters
        ----------
        customer_ids : iterable of str
            Whom to look for.
        upto : int, optional
            Leave out the customers of whom nothing had been received by this write.
        """
        with self._database.reading() as connection:
            found = _read(connection, customer_ids)
        if upto is None:
            return found
        return {who: history for who, history in found.items() if history.seen_by(upto)}

    def received(self) -> int:
        """The number of the last write that added events; 0 before the first."""
        with self._database.reading() as connection:
            return number_of(connection)

    def watermarks(self) -> dict[Feed, int]:
        """When the newest event of each feed happened, microseconds since 1970-01-01 UTC."""
        with self._database.reading() as connection:
            rows = connection.execute(select(watermarks.c.feed, watermarks.c.occurred_at))
            return {Feed(row.feed): row.occurred_at for row in rows}


def put(connection: Connection, changed: Mapping[str, History]) -> None:
    """Write histories, whole; customers in the order of their ids."""
    pieces.write(
        connection,
        [
            (who, history.encode(), history.first_at, history.last_at, len(history))
            for who, history in sorted(changed.items())
        ],
    )


def erase(connection: Connection, customer_id: str) -> int:
    """Remove a customer's events; how many there were."""
    found = _read(connection, [customer_id]).get(customer_id)
    connection.execute(delete(histories).where(histories.c.customer_id == customer_id))
    return 0 if found is None else len(found)


def set_number(connection: Connection, number: int) -> None:
    """Say which write was the last that added events."""
    upsert(connection, counters, [{"name": RECEIVED, "value": number}], keys=("name",))


def newest(events: Iterable[Event]) -> dict[Kind, int]:
    """When the last event of each kind happened."""
    found: dict[Kind, int] = {}
    for event in events:
        if event.occurred_at > found.get(event.kind, -(1 << 62)):
            found[event.kind] = event.occurred_at
    return found


def advance(connection: Connection, last: Mapping[Kind, int], now: int) -> None:
    """Move the watermarks of the feeds of events; repeats show that a feed lives.

    Parameters
    ----------
    last : mapping of Kind to int
        When the last event of each kind happened, microseconds since 1970-01-01 UTC.
    now : int
        When they were received, likewise.
    """
    moved: dict[Feed, int] = {}
    for kind, at in last.items():
        feed = _FEED_OF.get(kind)
        if feed is not None:
            moved[feed] = max(at, moved.get(feed, at))
    if not moved:
        return
    rows = connection.execute(select(watermarks.c.feed, watermarks.c.occurred_at))
    before = {row.feed: row.occurred_at for row in rows}
    changed = [
        {"feed": feed.value, "occurred_at": max(at, before.get(feed.value, at)), "received_at": now}
        for feed, at in moved.items()
    ]
    upsert(connection, watermarks, changed, keys=("feed",))


def number_of(connection: Connection) -> int:
    """The number of the last write that added events."""
    found = connection.scalar(select(counters.c.value).where(counters.c.name == RECEIVED))
    return 0 if found is None else found


def _put_in(
    before: History, events: Sequence[Event], number: int, most: int
) -> tuple[History, list[Outcome]]:
    """A customer's history with events, and what became of each; no more than so many are kept."""
    after, added = before.merged(events, number)
    outcomes = [Outcome.ACCEPTED if is_new else Outcome.DUPLICATE for is_new in added]
    if len(after) <= max(most, len(before)):
        return after, outcomes
    taken = [*compress(range(len(events)), added)][: max(most - len(before), 0)]
    after, _ = before.merged([events[at] for at in taken], number)
    rest = sorted(set(range(len(events))) - set(taken))
    while rest:  # a repeat of what there is no room for is seen when that is out of the way
        _, is_more = after.merged([events[at] for at in rest], number)
        for at, more in zip(rest, is_more, strict=True):
            outcomes[at] = Outcome.FULL if more else Outcome.DUPLICATE
        if not any(is_more):
            break
        rest = [at for at in rest if outcomes[at] is Outcome.DUPLICATE]
    return after, outcomes


def _read(connection: Connection, customer_ids: Iterable[str]) -> dict[str, History]:
    found = pieces.read(connection, list(customer_ids))
    return {customer_id: History.decode(events) for customer_id, events in found}
