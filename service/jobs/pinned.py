"""The policy of a job, pinned at submission: a changed one changes no results that are promised."""

import os
from pathlib import Path

from churn.policy.policy import Policy
from service.models import Loaded

_NAME = "policy.json"


def pin(folder: Path, policy: Policy) -> None:
    """Keep the policy beside a list that is being received, on disk."""
    with (folder / _NAME).open("wb") as file:
        file.write(policy.model_dump_json().encode())
        file.flush()
        os.fsync(file.fileno())


def with_pinned(folder: Path, loaded: Loaded) -> Loaded:
    """The model with the policy of a job; as it is where none is kept."""
    try:
        kept = (folder / _NAME).read_bytes()
    except FileNotFoundError:
        return loaded
    policy = Policy.model_validate_json(kept)
    if policy.version == loaded.scorer.policy.version:
        return loaded
    return loaded.with_policy(policy)


def unpin(folder: Path) -> None:
    """Remove what is kept: the job is finished."""
    (folder / _NAME).unlink(missing_ok=True)
