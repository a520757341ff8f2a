"""Feeds that do not cover the log: what looks like zero was not recorded.

A feed that begins halfway says nothing of the time before, yet the features of earlier snapshots
count none of its events; a feed that ends early makes everybody look calm today.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from churn.events import MICROSECONDS_PER_DAY, Feed
from training.tally import FeedSpan

LEAST_DAYS = 30
"""A shorter delay is no matter ..."""
USUAL_WAITS = 5
"""... nor is one that is short against the usual wait between two events of a rare feed."""


def late_feeds(
    feeds: Mapping[Feed, FeedSpan], first_us: int, last_us: int, zone: tzinfo
) -> Iterator[str]:
    """Name each feed that begins later, or ends earlier, than the log by more than chance.

    Parameters
    ----------
    feeds : mapping of Feed to FeedSpan
        The feeds of the log.
    first_us, last_us : int
        The log's first and last event, microseconds since 1970-01-01 UTC.
    zone : tzinfo
        In which dates are named.
    """
    for feed, span in sorted(feeds.items()):
        wait = (span.last_us - span.first_us) / span.events
        least = max(LEAST_DAYS * MICROSECONDS_PER_DAY, USUAL_WAITS * wait)
        late, early = span.first_us - first_us, last_us - span.last_us
        if late > least:
            yield (
                f"{feed.value} are recorded from {_date(span.first_us, zone)} on, "
                f"{late // MICROSECONDS_PER_DAY} days after the log begins: before that, none is "
                "taken for zero; begin [events] query there, or leave them out until they cover it"
            )
        if early > least:
            yield (
                f"{feed.value} end on {_date(span.last_us, zone)}, "
                f"{early // MICROSECONDS_PER_DAY} days before the log does: bring them up to date, "
                "or leave them out"
            )


def _date(us: int, zone: tzinfo) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(zone))[
        :10
    ]
