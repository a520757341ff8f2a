"""From what was sent to numbers that can be scored, and to what is wrong with the rest."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np

from churn.compiled import Floats, Integers
from churn.errors import RequestError
from churn.history import History
from churn.policy.contacts import Contact
from churn.scoring import CustomerRow
from service import logs
from service.answers import customer_row
from service.columns import Told
from service.contacts import joined
from service.jobs.job import Job, Limits, Read
from service.jobs.sent import Row, Table
from service.marks import Held
from service.models import Loaded
from service.problems import INTERNAL_ERROR, Problem, invalid_field
from service.quick import Checked
from service.schemas import LONGEST_IDENTIFIER
from service.validation import FIELD_NAMES, parse, score_body, score_request

_PINNED = ("max_reasons", "direction", "language")
_PINNED_BYTES = tuple(name.encode() for name in _PINNED)

_log = logging.getLogger(f"{logs.ROOT}.jobs")


class Block(NamedTuple):
    """Rows of a chunk that are scored together, for they are told in the same way.

    `places` has their positions in the chunk, the rest is as in `service.jobs.sent.Table`.
    """

    places: Integers
    customer_id: list[str]
    as_of: Integers
    numbers: Floats
    told: Told
    warnings: list[tuple[str, ...]]
    missing: Mapping[str, int]
    channels: list[frozenset[str] | None] | None = None
    contacts: list[tuple[Contact, ...]] | None = None

    def rows(self) -> list[CustomerRow]:
        """As rows that `Scorer.score_rows` takes."""
        told, n = self.told, len(self.customer_id)
        channels = self.channels or [None] * n
        contacts = self.contacts or [()] * n
        return [
            CustomerRow(
                customer_id, numbers, as_of, told.feeds, told.max_reasons, told.direction,
                told.language, warnings, (), allowed, delivered,
            )
            for customer_id, numbers, as_of, warnings, allowed, delivered in zip(
                self.customer_id, self.numbers, self.as_of.tolist(), self.warnings, channels,
                contacts, strict=True,
            )
        ]  # fmt: skip


class Prepared(NamedTuple):
    """A chunk of `n` rows, ready to be scored.

    `unknown` and `refused` say by position whose rows have no numbers, as of when, and why.
    """

    n: int
    blocks: list[Block]
    unknown: dict[int, tuple[str, int]]
    refused: dict[int, tuple[str | None, Problem]]


def of_table(table: Table) -> Prepared:
    """Prepare checked columns."""
    places = np.arange(len(table.customer_id))
    return Prepared(len(places), [Block(places, *table)], {}, {})


def of_rows(rows: list[Row], job: Job, loaded: Loaded, read: Read, limits: Limits) -> Prepared:
    """Prepare rows; each is refused by itself, and stored histories are read at once.

    Parameters
    ----------
    rows : list of Row
        As sent.
    job : Job
        Says what is not said by a row.
    loaded : Loaded
        The model.
    read : callable
        Reads stored histories.
    limits : Limits
        What a customer may have.
    """
    maker = _Maker(job, loaded, limits)
    for place, row in enumerate(rows):
        maker.check(place, row)
    stored = {checked.customer_id for checked in maker.stored.values()}
    found = read(sorted(stored)) if stored else {}
    for place, checked in maker.stored.items():
        maker.from_store(place, checked, found)
    return Prepared(len(rows), _blocks(maker.ready), maker.unknown, maker.refused)


def contacted(block: Block, delivered: Mapping[str, Sequence[Contact]], reach: int) -> Block:
    """A block that knows of what was delivered to its customers; `reach` is the policy's."""
    if not delivered:
        return block
    told = block.contacts or [()] * len(block.customer_id)
    known = zip(block.customer_id, told, block.as_of.tolist(), strict=True)
    return block._replace(
        contacts=[joined(one, delivered.get(who, ()), as_of, reach) for who, one, as_of in known]
    )


