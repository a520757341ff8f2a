"""One customer: from the raw request to the raw answer."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from starlette.types import Receive, Scope

from churn.history import History
from churn.scores import UNKNOWN, CustomerScore
from service import body
from service.answers import MODE_SINGLE, Scoring
from service.context import id_of
from service.direct import Reply
from service.quick import Checked
from service.state import State
from service.store.recorded import Remembered
from service.validation import score_body

LARGE_BODY = 32 * 1024
"""Bytes of some 300 events; what is larger is checked and scored in a thread, beside the loop."""

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
    raw = await body.read(headers, receive, state.settings.max_body_bytes)
    loaded = state.loaded()
    scoring = Scoring(
        loaded, state.metrics, now=state.clock(), request_id=id_of(scope), mode=MODE_SINGLE
    )

    def answer() -> Checked | tuple[CustomerScore, bool]:
        checked = score_body(
            raw,
            max_events=state.settings.max_events,
            feature_names=loaded.feature_names,
            has_store=loaded.scorer.schema.loop,
        )
        if checked.by_id:
            return checked
        (found,) = scoring.scores([scoring.row(checked)])
        return found, checked.record

    answered = await _where_it_fits(state, len(raw), answer)
    if isinstance(answered, Checked):
        answered = await _stored(state, scoring, answered), answered.record
    found, record = answered
    state.metrics.predict_duration_seconds[MODE_SINGLE].observe(scoring.seconds)
    if record and found.status != UNKNOWN:
        await state.recorder.record([Remembered.of(found, scoring.now)])
    return Reply(scoring.render(found), body.JSON, loaded.version)


async def _stored(state: State, scoring: Scoring, checked: Checked) -> CustomerScore:
    """Answer from what is stored of the customer."""
    held = scoring.held(checked, state.freshness, await state.freshness.marks())
    stored = await state.reading.history(checked.customer_id)
    if stored is None:
        return scoring.unknown(checked)

    def answer() -> CustomerScore:
        (found,) = scoring.scores([scoring.stored_row(checked, History.decode(stored), held)])
        return found

    return await _where_it_fits(state, len(stored), answer)


async def _where_it_fits(state: State, size: int, work: Callable[[], T]) -> T:
    """Do work on so many bytes: what is short at once, what is long beside the loop."""
    if size > LARGE_BODY:
        return await asyncio.get_running_loop().run_in_executor(state.worker, work)
    return work()
