"""Whether what is stored is recent enough to be scored.

Where the import of a feed stalls, everybody looks silent, and a model calls them lost. So each
feed has a watermark, its newest event, and a score of what is stored says when that is too long ago
for its `as_of`, or is refused. Only orders are watched by default: a shop has some every few days,
while no complaint for a week is good news.
"""

import time
from collections.abc import Mapping

from sqlalchemy import select

from churn.events import FEED_KINDS, Feed
from service.marks import Marks
from service.metrics import Metrics
from service.settings import Settings
from service.store.database import Database
from service.store.reading import Reading
from service.store.tables import histories, watermarks

LOOK_SECONDS = 1.0
"""How old the watermarks may be that a score is held against."""
ENOUGH_CUSTOMERS = 1000
"""Of fewer nobody can tell a feed that is not connected from one in which nothing happened yet."""

_HOUR = 3_600_000_000


class Freshness:
    """Knows how far the feeds have come, and how far they should.

    Parameters
    ----------
    settings : Settings
        How many hours are too many.
    database : Database
        Where the watermarks are.
    reading : Reading
        How they are read for requests.
    metrics : Metrics
        Told of them.
    """

    def __init__(
        self, settings: Settings, database: Database, reading: Reading, metrics: Metrics
    ) -> None:
        self._after = _microseconds(settings.stale_after_hours)
        self._limit = _microseconds(settings.stale_limit_hours)
        self._database = database
        self._reading = reading
        self._metrics = metrics
        self._marks: Marks | None = None
        self._enough = False
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
            self._marks = known = await self._reading.call(self.read)
        finally:
            self._is_looking = False
        self._looked_at = now
        return known

    def read(self) -> Marks:
        """The watermarks as they are; for whoever may wait for the store.

        Raises
        ------
        StoreUnavailable, StoreTooNew
            They cannot be known now.
        """
        with self._database.reading() as connection:
            rows = connection.execute(select(watermarks)).all()
            if not self._enough:
                some = select(histories.c.customer_id).order_by(histories.c.customer_id)
                last = connection.scalar(some.offset(ENOUGH_CUSTOMERS - 1).limit(1))
                self._enough = last is not None
        # An event that claims to be of the future must not hide that no more came.
        newest = {Feed(row.feed): min(row.occurred_at, row.received_at) for row in rows}
        for feed, instant in newest.items():
            self._metrics.feed_watermark_timestamp_seconds.labels(feed.value).set(instant / 1e6)
        never = FEED_KINDS.keys() - newest.keys() - {Feed.ORDERS} if self._enough else ()
        return Marks(newest, frozenset(never), self._after, self._limit)


def _microseconds(hours: Mapping[Feed, float]) -> dict[Feed, int]:
    return {feed: round(number * _HOUR) for feed, number in hours.items()}
