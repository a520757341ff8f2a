"""The actions of a policy, for people and programs that read lists."""

from typing import Any

from churn.policy.policy import Policy
from churn.words import Language

_TOLD = (
    "service", "promotion", "needs_consent", "within_hours", "capacity", "contact_cost",
    "incentive_cost",
)  # fmt: skip
_BELIEVED = ("saved", "redeemed", "harm")


def catalogue(policy: Policy, language: Language) -> list[dict[str, Any]]:
    """Every action there is, in the order of the file."""
    listed = []
    for code, action in policy.actions.items():
        shares = {name: getattr(action, name) for name in _BELIEVED}
        listed.append(
            {
                "code": code,
                "channel": action.channel,
                "text": policy.text(code, language),
                **{name: getattr(action, name) for name in _TOLD},
                **{
                    name: share and {"mean": share.mean, "weight": share.weight}
                    for name, share in shares.items()
                },
            }
        )
    return listed
