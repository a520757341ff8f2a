"""The keys of a service: those of a file, followed as the policy is."""

import logging
from collections.abc import Callable
from pathlib import Path

from service import logs
from service.access.keys import Keys, read
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
    on_change : callable
        Told in the polling thread that others came into force: ``keys``, what was in force before
        and what is now (`Keys.told`), and which ids were `added`, `removed` and `changed`.
    """

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._file = Followed(path, read, metrics.key_reloads, self._complain)
        self.current = self._file.first
        self.on_change: Callable[..., object] = lambda *_, **__: None

    def refresh(self) -> None:
        """Read the file if it has changed. Never raises."""
        keys = self._file.changed()
        if keys is None:
            return
        before, self.current = self.current, keys
        fields = _difference(before, keys)
        if any(fields.values()):
            self.on_change("keys", before.told(), keys.told(), **fields)
        _log.info("keys loaded", extra={"fields": fields})

    async def poll(self, seconds: float) -> None:
        """Refresh at once and then for ever, beside the requests."""
        await always(self.refresh, seconds, _log, "keys could not be looked at")

    def _complain(self, error: str) -> None:
        _log.error(
            "the changed file of keys cannot be used; the keys from before stay in force",
            extra={"fields": {"error": error}},
        )


def _difference(before: Keys, now: Keys) -> dict[str, list[str]]:
    """The ids that came, that went, and whose key is another in anything at all."""
    old, new = ({key.key_id: key for key in keys.all} for keys in (before, now))
    return {
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(one for one in old.keys() & new.keys() if old[one] != new[one]),
    }
