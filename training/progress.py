"""How long work tells whoever waits for it how far it has come."""

from typing import Protocol


class Progress(Protocol):
    """A listener: a progress bar on a terminal, plain lines elsewhere, nothing in tests."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Start a named stage of `total` steps (None: unknown)."""

    def advance(self, n: int = 1) -> None:
        """Complete `n` more steps of the current stage."""

    def note(self, line: str) -> None:
        """Say one line that should stay visible."""


class Silent:
    """A listener that says nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Ignore the stage."""

    def advance(self, n: int = 1) -> None:
        """Ignore the step."""

    def note(self, line: str) -> None:
        """Ignore the line."""
