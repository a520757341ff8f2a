"""One customer: from the raw request to the raw answer."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.types import Receive, Scope

from churn.history import History
from churn.rows import CustomerRow
from service import body, contacts
from service.answers import MODE_SINGLE, Scoring
from service.context import id_of
from service.direct import Reply
from service.quick import Checked
from service.recording import Answer
from service.state import State
from service.store.errors import StoreTooNew, StoreUnavailable
from service.together import Asked

LARGE_BODY = 32 * 1024
"""Bytes of some 300 events; what is larger is checked, and made a row, beside the loop."""

T = TypeVar("T")


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

    asked = Asked(scoring, raw)
    delivered = state.deliveries.any
    if len(raw) > LARGE_BODY or delivered is not False:
        asked.checked, asked.row = await _taken(state, scoring, raw, delivered)
    await state.together.answer(asked)
    checked = asked.checked
    assert checked is not None
    if asked.score is None:
        asked.row = await _stored(state, scoring, checked)
        if asked.row is None:
            asked.score = scoring.unknown(checked)
        else:
            await state.together.answer(asked)
    assert asked.score is not None
    state.metrics.predict_duration_seconds[MODE_SINGLE].observe(scoring.seconds)
    answered = Answer(asked.score)
    kept = asked.kept
    if kept is not None:
        answered = kept.answer(await state.recorder.record([kept.remembered], kept.decisions))
    if state.audit is not None:
        state.audit.scored(scope, answered, asked.row, scoring.now)
    content = asked.content or scoring.render(*answered)
    return Reply(content, body.JSON, loaded.version)


async def _taken(
    state: State, scoring: Scoring, raw: bytes, delivered: bool | None
) -> tuple[Checked, CustomerRow | None]:
    """Check a request and make a row of what it holds; with what was delivered to the customer."""

    def taken() -> tuple[Checked, CustomerRow | None]:
        checked = state.together.check(scoring, raw)
        if checked.by_id or delivered:
            return checked, None
        row = scoring.row(checked)
        return checked, contacts.unknown(row) if delivered is None else row

    checked, row = await _where_it_fits(state, len(raw), taken)
    if delivered and not checked.by_id:
        row = await _contacted(state, scoring, checked, len(raw))
    return checked, row


async def _stored(state: State, scoring: Scoring, checked: Checked) -> CustomerRow | None:
    """What is stored of the customer; None where nothing is."""
    held = scoring.held(checked, await state.freshness.marks())
    as_of = scoring.as_of(checked)
    stored = await state.reading.stored(checked.customer_id, as_of - scoring.reach)
    events = stored.events
    if events is None:
        return None

    def made() -> CustomerRow:
        row = scoring.stored_row(checked, History.decode(events), held)
        return contacts.added(row, stored.contacts, scoring.reach)

    return await _where_it_fits(state, len(events), made)


async def _contacted(state: State, scoring: Scoring, checked: Checked, size: int) -> CustomerRow:
    """What was sent of the customer, and what was delivered to them."""
    since = scoring.as_of(checked) - scoring.reach
    try:
        stored = await state.reading.stored(checked.customer_id, since)
    except (StoreUnavailable, StoreTooNew):
        stored = None

    def made() -> CustomerRow:
        row = scoring.row(checked)
        if stored is None:
            return contacts.unknown(row)
        return contacts.added(row, stored.contacts, scoring.reach)

    return await _where_it_fits(state, size, made)


async def _where_it_fits(state: State, size: int, work: Callable[[], T]) -> T:
    """Do work on so many bytes: what is short at once, what is long beside the loop."""
    if size > LARGE_BODY:
        with state.rooms.lists:
            return await asyncio.get_running_loop().run_in_executor(state.worker, work)
    return work()
