"""Policies for tests."""

from typing import Any

from churn.policy.default import default_policy
from churn.policy.policy import Policy


def quiet(policy: Policy | None = None, **rules: Any) -> Policy:
    """The default policy, or another, without chance and with these rules."""
    policy = policy or default_policy()
    still = {"holdout_share": 0.0, "exploration_rate": 0.0} | rules
    return policy.model_copy(update={"rules": policy.rules.model_copy(update=still)})
