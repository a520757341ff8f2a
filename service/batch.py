"""Lists of customers: every row is answered or refused by itself, in input order.

A list is parsed, checked and scored in a thread of its own, so that single requests and probes
are not kept waiting: the kernels let the interpreter go, and between them the event loop gets it
back within a fifth of a millisecond (`service.server`), unless one call takes longer: so a list is
parsed a part at a time. Rows are scored in blocks, which costs a third.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import orjson
from starlette.types import Receive, Scope

from churn.history import History
from churn.policy.contacts import Contact
from churn.scoring import CustomerRow
from service import body, columns, contacts, logs
from service.answers import MODE_BATCH, Scoring
from service.context import id_of, route_template
from service.direct import Reply
from service.marks import Held
from service.models import Loaded
from service.problems import (
    UNSUPPORTED_MEDIA_TYPE,
    FieldError,
    Problem,
    internal_error,
    store_unavailable,
)
from service.quick import Checked
from service.recording import Answer, Recording, recording
from service.state import State, count_failure
from service.store.errors import StoreTooNew, StoreUnavailable
from service.store.recorder import Recorder, Standing
from service.validation import (
    check_count,
    line_too_long,
    list_parts,
    score_body,
    score_request,
)

BLOCK_ROWS = 256
"""Scored together: four blocks of the trees' loop. What a thousand leave behind takes 2 ms to free,
and sets off the garbage collector, for up to 10 ms. It costs up to 4% of a list's time."""

_log = logging.getLogger(f"{logs.ROOT}.scoring")


async def score(state: State, scope: Scope, receive: Receive) -> Reply:
    """Answer `POST /v1/score/batch`.

    Raises
    ------
    Problem
        The request as a whole is wrong, or no model is loaded.
    """
    headers = body.told(scope)
    media_type = body.media_type(headers, (body.JSON, body.NDJSON, body.ARROW))
    raw = await body.read(headers, receive, state.settings.max_batch_body_bytes, state.bodies)
    with state.rooms.lists:
        return await _scored(state, Rows(state, scope, state.loaded()), media_type, raw)


async def _scored(state: State, rows: "Rows", media_type: str, raw: bytes) -> Reply:
    loop = asyncio.get_running_loop()
    if media_type == body.ARROW:
        columnar = await loop.run_in_executor(state.worker, rows.of_columns, raw)
        return Reply(columnar, media_type, rows.loaded.version)
    take = rows.take_document if media_type == body.JSON else rows.take_lines
    await loop.run_in_executor(state.worker, take, raw)
    if rows.stored:
        await rows.read()
    if state.deliveries.any is not False:
        await rows.read_contacts()
    content = await loop.run_in_executor(state.worker, rows.answer)
    if content is None:
        await rows.record(state.recorder)
        content = await loop.run_in_executor(state.worker, rows.content)
    return Reply(content, media_type, rows.loaded.version)


