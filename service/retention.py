"""Retention by age: events, recorded scores and decisions older than the settings allow go.

A little at a time, each piece in a short transaction of its own, so that nobody waits for it. The
store is the same whoever sweeps it, so several processes may.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from churn.events import MICROSECONDS_PER_DAY
from service import logs
from service.background import always
from service.settings import Settings
from service.store import aging
from service.store.database import Database

EVERY_SECONDS = 3600.0

_log = logging.getLogger(f"{logs.ROOT}.retention")


class Removed(NamedTuple):
    """How many events, recorded scores and decisions were too old."""

    events: int
    scores: int
    decisions: int


class Retention:
    """Removes what is older than it may become.

    Parameters
    ----------
    database : Database
        The store.
    settings : Settings
        Say how long what is kept.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    window_days : callable
        For how long before `as_of` the model that serves reads events; None while none serves.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], int],
        window_days: Callable[[], int | None],
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._window_days = window_days

    def sweep(self) -> Removed:
        """Remove everything that is too old now.

        Raises
        ------
        StoreUnavailable
            The store does not answer; what was removed until then stays so.
        """
        events = 0
        kept = self._settings.events_keep_days
        if kept is not None:
            self._warn_if_shorter_than_read(kept)
            events = aging.remove_events(self._database, self._before(kept))
        scores = aging.remove_scores(self._database, self._before(self._settings.scores_keep_days))
        decisions = aging.remove_decisions(
            self._database, self._before(self._settings.decisions_keep_days)
        )
        removed = Removed(events, scores, decisions)
        if any(removed):
            _log.info(
                "what was too old is removed",
                extra={"fields": removed._asdict()},
            )
        return removed

    def _before(self, days: int) -> int:
        return self._clock() - days * MICROSECONDS_PER_DAY

    def _warn_if_shorter_than_read(self, kept: int) -> None:
        window = self._window_days()
        if window is not None and kept < window:
            _log.warning(
                "KEEPWELL_EVENTS_KEEP_DAYS is %d, but the model reads %d days of events: scores by "
                "id will differ from those of whole histories; keep events for longer, or train "
                "with a shorter observation_window_days",
                kept,
                window,
            )


async def sweep_always(retention: Retention, seconds: float = EVERY_SECONDS) -> None:
    """Sweep at once and then for ever, beside the requests."""
    await always(retention.sweep, seconds, _log, "what is too old could not be removed")
