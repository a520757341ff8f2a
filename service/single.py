"""One customer: from the raw request to the raw answer."""

import asyncio

from starlette.types import Receive, Scope

from service import body
from service.answers import MODE_SINGLE, Scoring
from service.context import id_of
from service.direct import Reply
from service.state import State
from service.validation import score_body

LARGE_BODY = 32 * 1024
"""Bytes of some 300 events; what is larger is checked and scored in a thread, beside the loop."""


async def score(state: State, scope: Scope, receive: Receive) -> Reply:
    """Answer `POST /score`.

    Raises
    ------
    Problem
        The request is wrong, or no model is loaded.
    """
    headers = body.told(scope)
    body.media_type(headers, (body.JSON,))
    raw = await body.read(headers, receive, state.settings.max_body_bytes)
    loaded = state.loaded()
    scoring = Scoring(
        loaded, state.metrics, now=state.clock(), request_id=id_of(scope), mode=MODE_SINGLE
    )

    def answer() -> bytes:
        checked = score_body(
            raw, max_events=state.settings.max_events, feature_names=loaded.feature_names
        )
        (content,) = scoring.answers([scoring.row(checked)])
        return content

    if len(raw) > LARGE_BODY:
        content = await asyncio.get_running_loop().run_in_executor(state.worker, answer)
    else:
        content = answer()
    state.metrics.predict_duration_seconds[MODE_SINGLE].observe(scoring.seconds)
    return Reply(content, body.JSON, loaded.version)
