"""How far each feed had come at some moment, and what follows for a score of what is stored.

Plain values: a score by id is held against those of now, a job against those of its submission,
which travel with it, so that its results do not depend on when it runs.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import orjson

from churn.events import Feed
from service import instants
from service.problems import STALE_HISTORY, FieldError, Problem


class Held(NamedTuple):
    """What is to be told of a score, and the feeds it may go by (None: the model's)."""

    feeds: frozenset[Feed] | None
    warnings: tuple[str, ...]


class Marks(NamedTuple):
    """How far the feeds have come, and how far they should; all in microseconds.

    Attributes
    ----------
    newest : mapping of Feed to int
        When the newest event of each feed happened, since 1970-01-01 UTC.
    never : frozenset of Feed
        The feeds that were never received although there are customers enough to tell.
    after, limit : mapping of Feed to int
        How long before `as_of` a feed may end until that is told, and until a score is refused.
    """

    newest: Mapping[Feed, int]
    never: frozenset[Feed]
    after: Mapping[Feed, int]
    limit: Mapping[Feed, int]

    def hold(self, as_of: int, asked: frozenset[Feed] | None, models: frozenset[Feed]) -> Held:
        """Judge a score of what is stored.

        Parameters
        ----------
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
        newest = self.newest
        feeds = models if asked is None else models & asked
        for feed, limit in self.limit.items():
            if feed in feeds and feed in newest and as_of - newest[feed] > limit:
                raise _stale(feed, newest[feed])
        told = [
            f"stale_history: {feed} since {instants.text(newest[feed])}"
            for feed, after in self.after.items()
            if feed in feeds and feed in newest and as_of - newest[feed] > after
        ]
        absent = self.never & models
        if asked is not None or not absent:
            return Held(asked, tuple(told))
        told.append(f"feeds_not_stored: {', '.join(sorted(absent))}")
        return Held(models - absent, tuple(told))

    def encode(self) -> str:
        """As text, to be kept with a job."""
        by_feed = {
            name: {feed.value: instant for feed, instant in getattr(self, name).items()}
            for name in ("newest", "after", "limit")
        }
        never = sorted(feed.value for feed in self.never)
        return orjson.dumps({**by_feed, "never": never}).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read what `encode` wrote."""
        kept = orjson.loads(text)

        def by_feed(name: str) -> dict[Feed, int]:
            return {Feed(feed): instant for feed, instant in kept[name].items()}

        return cls(
            by_feed("newest"),
            frozenset(map(Feed, kept["never"])),
            by_feed("after"),
            by_feed("limit"),
        )


def _stale(feed: Feed, newest: int) -> Problem:
    return Problem(
        STALE_HISTORY,
        f"The newest stored event of {feed} is of {instants.text(newest)}, too long before as_of: "
        "everybody would look silent. Let its import go on, or send the customer's `events`.",
        (FieldError("", "stale_history"),),
        {"Retry-After": "60"},
    )
