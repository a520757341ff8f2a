"""The policy that serves, and how a changed policy.toml takes its place.

The file is looked at as often as the models folder. One that cannot be used leaves the policy
serving that was there, as a broken model does; at the start it is refused.
"""

import logging
from pathlib import Path

from churn.errors import PolicyError
from churn.policy.default import default_policy
from churn.policy.policy import Policy, parse
from service import logs
from service.followed import Followed, text_of
from service.metrics import Metrics

_log = logging.getLogger(f"{logs.ROOT}.policy")


def read(path: Path) -> Policy:
    """Read and check a policy.toml.

    Raises
    ------
    PolicyError
        It cannot be read, or cannot work; the message names the file and the line.
    """
    return parse(text_of(path, PolicyError, "`keepwell init DIR` writes one to start from"), path)


class PolicyHolder:
    """Keeps the policy of a file.

    Parameters
    ----------
    path : Path or None
        A policy.toml; None for the policy that comes with the package.
    metrics : Metrics
        Told of every attempt to read the file.

    Raises
    ------
    PolicyError
        The file cannot be read, or cannot work.

    Attributes
    ----------
    current : Policy
        The one that serves; replaced whole.
    """

    def __init__(self, path: Path | None, metrics: Metrics) -> None:
        self._file: Followed[Policy] | None = None
        if path is None:
            self.current = default_policy()
            return
        self._file = Followed(path, read, metrics.policy_reloads, self._complain)
        self.current = self._file.first

    def refresh(self) -> None:
        """Read the file if it has changed. Never raises."""
        policy = None if self._file is None else self._file.changed()
        if policy is not None and policy.version != self.current.version:
            self.current = policy
            _log.info("policy loaded", extra={"fields": {"version": policy.version}})

    def _complain(self, error: str) -> None:
        _log.error(
            "the changed policy cannot be used; %s keeps serving",
            self.current.version,
            extra={"fields": {"error": error}},
        )
