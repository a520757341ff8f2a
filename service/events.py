"""Events to keep: every row is accepted, known already, or refused with what is wrong.

A body is parsed, checked and written in the store's own writing thread, so that scores do not wait
for it. What was accepted is on disk before it is answered; sending a body again is harmless.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from starlette.types import Receive, Scope

from churn.events import Event
from service import body
from service.batch import lines
from service.context import id_of, route_template
from service.direct import Reply
from service.problems import Problem, invalid_field
from service.state import State, count_failure
from service.store.histories import Outcome
from service.validation import FIELD_NAMES, batch_items, check_count, customer_event, parse

AT_ONCE = 2000
"""Events of one transaction: other writers and readers wait for no longer than these take."""

UNKNOWN_KIND = "unknown"
REFUSED = "refused"

_ANSWERS = {
    Outcome.ACCEPTED: b'{"status":"accepted"}',
    Outcome.DUPLICATE: b'{"status":"duplicate"}',
}

Row = tuple[str, Event] | Problem
"""Whose event it is, or why it is none."""


async def ingest(state: State, scope: Scope, receive: Receive) -> Reply:
    """Answer `POST /v1/events`.

    Raises
    ------
    Problem
        The request as a whole is wrong, or too much waits to be written.
    StoreUnavailable
        Nothing, or only a part, was kept: to be sent again.
    """
    headers = body.told(scope)
    media_type = body.media_type(headers, (body.JSON, body.NDJSON))
    raw = await body.read(headers, receive, state.settings.max_ingest_body_bytes, state.bodies)
    with state.rooms.events:
        taken = Ingestion(state, scope)
        answer = taken.of_lines if media_type == body.NDJSON else taken.of_document
        content = await asyncio.get_running_loop().run_in_executor(state.writer, answer, raw)
    return Reply(content, media_type)


class Ingestion:
    """One body's events.

    Parameters
    ----------
    state : State
        Of the app.
    scope : dict
        Of the request.
    """

    def __init__(self, state: State, scope: Scope) -> None:
        self._state = state
        self._request_id = id_of(scope)
        self._instance = route_template(scope)
        self._now = state.clock()
        self._latest = self._now + state.settings.clock_allowance_seconds * 1_000_000
        self._most = state.settings.max_ingest_events

    def of_lines(self, raw: bytes) -> bytes:
        """Keep an NDJSON body's events; answer with as many lines."""
        sent = lines(raw, self._most, "events")
        rows = self._checked(sent, lambda line: parse(line, FIELD_NAMES), lambda index: "")
        return b"".join(answer + b"\n" for answer in self._kept(rows, lambda index: "")[0])

    def of_document(self, raw: bytes) -> bytes:
        """Keep a JSON body's events; answer with one document."""
        document = parse(raw, FIELD_NAMES)
        items = batch_items(document, "events")
        check_count(len(items), self._most, "events")
        root = "" if isinstance(document, list) else "/events"

        def place(index: int) -> str:
            return f"{root}/{index}"

        answers, outcomes = self._kept(self._checked(items, lambda item: item, place), place)
        return (b'{"accepted":%d,"duplicates":%d,"refused":%d,"request_id":%b,"rows":[%b]}') % (
            outcomes[Outcome.ACCEPTED],
            outcomes[Outcome.DUPLICATE],
            outcomes[REFUSED],
            orjson.dumps(self._request_id),
            b",".join(answers),
        )

    def _checked(
        self,
        sent: Iterable[Any],
        to_item: Callable[[Any], Any],
        place: Callable[[int], str],
    ) -> list[Row]:
        rows: list[Row] = []
        for index, one in enumerate(sent):
            if index % AT_ONCE == 0:
                self._let_pass()
            try:
                customer_id, event = customer_event(to_item(one), place(index))
                if max(event.occurred_at, event.known_at or 0) > self._latest:
                    raise _in_the_future(event, place(index), self._latest)
            except Problem as problem:
                rows.append(problem)
            else:
                rows.append((customer_id, event))
        return rows

    def _kept(
        self, rows: Sequence[Row], place: Callable[[int], str]
    ) -> tuple[list[bytes], Counter[str]]:
        """Write the events; every row's answer, and how many there are of each."""
        good = [index for index, row in enumerate(rows) if not isinstance(row, Problem)]
        outcomes: dict[int, Outcome] = {}
        for start in range(0, len(good), AT_ONCE):
            some = good[start : start + AT_ONCE]
            self._let_pass()
            batch: list[Any] = [rows[index] for index in some]
            written = self._state.histories.append(batch, self._now)
            outcomes.update(zip(some, written, strict=True))
        answers: list[bytes] = []
        counted: Counter[tuple[str, str]] = Counter()
        for index, row in enumerate(rows):
            if isinstance(row, Problem):
                kind, outcome = UNKNOWN_KIND, REFUSED
                answers.append(self._refusal(index, row))
            else:
                kind = row[1].kind.value
                refused = _REFUSALS.get(outcomes[index])
                if refused is not None:
                    outcome = REFUSED
                    answers.append(self._refusal(index, refused(place(index))))
                else:
                    outcome = outcomes[index]
                    answers.append(_ANSWERS[outcomes[index]])
            counted[kind, outcome] += 1
        totals: Counter[str] = Counter()
        for (kind, outcome), count in counted.items():
            self._state.metrics.events_ingested[kind, outcome].inc(count)
            totals[outcome] += count
        return answers, totals

    def _let_pass(self) -> None:
        """Who waits for a score to be recorded waits for a piece, not for the whole body."""
        self._state.recorder.write()

    def _refusal(self, index: int, problem: Problem) -> bytes:
        count_failure(self._state.metrics, problem)
        document = problem.document(instance=self._instance, request_id=self._request_id)
        return orjson.dumps({"status": REFUSED, "error": {"index": index, **document}})


def _in_the_future(event: Event, place: str, latest: int) -> Problem:
    name = "occurred_at" if event.occurred_at > latest else "known_at"
    return invalid_field(
        f"{place}/{name} lies in the future; send what has happened, and look at the clock that "
        "told the time.",
        f"{place}/{name}",
        "in_the_future",
    )


def _erased(place: str) -> Problem:
    return invalid_field(
        f"{place}/occurred_at lies before its customer's erasure; what was erased is not taken "
        "again.",
        f"{place}/occurred_at",
        "erased",
    )


def _full(place: str) -> Problem:
    return invalid_field(
        f"As many events of {place}/customer_id are stored as may be "
        "(KEEPWELL_MAX_STORED_EVENTS): look whether many customers share one identifier.",
        f"{place}/customer_id",
        "too_many_stored",
    )


_REFUSALS: dict[Outcome, Callable[[str], Problem]] = {
    Outcome.ERASED: _erased,
    Outcome.FULL: _full,
}
