"""Customers who are asked for at the same time, answered together.

Whoever finds others waiting behind is answered with them: they are read already, so nobody waits
for somebody who may not come. Each step is taken for all before the next one is: a block goes the
way to compiled code and back once, and the code of a step stays in the nearest cache meanwhile
(ADR 30).
"""

import asyncio
import time
from collections.abc import Sequence

from churn.rows import CustomerRow
from churn.scores import CustomerScore
from service.answers import Scoring, customer_rows
from service.quick import Checked
from service.recording import Recording, recording
from service.traffic import Waiting
from service.validation import score_body

MOST = 64
"""Requests of a block: more make it no quicker, and the first of them waits for the last."""


class Asked:
    """A customer who is asked for, and the answer as far as it is known.

    Parameters
    ----------
    scoring : Scoring
        With which model.
    raw : bytes, optional
        The request's body, if it is not checked yet.
    checked : Checked, optional
        The request, if it is.
    row : CustomerRow, optional
        Made of it, if it is.

    Attributes
    ----------
    scoring, raw, checked, row
        As given, or found.
    score : CustomerScore or None
        The answer; None where only an id was sent.
    kept : Recording or None
        What is to be recorded of it, if that was asked for.
    content : bytes or None
        The answer in JSON; None where it is to be recorded first.
    """

    __slots__ = ("checked", "content", "error", "kept", "raw", "row", "score", "scoring", "turn")

    def __init__(
        self,
        scoring: Scoring,
        raw: bytes = b"",
        checked: Checked | None = None,
        row: CustomerRow | None = None,
    ) -> None:
        self.scoring = scoring
        self.raw = raw
        self.checked = checked
        self.row = row
        self.score: CustomerScore | None = None
        self.kept: Recording | None = None
        self.content: bytes | None = None
        self.error: Exception | None = None
        self.turn: asyncio.Future[None] | None = None


class Together:
    """Answers requests that come to one event loop.

    Parameters
    ----------
    max_events : int
        Most events that one customer may have.

    Attributes
    ----------
    waiting : Waiting
        How many requests are read and not begun; whoever serves the app keeps it, or it stays 0.
    """

    def __init__(self, max_events: int) -> None:
        self.waiting = Waiting()
        self._max_events = max_events
        self._asked: list[Asked] = []

    def is_busy(self) -> bool:
        """Whether requests are about to be answered."""
        return self.waiting.count > 0 or bool(self._asked)

    def check(self, scoring: Scoring, raw: bytes) -> Checked:
        """Check a request's body.

        Raises
        ------
        Problem
            The request is wrong.
        """
        loaded = scoring.loaded
        return score_body(
            raw,
            max_events=self._max_events,
            feature_names=loaded.feature_names,
            has_store=loaded.scorer.schema.loop,
        )

    async def answer(self, asked: Asked) -> None:
        """Answer a request, alone or with those who are waiting.

        Raises
        ------
        Problem
            The request is wrong.
        """
        # Whoever was answered among others comes again with them: their histories are read now.
        if self.waiting.count or self._asked or asked.turn is not None:
            await self._with_others(asked)
        else:
            self._answer([asked])
        error, asked.error = asked.error, None  # an error knows this frame
        if error is not None:
            raise error

    async def _with_others(self, asked: Asked) -> None:
        loop = asyncio.get_running_loop()
        asked.turn = loop.create_future()
        self._asked.append(asked)
        if len(self._asked) == MOST:
            self._answer_all()
        elif len(self._asked) == 1:
            loop.call_soon(self._answer_all)  # after all who wait now
        await asked.turn

    def _answer_all(self) -> None:
        """Answer all who asked, those of one model at a time."""
        all_, self._asked = self._asked, []
        together: dict[int, list[Asked]] = {}
        for one in all_:
            if one.turn is not None and not one.turn.done():  # else it was given up
                together.setdefault(id(one.scoring.loaded), []).append(one)
        for some in together.values():
            self._answer(some)
            for one in some:
                if one.turn is not None:
                    one.turn.set_result(None)

    def _answer(self, some: Sequence[Asked]) -> None:
        """Answer requests with the one model that all of them are for."""
        ready = []
        for one in some:
            try:
                if one.checked is None:
                    one.checked = self.check(one.scoring, one.raw)
                if one.row is not None or not one.checked.by_id:
                    ready.append(one)
            except Exception as error:
                one.error = error
        if ready:
            self._score(ready)

    def _score(self, ready: Sequence[Asked]) -> None:
        """Score requests that are checked, and put the answers into JSON."""
        first = ready[0].scoring
        before, started = first.seconds, time.perf_counter()
        try:
            rows = _rows(ready)
            scores = first.scores(rows)
        except Exception as error:
            if len(ready) == 1:
                ready[0].error = error
                return
            first.seconds = before
            for one in ready:  # the fault is one's own: the others are answered
                self._score([one])
            return
        first.seconds = before
        seconds = (time.perf_counter() - started) / len(ready)
        for one, score, row in zip(ready, scores, rows, strict=True):
            one.scoring.seconds += seconds
            one.score, one.row = score, row
        for one, score in zip(ready, scores, strict=True):
            try:
                if one.checked is not None and one.checked.record:
                    one.kept = recording(score, one.row, one.scoring.now)
                else:
                    one.content = one.scoring.render(score)
            except Exception as error:
                one.error = error


def _rows(ready: Sequence[Asked]) -> list[CustomerRow]:
    """The rows of requests of one model."""
    if len(ready) == 1:
        (one,) = ready
        assert one.checked is not None
        return [one.scoring.row(one.checked) if one.row is None else one.row]
    lacking = [
        (one.checked, one.scoring.now)
        for one in ready
        if one.row is None and one.checked is not None
    ]
    if not lacking:
        return [one.row for one in ready if one.row is not None]
    made = iter(customer_rows(ready[0].scoring.loaded.scorer.rows, lacking))
    return [next(made) if one.row is None else one.row for one in ready]
