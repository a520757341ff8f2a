"""What the service knows of its own end."""

import asyncio
from collections.abc import Callable


class Drain:
    """Whether the service is about to end, and who is to hear of it."""

    def __init__(self) -> None:
        self.has_begun = False
        self._listeners: list[Callable[[], object]] = []

    def tell(self, listener: Callable[[], object]) -> None:
        """Have a listener called, in a thread of its own, when it begins."""
        self._listeners.append(listener)

    def begin(self) -> None:
        """Say that the service is not ready any more."""
        self.has_begun = True
        for listener in self._listeners:
            asyncio.get_running_loop().run_in_executor(None, listener)
