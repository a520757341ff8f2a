"""Which of a bundle's checks it passes, one by one, for a person who has to mend it."""

from typing import Literal, NamedTuple

from churn.bundle import CHECKS
from churn.errors import ModelError
from churn.registry import Registry

Outcome = Literal["passed", "failed", "not asked", "not reached"]


class Check(NamedTuple):
    """One check.

    Attributes
    ----------
    name, meaning : str
        As in `churn.bundle.CHECKS`.
    outcome : {"passed", "failed", "not asked", "not reached"}
        What became of it; nothing is looked at after the first that failed.
    detail : str or None
        Why it failed.
    """

    name: str
    meaning: str
    outcome: Outcome
    detail: str | None


def examine(registry: Registry, version: str) -> list[Check]:
    """Load a version and tell how far that went.

    Raises
    ------
    BundleNotFound
        No such version.
    """
    passed: list[str] = []
    detail: str | None = None
    try:
        registry.load(version, passed.append)
    except (ModelError, OSError) as error:
        if version not in registry.versions() and not (registry.root / version).is_symlink():
            raise
        detail = str(error)
    checks: list[Check] = []
    outcome: Outcome
    for name, meaning in CHECKS.items():
        if name in passed:
            outcome = "passed"
        elif name == "signature" and registry.keys.trusted is None:
            outcome = "not asked"
        elif any(check.outcome == "failed" for check in checks):
            outcome = "not reached"
        else:
            outcome = "failed"
        checks.append(Check(name, meaning, outcome, detail if outcome == "failed" else None))
    return checks
