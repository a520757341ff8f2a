"""Whether what is stored is recent enough to be scored.

Where the import of a feed stalls, everybody looks silent, and a model calls them lost. So each
feed has a watermark, its newest event, and a score of what is stored says when that is too long ago
for its `as_of`, or is refused. Only orders are watched by default: a shop has some every few days,
while no complaint for a week is good news.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import select

from churn.events import FEED_KINDS, Feed
from service import instants
from service.metrics import Metrics
from service.problems import STALE_HISTORY, FieldError, Problem
from service.settings import Settings
from service.store.database import Database
from service.store.reading import Reading
from service.store.tables import histories, watermarks

LOOK_SECONDS = 1.0
"""How old the watermarks may be that a score is held against."""
ENOUGH_CUSTOMERS = 1000
"""Of fewer nobody can tell a feed that is not connected from one in which nothing happened yet."""

_HOUR = 3_600_000_000


class Marks(NamedTuple):
    """How far each feed has come, and whether there are many customers to judge it by."""

    newest: Mapping[Feed, int]
    enough: bool


class Held(NamedTuple):
    """What is to be told of a score, and the feeds it may go by (None: the model's)."""

    feeds: frozenset[Feed] | None
    warnings: tuple[str, ...]


class Freshness:
    """Holds scores of what is stored against the feeds' watermarks.

    Parameters
    ----------
    settings : Settings
        How many hours are too many.
    database : Database
        Where the watermarks are.
    reading : Reading
        How they are read.
    metrics : Metrics
        Told of them.
    """

    def __init__(
        self, settings: Settings, database: Database, reading: Reading, metrics: Metrics
    ) -> None:
        self._after = {feed: hours * _HOUR for feed, hours in settings.stale_after_hours.items()}
        self._limit = {feed: hours * _HOUR for feed, hours in settings.stale_limit_hours.items()}
        self._database = database
        self._reading = reading
        self._metrics = metrics
        self._marks: Marks | None = None
        self._looked_at = 0.0
        self._is_looking = False

    async def marks(self) -> Marks:
        """The watermarks, as they were a second ago at most, or are being read by somebody.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            They cannot be known now.
        """
        known = self._marks
        now = time.monotonic()
        if known is not None and (now - self._looked_at < LOOK_SECONDS or self._is_looking):
            return known
        self._is_looking = True
        try:
            self._marks = known = await self._reading.call(self._read)
        finally:
            self._is_looking = False
        self._looked_at = now
        return known

    def hold(
        self, marks: Marks, as_of: int, asked: frozenset[Feed] | None, models: frozenset[Feed]
    ) -> Held:
        """Judge a score of what is stored.

        Parameters
        ----------
        marks : Marks
            How far the feeds have come.
        as_of : int
            Of the score, microseconds since 1970-01-01 UTC.
        asked : frozenset of Feed or None
            The feeds that the request names.
        models : frozenset of Feed
            The feeds that the model reads.

        Raises
        ------
        Problem
            A feed ends too long before `as_of`.
        """
        newest = marks.newest
        feeds = models if asked is None else models & asked
        told: list[str] = []
        for feed, limit in self._limit.items():
            if feed in feeds and feed in newest and as_of - newest[feed] > limit:
                raise _stale(feed, newest[feed])
        for feed, after in self._after.items():
            if feed in feeds and feed in newest and as_of - newest[feed] > after:
                told.append(f"stale_history: {feed} since {instants.text(newest[feed])}")
        if asked is not None or not marks.enough:
            return Held(asked, tuple(told))
        absent = {feed for feed in FEED_KINDS if feed in models and feed not in newest}
        absent.discard(Feed.ORDERS)
        if not absent:
            return Held(None, tuple(told))
        told.append(f"feeds_not_stored: {', '.join(sorted(absent))}")
        return Held(models - absent, tuple(told))

    def _read(self) -> Marks:
        enough = self._marks is not None and self._marks.enough
        with self._database.reading() as connection:
            rows = connection.execute(select(watermarks)).all()
            if not enough:
                some = select(histories.c.customer_id).order_by(histories.c.customer_id)
                enough = connection.scalar(some.offset(ENOUGH_CUSTOMERS - 1).limit(1)) is not None
        # An event that claims to be of the future must not hide that no more came.
        newest = {Feed(row.feed): min(row.occurred_at, row.received_at) for row in rows}
        for feed, instant in newest.items():
            self._metrics.feed_watermark_timestamp_seconds.labels(feed.value).set(instant / 1e6)
        return Marks(newest, enough)


def _stale(feed: Feed, newest: int) -> Problem:
    return Problem(
        STALE_HISTORY,
        f"The newest stored event of {feed} is of {instants.text(newest)}, too long before as_of: "
        "everybody would look silent. Let its import go on, or send the customer's `events`.",
        (FieldError("", "stale_history"),),
        {"Retry-After": "60"},
    )
