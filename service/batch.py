"""Lists of customers: every row is answered or refused by itself, in input order.

A list is parsed, checked and scored in a thread of its own, so that single requests and probes
are not kept waiting: the kernels let the interpreter go, and between them the event loop gets it
back within a fifth of a millisecond (`service.server`). Rows are scored in blocks, which costs a
third.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import orjson
from starlette.types import Receive, Scope

from churn.scoring import CustomerRow
from service import body, columns, logs
from service.answers import MODE_BATCH, Scoring
from service.context import id_of, route_template
from service.direct import Reply
from service.models import Loaded
from service.problems import (
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    FieldError,
    Problem,
    internal_error,
)
from service.state import State, count_failure
from service.validation import (
    FIELD_NAMES,
    batch_items,
    check_count,
    parse,
    score_body,
    score_request,
)

BLOCK_ROWS = 1000

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
    raw = await body.read(headers, receive, state.settings.max_batch_body_bytes)
    rows = Rows(state, scope, state.loaded())
    render = {
        body.JSON: rows.of_document,
        body.NDJSON: rows.of_lines,
        body.ARROW: rows.of_columns,
    }[media_type]
    content = await asyncio.get_running_loop().run_in_executor(state.worker, render, raw)
    return Reply(content, media_type, rows.loaded.version)


class Rows:
    """Answers the rows of one batch, all with one model and one clock reading.

    Parameters
    ----------
    state : State
        Of the app.
    scope : dict
        Of the request.
    loaded : Loaded
        The model.
    """

    def __init__(self, state: State, scope: Scope, loaded: Loaded) -> None:
        self.loaded = loaded
        self._request_id = id_of(scope)
        self._scoring = Scoring(
            loaded,
            state.metrics,
            now=state.clock(),
            request_id=self._request_id,
            mode=MODE_BATCH,
        )
        self._instance = route_template(scope)
        self._state = state

    def of_lines(self, raw: bytes) -> bytes:
        """Answer an NDJSON body with as many lines."""
        most = self._state.settings.max_body_bytes

        def row(index: int, line: bytes) -> CustomerRow:
            if len(line) > most:
                raise line_too_long(most)
            checked = score_body(
                line,
                max_events=self._state.settings.max_events,
                feature_names=self.loaded.feature_names,
            )
            return self._scoring.row(checked)

        rows = lines(raw, self._state.settings.max_batch_customers)
        return b"".join(line + b"\n" for line in self._each(rows, row))

    def of_document(self, raw: bytes) -> bytes:
        """Answer a JSON body with one document."""
        document = parse(raw, FIELD_NAMES)
        customers = batch_items(document)
        root = "" if isinstance(document, list) else "/customers"
        check_count(len(customers), self._state.settings.max_batch_customers)
        results = self._each(
            customers, lambda index, customer: self._row(customer, f"{root}/{index}")
        )
        return b'{"model_version":%b,"request_id":%b,"results":[%b]}' % (
            orjson.dumps(self.loaded.version),
            orjson.dumps(self._request_id),
            b",".join(results),
        )

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
        answers = columns.timed_score(
            self._state.metrics, scorer, sent.numbers, sent.as_of, sent.told
        )
        metadata = {"model_version": self.loaded.version, "request_id": self._request_id}
        content: bytes = arrow_output.write(scorer, sent.customer_id, sent.as_of, answers, metadata)
        return content

    def _row(self, customer: Any, root: str) -> CustomerRow:
        checked = score_request(
            customer,
            max_events=self._state.settings.max_events,
            feature_names=self.loaded.feature_names,
            root=root,
        )
        return self._scoring.row(checked, root)

    def _each(
        self, customers: Iterable[Any], row: Callable[[int, Any], CustomerRow]
    ) -> list[bytes]:
        """Every customer's answer or problem, as JSON, in input order."""
        out: list[bytes] = []
        ready: list[tuple[int, CustomerRow]] = []
        for index, customer in enumerate(customers):
            out.append(b"")
            try:
                ready.append((index, row(index, customer)))
            except Exception as error:
                out[index] = self._refusal(index, error)
            if len(ready) == BLOCK_ROWS:
                self._answer(ready, out)
                ready = []
        self._answer(ready, out)
        metrics = self._state.metrics
        metrics.batch_rows.observe(len(out))
        metrics.predict_duration_seconds[MODE_BATCH].observe(self._scoring.seconds)
        return out

    def _answer(self, ready: list[tuple[int, CustomerRow]], out: list[bytes]) -> None:
        if not ready:
            return
        try:
            answers = self._scoring.answers([row for _, row in ready])
        except Exception as error:
            if len(ready) == 1:
                index, _ = ready[0]
                out[index] = self._refusal(index, error)
                return
            for one in ready:  # the fault is one row's: the others are answered
                self._answer([one], out)
            return
        for (index, _), answer in zip(ready, answers, strict=True):
            out[index] = answer

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


def line_too_long(limit: int) -> Problem:
    """Make the problem of a line of more bytes than a customer may have."""
    return Problem(
        TOO_LARGE,
        f"The line is larger than {limit} bytes; send a shorter history.",
        (FieldError("", "body_too_large"),),
    )
