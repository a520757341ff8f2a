"""What is recorded for a part of the log only: what looks like zero was not recorded.

Kinds of events, or columns, that begin halfway say nothing of the time before, yet the features of
earlier snapshots count none; those that end early make everybody look calm today.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from churn.events import MICROSECONDS_PER_DAY
from training.tally import Span

LEAST_DAYS = 30
"""A shorter delay is no matter ..."""
USUAL_WAITS = 5
"""... nor is one that is short against the usual wait between two events of a rare kind."""


def partly_recorded(
    recorded: Mapping[str, Span], first_us: int, last_us: int, zone: tzinfo
) -> Iterator[str]:
    """Name what begins later, or ends earlier, than the log by more than chance.

    Parameters
    ----------
    recorded : mapping of str to Span
        Kinds of events and columns.
    first_us, last_us : int
        The log's first and last event, microseconds since 1970-01-01 UTC.
    zone : tzinfo
        In which dates are named.
    """
    for name, span in sorted(recorded.items()):
        wait = (span.last_us - span.first_us) / span.events
        least = max(LEAST_DAYS * MICROSECONDS_PER_DAY, USUAL_WAITS * wait)
        late, early = span.first_us - first_us, last_us - span.last_us
        if late > least:
            yield (
                f"{name} is recorded from {_date(span.first_us, zone)} on, "
                f"{late // MICROSECONDS_PER_DAY} days after the log begins: before that its "
                "absence is taken for zero; let [events] query begin there, or leave it out until "
                "it covers the log"
            )
        if early > least:
            yield (
                f"{name} ends on {_date(span.last_us, zone)}, "
                f"{early // MICROSECONDS_PER_DAY} days before the log does: bring it up to date, "
                "or leave it out"
            )


def _date(us: int, zone: tzinfo) -> str:
    return str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(zone))[
        :10
    ]
