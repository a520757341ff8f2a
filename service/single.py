"""One customer: from the raw request to the raw answer."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from starlette.types import Receive, Scope

from churn.history import History
from churn.rows import CustomerRow
from churn.scores import UNKNOWN, CustomerScore
from service import body, contacts
from service.answers import MODE_SINGLE, Scoring
from service.context import id_of
from service.direct import Reply
from service.quick import Checked
from service.recording import Answer, recording
from service.state import State
from service.store.errors import StoreTooNew, StoreUnavailable
from service.validation import score_body

LARGE_BODY = 32 * 1024
"""Bytes of some 300 events; what is larger is checked and scored in a thread, beside the loop."""

T = TypeVar("T")


class _Scored(NamedTuple):
    """A score, and the row that it is of: none where nothing is stored."""

    score: CustomerScore
    row: CustomerRow | None


async def score(state: State, scope: Scope, receive: Receive) -> Reply:
    """Answer `POST /score`.

    Raises
    ------
    Problem
        The request is wrong, no model is loaded, or what is stored is too old.
    StoreUnavailable, StoreTooNew
        The stored history that is to be scored cannot be read now, or the answer that is to be
        recorded not be kept.
    """
    headers = body.told(scope)
    body.media_type(headers, (body.JSON,))
    raw = await body.read(headers, receive, state.settings.max_body_bytes, state.bodies)
    loaded = state.loaded()
    scoring = Scoring(
        loaded, state.metrics, now=state.clock(), request_id=id_of(scope), mode=MODE_SINGLE
    )

    def answer() -> tuple[Checked, _Scored | None]:
        checked = score_body(
            raw,
            max_events=state.settings.max_events,
            feature_names=loaded.feature_names,
            has_store=loaded.scorer.schema.loop,
        )
        if checked.by_id or state.deliveries.any:
            return checked, None
        row = scoring.row(checked)
        if state.deliveries.any is None:
            row = contacts.unknown(row)
        return checked, _scored(scoring, row)

    checked, scored = await _where_it_fits(state, len(raw), answer)
    if scored is None and checked.by_id:
        scored = await _stored(state, scoring, checked)
    elif scored is None:
        scored = await _contacted(state, scoring, checked, len(raw))
    state.metrics.predict_duration_seconds[MODE_SINGLE].observe(scoring.seconds)
    answered = Answer(scored.score)
    if checked.record and scored.score.status != UNKNOWN:
        kept = recording(scored.score, scored.row, scoring.now)
        answered = kept.answer(await state.recorder.record([kept.remembered], kept.decisions))
    if state.audit is not None:
        state.audit.scored(scope, answered, scored.row, scoring.now)
    return Reply(scoring.render(*answered), body.JSON, loaded.version)


async def _stored(state: State, scoring: Scoring, checked: Checked) -> _Scored:
    """Answer from what is stored of the customer."""
    held = scoring.held(checked, await state.freshness.marks())
    as_of = scoring.as_of(checked)
    stored = await state.reading.stored(checked.customer_id, as_of - scoring.reach)
    events = stored.events
    if events is None:
        return _Scored(scoring.unknown(checked), None)

    def answer() -> _Scored:
        row = scoring.stored_row(checked, History.decode(events), held)
        return _scored(scoring, contacts.added(row, stored.contacts, scoring.reach))

    return await _where_it_fits(state, len(events), answer)


async def _contacted(state: State, scoring: Scoring, checked: Checked, size: int) -> _Scored:
    """Answer from what was sent, and from what was delivered to the customer."""
    since = scoring.as_of(checked) - scoring.reach
    try:
        stored = await state.reading.stored(checked.customer_id, since)
    except (StoreUnavailable, StoreTooNew):
        stored = None

    def answer() -> _Scored:
        row = scoring.row(checked)
        if stored is None:
            return _scored(scoring, contacts.unknown(row))
        row = contacts.added(row, stored.contacts, scoring.reach)
        return _scored(scoring, row)

    return await _where_it_fits(state, size, answer)


def _scored(scoring: Scoring, row: CustomerRow) -> _Scored:
    (found,) = scoring.scores([row])
    return _Scored(found, row)


async def _where_it_fits(state: State, size: int, work: Callable[[], T]) -> T:
    """Do work on so many bytes: what is short at once, what is long beside the loop."""
    if size > LARGE_BODY:
        with state.rooms.lists:
            return await asyncio.get_running_loop().run_in_executor(state.worker, work)
    return work()
