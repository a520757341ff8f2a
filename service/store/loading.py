"""A whole log put into the store, a part at a time.

A part is one transaction, with the note that it is in: an import that was killed goes on with the
parts that are not, and one of the same log passes them over until another log has been put in, or
retention has taken events out. Whatever is stored already stays, and what repeats it is not kept
twice.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from sqlalchemy import delete, select

from churn.events import Kind
from churn.history import History, rows_of
from service.schemas import LONGEST_IDENTIFIER, NO_CONTROL_CHARACTERS
from service.store import pieces
from service.store.database import Database
from service.store.histories import MOST_EVENTS, advance, number_of, set_number
from service.store.tables import imports
from service.store.tombstones import buried
from service.store.upsert import upsert

Columns = Sequence[Sequence[Any]]
"""One customer's events, as columns in the order of `Event`'s fields, a kind as its code."""

_USABLE = re.compile(NO_CONTROL_CHARACTERS)


@dataclass(slots=True)
class Loaded:
    """What became of events.

    Attributes
    ----------
    accepted, duplicates : int
        Events added, and events that were stored already.
    erased : int
        Events from before their customer's erasure.
    full : int
        Events beyond as many as may be kept of their customer.
    unusable : int
        Events of customers whose id no request could name: longer than 256 characters, or with
        control characters.
    """

    accepted: int = 0
    duplicates: int = 0
    erased: int = 0
    full: int = 0
    unusable: int = 0

    def add(self, other: "Loaded") -> None:
        """Count those of another part as well."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.erased += other.erased
        self.full += other.full
        self.unusable += other.unusable


class Loading:
    """Puts parts of a log into a store.

    Parameters
    ----------
    database : Database
        Where they go.
    most : int, optional
        How many of one customer are kept; of more, those that a log has last.
    """

    def __init__(self, database: Database, most: int = MOST_EVENTS) -> None:
        self._database = database
        self._most = most

    def done(self, source: str) -> dict[int, int]:
        """The parts of a source that are in, and how many events each had."""
        wanted = select(imports.c.part, imports.c.rows).where(imports.c.source == source)
        with self._database.reading() as connection:
            return {row.part: row.rows for row in connection.execute(wanted)}

    def load(
        self,
        source: str,
        part: int,
        customers: Mapping[str, Columns],
        last: Mapping[Kind, int],
        now: int,
    ) -> Loaded:
        """Put a part in, whole or not at all; on disk when this returns.

        Parameters
        ----------
        source : str
            Fingerprint of what the part is of.
        part : int
            Which part of it.
        customers : mapping of str to columns
            Each one's events in canonical order, without repeats.
        last : mapping of Kind to int
            When the last event of each kind happened, microseconds since 1970-01-01 UTC.
        now : int
            The present, likewise.

        Raises
        ------
        StoreUnavailable
            Nothing was added, or it cannot be known whether it was: load the same part again.
        """
        total = Loaded()
        usable: dict[str, Columns] = {}
        for who, columns in customers.items():
            if len(who) <= LONGEST_IDENTIFIER and _USABLE.search(who):
                usable[who] = columns
            else:
                total.unusable += len(columns[0])
        with self._database.writing() as connection:
            number = number_of(connection) + 1
            known = dict(pieces.read(connection, list(usable)))
            changed: list[pieces.Piece] = []
            for who, erased_at in buried(connection, usable).items():
                usable[who], n_erased = _since(usable[who], erased_at)
                total.erased += n_erased
            for who, columns in usable.items():
                if not columns[0]:
                    continue
                after, added, full = _merged(known.get(who), columns, number, self._most)
                total.accepted += added
                total.full += full
                total.duplicates += len(columns[0]) - added - full
                if added:
                    piece = (after.encode(), after.first_at, after.last_at, len(after))
                    changed.append((who, *piece))
            if changed:
                pieces.write(connection, changed)
                set_number(connection, number)
            advance(connection, last, now)
            rows = sum(len(columns[0]) for columns in customers.values())
            note = {"source": source, "part": part, "rows": rows, "finished_at": now}
            if not total.full:  # there may be room for them another time
                upsert(connection, imports, [note], keys=("source", "part"))
        return total

    def keep_only(self, sources: Sequence[str]) -> None:
        """Remove the notes of all sources but these, which are in, whole."""
        with self._database.writing() as connection:
            connection.execute(delete(imports).where(imports.c.source.not_in(sources)))


def _merged(
    known: bytes | None, columns: Columns, number: int, most: int
) -> tuple[History, int, int]:
    """A customer's history with what was added; how many events these were, and too many."""
    if known is None:
        full = max(len(columns[0]) - most, 0)
        kept = [column[full:] for column in columns]
        return History.of(kept, number), len(kept[0]), full
    before = History.decode(known)
    if before.holds(columns):
        return before, 0, 0
    events = rows_of(columns)
    after, added = before.merged(events, number)
    full = min(max(len(after) - most, 0), sum(added))
    if full:
        after, _ = before.merged([*compress(events, added)][full:], number)
    return after, sum(added) - full, full


def _since(columns: Columns, instant: int) -> tuple[Columns, int]:
    """What happened from an instant on, and how much happened before."""
    kept = [at for at, occurred_at in enumerate(columns[0]) if occurred_at >= instant]
    return [[column[at] for at in kept] for column in columns], len(columns[0]) - len(kept)
