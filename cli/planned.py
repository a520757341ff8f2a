"""Everybody of a log weighed, planned and, if that is wanted, recorded."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.contacts import Contact
from churn.policy.situation import MOST_REASONS
from churn.scoring import Scorer
from cli.store import patiently
from service.contacts import joined as joined_contacts
from service.plan.decided import decisions
from service.plan.making import Plan
from service.plan.noted import Noted, noted
from service.plan.options import Options, joined, options_of
from service.plan.standing import Book, make_around
from service.store.contacts import contacts_of
from service.store.database import Database
from service.store.decisions import Decisions
from service.store.recorded import Scores
from training.config import Config
from training.policy.everybody import Contacts, Scored, scored
from training.progress import Progress

BLOCK = 2_000
"""Decisions that are read, or stored, at a time."""


class _Part(NamedTuple):
    options: Options
    noted: Noted | None
    keys: list[tuple[str, int]]


class Planned:
    """A plan for everybody.

    Parameters
    ----------
    scorer : Scorer
        The model, and the policy.
    database : Database or None
        The store whose deliveries and decisions count, if any do.
    record : bool
        Whether the plan is to be stored there.
    progress : Progress
        Told of what is done.

    Attributes
    ----------
    book : Book
        Everybody, and what is recorded of each.
    recorded : int
        How many decisions were stored.
    """

    def __init__(
        self, scorer: Scorer, database: Database | None, *, record: bool, progress: Progress
    ) -> None:
        self.book = Book([])
        self.recorded = 0
        self._scorer = scorer
        self._database = database
        self._record = record
        self._progress = progress
        self._parts: list[_Part] = []

    def weigh(self, config: Config, *, as_of: datetime | None, now: datetime) -> None:
        """Score everybody, weigh what may be done about each, and read what stands.

        Raises
        ------
        DataError
            The log cannot be used, or the model reads no events.
        StoreUnavailable
            The store does not answer.
        """
        self._parts = list(
            scored(
                config,
                self._scorer,
                self._part,
                as_of=as_of,
                now=now,
                max_reasons=MOST_REASONS if self._record else 0,
                join=None if self._database is None else self._joined,
                progress=self._progress,
            )
        )
        self.book = Book([key for part in self._parts for key in part.keys])
        if self._database is None:
            return
        store, keys = Decisions(self._database), self.book.keys
        for start in range(0, len(keys), BLOCK):
            self.book.read(store.standing(set(keys[start : start + BLOCK])))

    def made(self, *, budget: float, capacity: Mapping[str, int]) -> Plan:
        """Make the plan, and store it if that is wanted.

        Raises
        ------
        StoreUnavailable
            The store does not answer: what was stored until then stands.
        """
        options = joined([part.options for part in self._parts])
        plan = make_around(options, self.book.standing, budget=budget, capacity=capacity)
        if not self._record:
            return plan
        notes = Noted.joined([part.noted for part in self._parts if part.noted])
        self._parts.clear()
        self._store(options, plan, notes)
        return self.book.settled(plan, self._scorer.policy)

    def _part(self, found: Scored) -> _Part:
        crowd, numbers, reasons = found
        options = options_of(self._scorer.advisor, crowd)
        notes = None
        if self._record:
            notes = noted(self._scorer, numbers, crowd, options.situation, reasons, "en")
        days = (crowd.as_of // MICROSECONDS_PER_DAY).tolist()
        return _Part(options, notes, list(zip(crowd.customer_id, days, strict=True)))

    def _joined(
        self, customer_ids: Sequence[str], told: Sequence[Contacts], as_of: int
    ) -> list[Contacts]:
        """What the log tells of contacts, and what was delivered as the store has it."""
        assert self._database is not None
        reach = self._scorer.policy.ready.reach
        with self._database.reading(single=True) as connection:
            found: Mapping[str, Sequence[Contact]] = contacts_of(
                connection, customer_ids, as_of - reach
            )
        return [
            joined_contacts(one, found.get(who, ()), as_of, reach)
            for who, one in zip(customer_ids, told, strict=True)
        ]

    def _store(self, options: Options, plan: Plan, notes: Noted) -> None:
        assert self._database is not None
        store, rows = Scores(self._database), self.book.undecided
        self._progress.stage("recording", len(rows))
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            now = time.time_ns() // 1000
            some = list(decisions(self._scorer, options, plan, notes, block, now))
            stands = patiently(partial(store.record, (), some), self._progress.note)
            self.book.keep(some, stands)
            mine = {one.decision_id for one in some}
            self.recorded += sum(one.decision_id in mine for one in stands.values())
            self._progress.advance(len(block))
