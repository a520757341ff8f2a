"""Policies for tests."""

from typing import Any

from churn.policy.default import default_policy
from churn.policy.policy import Policy


def quiet(policy: Policy | None = None, **rules: Any) -> Policy:
    """The default policy, or another, without chance and with these rules."""
    policy = policy or default_policy()
    still = {"holdout_share": 0.0, "exploration_rate": 0.0} | rules
    return policy.model_copy(update={"rules": policy.rules.model_copy(update=still)})


def told_apart(policy: Policy) -> Policy:
    """The policy with shares saved that differ by situation and band."""
    document = policy.model_dump()
    for code, mean in (("reorder_reminder", 0.10), ("agent_call", 0.01), ("points", 0.30)):
        belief = {"mean": mean, "weight": 200.0}
        document["actions"][code]["saved_in"] = {
            "periodic_switched": {"high": belief},
            "unknown": {"medium": belief, "high": belief},
        }
    return Policy.model_validate(document)
