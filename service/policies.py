"""The policy that serves, and how a changed policy.toml takes its place.

The file is looked at as often as the models folder. One that cannot be used leaves the policy
serving that was there, as a broken model does; at the start it is refused.
"""

import logging
import os
from pathlib import Path

from churn.errors import PolicyError
from churn.policy.default import default_policy
from churn.policy.policy import Policy, parse
from service import logs
from service.metrics import Metrics

_log = logging.getLogger(f"{logs.ROOT}.policy")

_Signature = tuple[int, int, int] | None


def read(path: Path) -> Policy:
    """Read and check a policy.toml.

    Raises
    ------
    PolicyError
        It cannot be read, or cannot work; the message names the file and the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(
            f"{path}: no such file; `keepwell init DIR` writes one to start from"
        ) from None
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror}") from None
    return parse(text, path)


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
        self._path = path
        self._metrics = metrics
        self._seen = _signature(path)
        if path is None:
            self.current = default_policy()
            return
        self.current = read(path)
        metrics.policy_reloads["ok"].inc()

    def refresh(self) -> None:
        """Read the file if it has changed. Never raises."""
        if self._path is None:
            return
        signature = _signature(self._path)
        if signature == self._seen:
            return
        try:
            policy = read(self._path)
        except Exception as error:
            self._seen = signature
            self._metrics.policy_reloads["error"].inc()
            told = str(error) if isinstance(error, PolicyError) else type(error).__name__
            _log.error(
                "the changed policy cannot be used; %s keeps serving",
                self.current.version,
                extra={"fields": {"error": told}},
            )
            return
        if _signature(self._path) != signature:
            return  # it was being written: next time
        self._seen = signature
        self._metrics.policy_reloads["ok"].inc()
        if policy.version != self.current.version:
            self.current = policy
            _log.info("policy loaded", extra={"fields": {"version": policy.version}})


def _signature(path: Path | None) -> _Signature:
    """What changes whenever the file does; None where there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