class _Maker:
    """Makes the rows of one chunk."""

    def __init__(self, job: Job, loaded: Loaded, limits: Limits) -> None:
        self.ready: dict[int, CustomerRow] = {}
        self.stored: dict[int, Checked] = {}
        self.unknown: dict[int, tuple[str, int]] = {}
        self.refused: dict[int, tuple[str | None, Problem]] = {}
        self._job = job
        self._rows = loaded.scorer.rows
        self._feeds = loaded.scorer.feeds
        self._most_events = limits.events
        self._has_store = loaded.scorer.schema.loop  # other models read no events, stored or sent
        # A table has a column for every feature of the catalogue, a line only the model's.
        lines = job.input_format == "ndjson"
        self._names: Set[str] = (
            loaded.feature_names if lines else frozenset(loaded.scorer.schema.names)
        )

    def check(self, place: int, row: Row) -> None:
        try:
            if row.problem is not None:
                raise row.problem
            checked = self._checked(row.value)
            if checked.by_id:
                self.stored[place] = checked
            else:
                self.ready[place] = customer_row(self._rows, checked, self._job.as_of)
        except Problem as problem:
            self._refuse(place, row, problem)
        except Exception as error:
            _log.error("row failed", exc_info=error, extra={"fields": {"job": self._job.job_id}})
            self._refuse(place, row, Problem(INTERNAL_ERROR, "The service failed at this row."))

    def _checked(self, value: Any) -> Checked:
        check = score_body if isinstance(value, bytes) else score_request
        checked: Checked = check(
            value,
            max_events=self._most_events,
            feature_names=self._names,
            has_store=self._has_store,
        )
        if checked.record:
            raise invalid_field(
                "/record must be false in a job: its results are suggestions. POST "
                "/v1/score/batch and POST /v1/plan record what they answer.",
                "/record",
                "not_recorded",
            )
        said = _said(value)
        unsaid = {name: getattr(self._job, name) for name in _PINNED if name not in said}
        return checked._replace(**unsaid)

    def _refuse(self, place: int, row: Row, problem: Problem) -> None:
        if row.line is not None:
            detail = f"Line {row.line}: {problem.detail}"
            problem = Problem(problem.kind, detail, problem.errors)
        self.refused[place] = identifier(row.value), problem

    def from_store(self, place: int, checked: Checked, found: Mapping[str, History]) -> None:
        job = self._job
        as_of = job.as_of if checked.as_of is None else checked.as_of
        held = Held(checked.feeds, ())
        if job.marks is not None:
            try:
                held = job.marks.hold(as_of, checked.feeds, self._feeds)
            except Problem as problem:
                self.refused[place] = checked.customer_id, problem
                return
        history = found.get(checked.customer_id)
        if history is None or not history.seen_by(job.received):
            self.unknown[place] = checked.customer_id, as_of
            return
        try:
            row = self._rows.of_history(
                checked.customer_id,
                history,
                as_of,
                upto=job.received,
                feeds=held.feeds,
                max_reasons=checked.max_reasons,
                direction=checked.direction,
                language=checked.language,
                channels=checked.channels,
            )
        except RequestError as error:
            refusal = invalid_field(str(error), error.pointer, error.code)
            self.refused[place] = checked.customer_id, refusal
            return
        self.ready[place] = row._replace(warnings=row.warnings + held.warnings)


def _blocks(ready: Mapping[int, CustomerRow]) -> list[Block]:
    together: dict[Told, list[int]] = {}
    for place in sorted(ready):
        row = ready[place]
        told = Told(row.max_reasons, row.direction, row.language, row.feeds)
        together.setdefault(told, []).append(place)
    return [
        _block([ready[place] for place in places], places, told)
        for told, places in together.items()
    ]


def _block(rows: Sequence[CustomerRow], places: Sequence[int], told: Told) -> Block:
    asked = any(row.channels is not None for row in rows)
    contacted = any(row.contacts for row in rows)
    return Block(
        np.array(places),
        [row.customer_id for row in rows],
        np.array([row.as_of for row in rows], dtype=np.int64),
        np.array([row.numbers for row in rows]),
        told,
        [row.warnings for row in rows],
        Counter(name for row in rows for name in row.missing),
        [row.channels for row in rows] if asked else None,
        [row.contacts for row in rows] if contacted else None,
    )


def _said(value: Any) -> Collection[str]:
    """What a row that was taken says of how it is to be told, and perhaps more."""
    if not isinstance(value, bytes):
        said: Collection[str] = value
        return said
    if b"\\" not in value and not any(name in value for name in _PINNED_BYTES):
        return ()
    said = parse(value, FIELD_NAMES)
    return said


def identifier(value: Any) -> str | None:
    """The customer of a row that may be wrong, if it can be told."""
    if isinstance(value, bytes):
        try:
            value = parse(value, FIELD_NAMES)
        except Problem:
            return None
    given = value.get("customer_id") if isinstance(value, dict) else None
    if isinstance(given, str) and 0 < len(given) <= LONGEST_IDENTIFIER and given.isprintable():
        return given
    return None
