"""The keys of a service: those of a file, followed as the policy is."""

import logging
from pathlib import Path

from service import logs
from service.access.keys import read
from service.background import always
from service.followed import Followed
from service.metrics import Metrics

_log = logging.getLogger(f"{logs.ROOT}.access")


class KeyHolder:
    """Keeps the keys of a file.

    Parameters
    ----------
    path : Path
        The file of keys.
    metrics : Metrics
        Told of every attempt to read it.

    Raises
    ------
    ConfigError
        It cannot be read, or is wrong.

    Attributes
    ----------
    current : Keys
        The keys in force; replaced whole.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._file = Followed(path, read, metrics.key_reloads, self._complain)
        self.current = self._file.first

    def refresh(self) -> None:
        """Read the file if it has changed. Never raises."""
        keys = self._file.changed()
        if keys is None:
            return
        before = {key.key_id for key in self.current.all}
        after = {key.key_id for key in keys.all}
        self.current = keys
        fields = {"added": sorted(after - before), "removed": sorted(before - after)}
        _log.info("keys loaded", extra={"fields": fields})

    async def poll(self, seconds: float) -> None:
        """Refresh at once and then for ever, beside the requests."""
        await always(self.refresh, seconds, _log, "keys could not be looked at")

    def _complain(self, error: str) -> None:
        _log.error(
            "the changed file of keys cannot be used; the keys from before stay in force",
            extra={"fields": {"error": error}},
        )