class Rows:
    """Answers the rows of one batch, all with one model and one clock reading.

    First all rows are taken, then the histories that are stored are read for all who need one, by
    the event loop so that the thread does not wait for a database; then the rows are answered.

    Parameters
    ----------
    state : State
        Of the app.
    scope : dict
        Of the request.
    loaded : Loaded
        The model.

    Attributes
    ----------
    stored : dict of int to Checked
        The rows of which nothing but an id was sent, by position.
    to_record : dict of int to Recording
        The answers that are asked to be remembered, by position.
    """

    def __init__(self, state: State, scope: Scope, loaded: Loaded) -> None:
        self.loaded = loaded
        self.stored: dict[int, Checked] = {}
        self.to_record: dict[int, Recording] = {}
        self._recorded: set[int] = set()
        self._request_id = id_of(scope)
        self._scoring = Scoring(
            loaded,
            state.metrics,
            now=state.clock(),
            request_id=self._request_id,
            mode=MODE_BATCH,
        )
        self._instance = route_template(scope)
        self._scope = scope
        self._state = state
        self._limits: dict[str, Any] = {
            "max_events": state.settings.max_events,
            "feature_names": loaded.feature_names,
            "has_store": loaded.scorer.schema.loop,
        }
        self._ready: dict[int, CustomerRow] = {}
        self._histories: dict[int, tuple[History, Held, Sequence[Contact]]] = {}
        self._out: list[bytes] = []
        self._is_document = False

    def take_lines(self, raw: bytes) -> None:
        """Check an NDJSON body, line by line."""
        most = self._state.settings.max_body_bytes
        for line in lines(raw, self._state.settings.max_batch_customers):
            try:
                if len(line) > most:
                    raise line_too_long(most)
                self._take(score_body(line, **self._limits), "")
            except Exception as error:
                self._refuse(error)

    def take_document(self, raw: bytes) -> None:
        """Check a JSON body, customer by customer."""
        self._is_document = True
        root, parts = list_parts(raw)
        check_count(sum(map(len, parts)), self._state.settings.max_batch_customers)
        for index, customer in enumerate(_in_turn(parts)):
            try:
                place = f"{root}/{index}"
                self._take(score_request(customer, root=place, **self._limits), place)
            except Exception as error:
                self._refuse(error)

    async def read(self) -> None:
        """Read the histories of all who are stored; where they cannot be read, say so by row."""
        asked = list({checked.customer_id for checked in self.stored.values()})
        try:
            marks = await self._state.freshness.marks()
            found = await self._state.reading.histories(asked)
            delivered = await self._state.reading.contacts(asked, self._since(self.stored))
        except (StoreUnavailable, StoreTooNew) as error:
            problem = store_unavailable(error)
            for at in self.stored:
                self._out[at] = self._refusal(at, problem)
            return
        for at, checked in self.stored.items():
            try:
                held = self._scoring.held(checked, marks)
            except Problem as problem:
                self._out[at] = self._refusal(at, problem)
                continue
            history = found.get(checked.customer_id)
            if history is None:
                unknown = self._scoring.unknown(checked)
                self._out[at] = self._scoring.render(unknown)
                self._audit(Answer(unknown), None)
            else:
                contacted = delivered.get(checked.customer_id, ())
                self._histories[at] = history, held, contacted

    async def read_contacts(self) -> None:
        """Read what was delivered to those who were sent with their data."""
        asked = list({row.customer_id for row in self._ready.values()})
        if not asked:
            return
        since = min(row.as_of for row in self._ready.values()) - self._scoring.reach
        found: Mapping[str, Sequence[Contact]] | None = None
        if self._state.deliveries.any:
            with suppress(StoreUnavailable, StoreTooNew):
                found = await self._state.reading.contacts(asked, since)
        for at, row in self._ready.items():
            if found is None:
                self._ready[at] = contacts.unknown(row)
            else:
                self._ready[at] = contacts.added(
                    row, found.get(row.customer_id, ()), self._scoring.reach
                )

    def answer(self) -> bytes | None:
        """Score what was taken, a block at a time: `content`, or None if some is to be recorded."""
        for at, (history, held, contacted) in self._histories.items():
            try:
                row = self._scoring.stored_row(self.stored[at], history, held)
                self._ready[at] = contacts.added(row, contacted, self._scoring.reach)
            except Exception as error:
                self._out[at] = self._refusal(at, error)
        ready = sorted(self._ready)
        for start in range(0, len(ready), BLOCK_ROWS):
            # Taken out, so that what is answered is let go a block at a time.
            self._answer([(at, self._ready.pop(at)) for at in ready[start : start + BLOCK_ROWS]])
        metrics = self._state.metrics
        metrics.batch_rows.observe(len(self._out))
        metrics.predict_duration_seconds[MODE_BATCH].observe(self._scoring.seconds)
        return None if self.to_record else self.content()

    async def record(self, recorder: Recorder) -> None:
        """Have the answers remembered that are asked to be; otherwise they are not given."""
        asked = list(self.to_record.values())
        try:
            standing = await recorder.record(
                [one.remembered for one in asked],
                [decided for one in asked for decided in one.decisions],
            )
        except (StoreUnavailable, StoreTooNew) as error:
            problem = store_unavailable(error)
            for at in self.to_record:
                self._out[at] = self._refusal(at, problem)
            return
        work = partial(self._answer_as_recorded, standing)
        await asyncio.get_running_loop().run_in_executor(self._state.worker, work)

    def content(self) -> bytes:
        """Every customer's answer or problem, in input order: a line each, or one document."""
        # A join of a megabyte lets the interpreter go; a further copy of it would not.
        if not self._is_document:
            return b"\n".join([*self._out, b""])
        first, *others = self._out or [b""]
        head = b'{"model_version":%b,"request_id":%b,"results":[' % (
            orjson.dumps(self.loaded.version),
            orjson.dumps(self._request_id),
        )
        out = [head + first, *others]
        out[-1] += b"]}"
        return b",".join(out)

    def of_columns(self, raw: bytes) -> bytes:
        """Answer an Arrow IPC stream with one."""
        try:
            # Only where it is wanted: the library is large, and an extra of the package.
            arrow_input = import_module("service.arrow_input")
            arrow_output = import_module("service.arrow_output")
        except ImportError:
            raise Problem(
                UNSUPPORTED_MEDIA_TYPE,
                "Arrow streams are not installed on this server; its operator adds them by "
                "installing keepwell[arrow]. Send application/json meanwhile.",
                (FieldError("", "arrow_not_installed"),),
            ) from None
        scorer = self.loaded.scorer
        most = self._state.settings.max_batch_customers
        sent = arrow_input.read(raw, scorer.rows.inputs, now=self._scoring.now, most=most)
        customers = columns.Customers(sent.customer_id, sent.as_of, sent.channels)
        answers = columns.timed_score(
            self._state.metrics, scorer, customers, sent.numbers, sent.told
        )
        if self.loaded.window is not None:
            self.loaded.window.matrix(answers.numbers, answers.scores)
        versions = {
            "model_version": self.loaded.version,
            "policy_version": scorer.policy.version,
        }
        if self._state.audit is not None:
            numbers = scorer.rows.settled(sent.numbers)
            self._state.audit.scored_columns(
                self._scope, customers, numbers, answers, versions, self._scoring.now
            )
        metadata = {**versions, "request_id": self._request_id}
        content: bytes = arrow_output.write(scorer, sent.customer_id, sent.as_of, answers, metadata)
        return content

    def _answer_as_recorded(self, standing: Standing) -> None:
        for at, one in self.to_record.items():
            answer = one.answer(standing)
            self._out[at] = self._scoring.render(*answer)
            self._audit(answer, self._ready[at])

    def _since(self, asked: Mapping[int, Checked]) -> int:
        return min(map(self._scoring.as_of, asked.values())) - self._scoring.reach

    def _take(self, checked: Checked, root: str) -> None:
        at = len(self._out)
        if checked.record:
            self._recorded.add(at)
        if checked.by_id:
            self.stored[at] = checked
        else:
            self._ready[at] = self._scoring.row(checked, root)
        self._out.append(b"")

    def _refuse(self, error: Exception) -> None:
        self._out.append(self._refusal(len(self._out), error))

    def _answer(self, ready: Sequence[tuple[int, CustomerRow]]) -> None:
        try:
            scores = self._scoring.scores([row for _, row in ready])
            answers = [self._scoring.render(score) for score in scores]
        except Exception as error:
            if len(ready) == 1:
                index, _ = ready[0]
                self._out[index] = self._refusal(index, error)
                return
            for one in ready:  # the fault is one row's: the others are answered
                self._answer([one])
            return
        for (index, row), score, answer in zip(ready, scores, answers, strict=True):
            self._out[index] = answer
            if index in self._recorded:
                self.to_record[index] = recording(score, row, self._scoring.now)
                self._ready[index] = row
            else:
                self._audit(Answer(score), row)

    def _audit(self, answer: Answer, row: CustomerRow | None) -> None:
        if self._state.audit is not None:
            self._state.audit.scored(self._scope, answer, row, self._scoring.now)

    def _refusal(self, index: int, error: Exception) -> bytes:
        if isinstance(error, Problem):
            problem = error
        else:
            problem = internal_error(self._request_id)
            fields = {"request_id": self._request_id, "row": index}
            _log.error("row failed", exc_info=error, extra={"fields": fields})
        metrics = self._state.metrics
        count_failure(metrics, problem)
        metrics.predict_rows[MODE_BATCH, "error"].inc()
        document = problem.document(instance=self._instance, request_id=self._request_id)
        return orjson.dumps({"index": index, **document})


def _in_turn(parts: list[list[Any]]) -> Iterator[Any]:
    """The rows of all parts; each part is let go when its last row was taken."""
    parts.reverse()
    while parts:
        yield from parts.pop()


def lines(raw: bytes, most: int, name: str = "customers") -> list[bytes]:
    """Split an NDJSON body into its lines; a line break at the end opens no further line.

    Raises
    ------
    Problem
        There are more than `most`.
    """
    raw = raw.rstrip(b" \t\r").removesuffix(b"\n")
    if not raw:
        return []
    check_count(raw.count(b"\n") + 1, most, name)
    return raw.split(b"\n")
