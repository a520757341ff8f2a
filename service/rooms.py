"""Where requests wait for a thread: only so many at once, and the next is told to come again."""

from types import TracebackType
from typing import NamedTuple

from service.metrics import Metrics
from service.problems import overloaded
from service.settings import Settings


class Room:
    """Room for so many requests, entered by ``with``.

    Parameters
    ----------
    most : int
        How many may be inside.
    reason : str
        Under which those are counted who find no room.
    what : str
        What there is too much of, for the problem's text.
    metrics : Metrics
        Where they are counted.
    """

    def __init__(self, most: int, reason: str, what: str, metrics: Metrics) -> None:
        self.inside = 0
        self._most = most
        self._reason = reason
        self._what = what
        self._metrics = metrics

    def __enter__(self) -> None:
        """Go in.

        Raises
        ------
        Problem
            There is no room.
        """
        if self.inside >= self._most:
            self._metrics.requests_shed[self._reason].inc()
            raise overloaded(f"{self._what} than may; send the same again later.")
        self.inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave."""
        self.inside -= 1


class Rooms(NamedTuple):
    """The rooms of one app.

    Attributes
    ----------
    lists : Room
        Lists, plans and large histories: one thread scores them.
    events : Room
        Bodies of events: one thread writes them.
    uploads : Room
        Lists of jobs that are arriving.
    """

    lists: Room
    events: Room
    uploads: Room


def opened(settings: Settings, metrics: Metrics) -> Rooms:
    """Make the rooms of an app."""
    return Rooms(
        Room(settings.max_lists_waiting, "lists", "More lists wait to be scored", metrics),
        Room(
            settings.max_ingest_waiting,
            "events",
            "More bodies of events wait to be written",
            metrics,
        ),
        Room(settings.max_uploads, "uploads", "More lists of jobs are arriving", metrics),
    )
