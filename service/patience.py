"""What could not be loaded is tried again only now and then, lest the log fill up."""

from collections.abc import Hashable

RETRY_AFTER_POLLS = 15


class Patience:
    """Remembers what could not be loaded, and how often it has been left alone since."""

    def __init__(self) -> None:
        self._refused: Hashable = None
        self._polls_to_skip = 0

    def waits(self, version: Hashable) -> bool:
        """Whether a version is still left alone; each asking is a poll."""
        if version != self._refused or self._polls_to_skip == 0:
            return False
        self._polls_to_skip -= 1
        return True

    def refused(self, version: Hashable) -> None:
        """Leave a version alone from now on."""
        self._refused, self._polls_to_skip = version, RETRY_AFTER_POLLS

    def end(self) -> None:
        """Forget what was refused."""
        self._refused, self._polls_to_skip = None, 0
