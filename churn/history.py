"""What is stored of one customer: the events, compact, and which write brought each.

A history is a log of events. It is kept as one piece of JSON, a list for each field, because a
customer is always read whole: one read and one parse take a fraction of what a row for each event
would (docs/adr/0016). What is kept does not depend on the order of arrival, and is seen by the
features exactly as if the same events had been sent with the request.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import orjson

from churn.events import (
    Event,
    EventLog,
    Kind,
    canonical,
    columnar,
    customer_log,
    known_from,
    sort_key,
)

_KINDS = tuple(Kind)
_RECEIVED = "received"
_REPEATS = "repeats"
_ALWAYS = ("occurred_at", "kind")
_PLACES = {name: at for at, name in enumerate(Event._fields)}
_FEW = 8


class History:
    """One customer's stored events, in canonical order; immutable.

    Each carries the number of the write that brought it, so that a reader may ask for what had
    been received at some moment, whatever has come since.

    Parameters
    ----------
    columns : mapping of str to sequence
        By the names of `Event`'s fields, a kind as its code; a column of nothing is left out.
    received : sequence of int, or int
        The write that brought each event, or all of them.
    repeats : bool
        Whether there are events that repeat others.
    """

    __slots__ = ("_columns", "_received", "_repeats")

    def __init__(
        self,
        columns: Mapping[str, Sequence[Any]],
        received: Sequence[int] | int,
        repeats: bool = False,
    ) -> None:
        self._columns = columns
        self._received = received
        self._repeats = repeats

    @classmethod
    def empty(cls) -> Self:
        """Nothing stored yet."""
        return cls({"occurred_at": [], "kind": []}, [])

    @classmethod
    def of(cls, columns: Sequence[Sequence[Any]], received: Sequence[int] | int) -> Self:
        """Take columns in the order of `Event`'s fields, canonical and without repeats."""
        return cls(_given(columns), received)

    @classmethod
    def decode(cls, blob: bytes) -> Self:
        """Read what `encode` wrote."""
        held = orjson.loads(blob)
        return cls(held, held.pop(_RECEIVED), held.pop(_REPEATS, False))

    def encode(self) -> bytes:
        """As bytes: what is not given is left out, and so is what is all the same."""
        held: dict[str, Any] = {**self._columns, _RECEIVED: self._received}
        if not isinstance(self._received, int) and len(set(self._received)) == 1:
            held[_RECEIVED] = self._received[0]
        if self._repeats:
            held[_REPEATS] = True
        return orjson.dumps(held)

    def holds(self, columns: Sequence[Sequence[Any]]) -> bool:
        """Whether these columns are what is kept, no more and no less."""
        return not self._repeats and all(
            kept == given for kept, given in zip(self._all(), columns, strict=True)
        )

    def __len__(self) -> int:
        """Number of events kept."""
        return len(self._columns["occurred_at"])

    @property
    def first_at(self) -> int:
        """When the first event happened, microseconds since 1970-01-01 UTC."""
        first: int = self._columns["occurred_at"][0]
        return first

    @property
    def last_at(self) -> int:
        """When the last event happened, microseconds since 1970-01-01 UTC."""
        last: int = self._columns["occurred_at"][-1]
        return last

    def seen_by(self, upto: int) -> bool:
        """Whether any event had been received by a write."""
        return min(self._numbers(), default=upto + 1) <= upto

    def events(self, upto: int | None = None) -> list[Event]:
        """The events without repeats, in canonical order.

        Parameters
        ----------
        upto : int, optional
            Number of the last write to be seen.
        """
        return canonical(event for event, _ in self._kept(upto))

    def columns(self, upto: int | None = None) -> Sequence[Sequence[Any]]:
        """As `events`, in columns in the order of `Event`'s fields, a kind as its code."""
        if self._is_plain(upto):
            return self._all()
        events = self.events(upto)
        columns: list[Sequence[Any]] = [*zip(*events, strict=True)] or [()] * len(Event._fields)
        columns[1] = [kind.code for kind in columns[1]]
        return columns

    def log(self, customer_id: str, upto: int | None = None) -> EventLog:
        """The columnar form of what was received up to a write; as `events`, and quicker."""
        if self._is_plain(upto):
            columns = self._all()
            return columnar([customer_id], [0, len(columns[0])], columns)
        return customer_log(customer_id, (event for event, _ in self._kept(upto)))

    def merged(self, events: Sequence[Event], received: int) -> tuple["History", list[bool]]:
        """Add events that a write has brought.

        One that repeats another, by its `event_id` or by its content where it has none, is added
        only where it would have been known earlier, as `churn.events.canonical` has it; both are
        then kept, for whoever asks what had been received before.

        Returns
        -------
        history : History
            With what was added; itself if nothing was.
        added : list of bool, as long as `events`
            False for an event that changes nothing.
        """
        if not events:
            return self, []
        if self._plainly_new(events):
            return self._with(events, received), [True] * len(events)
        kept = self._kept()
        first: dict[object, tuple[object, ...]] = {}
        for event, _ in kept:
            known, rank = _identity(event), _rank(event)
            first[known] = min(first.get(known, rank), rank)
        added, repeats = [], self._repeats
        for event in events:
            known, rank = _identity(event), _rank(event)
            before = first.get(known)
            is_new = before is None or rank < before
            added.append(is_new)
            if is_new:
                repeats |= before is not None
                first[known] = rank
                kept.append((event, received))
        if not any(added):
            return self, added
        return _of(kept, repeats), added

    def without_before(self, instant: int) -> "History":
        """What happened at or after an instant, microseconds since 1970-01-01 UTC."""
        return _of([one for one in self._kept() if one[0].occurred_at >= instant], self._repeats)

    def _is_plain(self, upto: int | None) -> bool:
        """Whether the columns, as they are, are what had been received by a write."""
        return not self._repeats and (upto is None or max(self._numbers(), default=0) <= upto)

    def _all(self) -> list[Sequence[Any]]:
        """Every column, in the order of `Event`'s fields."""
        nothing = [None] * len(self)
        return [self._columns.get(name, nothing) for name in Event._fields]

    def _numbers(self) -> Sequence[int]:
        """The write that brought each event."""
        received = self._received
        return [received] * len(self) if isinstance(received, int) else received

    def _plainly_new(self, events: Sequence[Event]) -> bool:
        """Whether no event has the moment or the `event_id` of another: so for nearly all."""
        moments = {event.occurred_at for event in events}
        if len(moments) < len(events) or not moments.isdisjoint(self._columns["occurred_at"]):
            return False
        names = [event.event_id for event in events if event.event_id is not None]
        if not names:
            return True
        different = set(names)
        return len(different) == len(names) and different.isdisjoint(
            self._columns.get("event_id", ())
        )

    def _with(self, events: Sequence[Event], received: int) -> "History":
        """Put events whose moments are their own into their places."""
        if len(events) > _FEW:
            return _of([*self._kept(), *((event, received) for event in events)], self._repeats)
        columns = {name: [*column] for name, column in self._columns.items()}
        numbers = [*self._numbers()]
        for event in events:
            for name, value in zip(Event._fields, event, strict=True):
                if value is not None and name not in columns:
                    columns[name] = [None] * len(numbers)
            at = bisect_left(columns["occurred_at"], event.occurred_at)
            for name, column in columns.items():
                column.insert(at, event[_PLACES[name]])
            columns["kind"][at] = event.kind.code
            numbers.insert(at, received)
        if len(columns) > len(self._columns):
            columns = {name: columns[name] for name in Event._fields if name in columns}
        return History(columns, numbers, self._repeats)

    def _kept(self, upto: int | None = None) -> list[tuple[Event, int]]:
        """Each event kept, repeats too, and its write."""
        rows = zip(rows_of(self._all()), self._numbers(), strict=True)
        return [row for row in rows if upto is None or row[1] <= upto]


def rows_of(columns: Sequence[Sequence[Any]]) -> list[Event]:
    """Events given as columns in the order of `Event`'s fields, a kind as its code."""
    kinds = [_KINDS[code] for code in columns[1]]
    return [*map(Event._make, zip(columns[0], kinds, *columns[2:], strict=True))]


def _given(columns: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The columns that have something in them, by name."""
    return {
        name: column
        for name, column in zip(Event._fields, columns, strict=True)
        if name in _ALWAYS or column.count(None) < len(column)
    }


def _of(kept: Iterable[tuple[Event, int]], repeats: bool) -> History:
    in_order = sorted(kept, key=lambda row: (sort_key(row[0]), row[1]))
    if not in_order:
        return History.empty()
    columns: list[Sequence[Any]] = [*zip(*(event for event, _ in in_order), strict=True)]
    columns[1] = [kind.code for kind in columns[1]]
    return History(_given(columns), [received for _, received in in_order], repeats)


def _identity(event: Event) -> object:
    """What makes another event a repeat of this one."""
    return event[:10] if event.event_id is None else event.event_id


def _rank(event: Event) -> tuple[object, ...]:
    """Of two that repeat each other the lesser counts."""
    return known_from(event), sort_key(event)
