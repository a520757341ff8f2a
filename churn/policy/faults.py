"""What keeps a policy from working although each of its values may stand, and in which line."""

import re
from typing import TYPE_CHECKING, NamedTuple

from churn.advice import nearest

if TYPE_CHECKING:
    from churn.policy.policy import Policy

NONE = "none"
"""The action of leaving the customer alone."""

_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")


class Fault(NamedTuple):
    """What is wrong, and the table (and the key in it) where."""

    sentence: str
    table: str
    key: str | None = None


def first_fault(policy: "Policy") -> Fault | None:
    """The first thing that contradicts another, None where a policy can work."""
    none = policy.actions.get(NONE)
    if none is None:
        return Fault(
            "there is no [actions.none]; doing nothing must be possible, so add it", "actions"
        )
    if none.contact_cost or none.incentive_cost or none.saved is not None or none.service:
        return Fault(
            "[actions.none] has a cost or an effect, or is service; it does nothing",
            "actions.none",
        )
    if "unknown" not in policy.table:
        return Fault(
            "there is no [table.unknown]; say what to do where no reason stands out", "table"
        )
    for situation, cell in policy.table.items():
        for band, by_segment in cell.said().items():
            for segment, codes in by_segment.items():
                table = f"table.{situation}.{band}"
                for code in codes:
                    if code not in policy.actions:
                        hint = nearest(code, policy.actions)
                        sentence = f"[{table}] {segment} names {code}, which is no action{hint}"
                        return Fault(sentence, table, segment)
                    if situation == "open_complaint" and policy.actions[code].promotion:
                        sentence = (
                            f"[{table}] {segment} names {code}, a promotion; nothing is promoted "
                            "while a complaint is open"
                        )
                        return Fault(sentence, table, segment)
    return None


def place_of(fault: Fault, text: str) -> str:
    """Where the fault is, as told in messages: ``", line 7"``, or nothing if it cannot be told."""
    current, best = "", None
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            current = header[1]
            if best is None and f"{current}.".startswith(f"{fault.table}."):
                best = number
        elif fault.key and current == fault.table and re.match(rf"\s*{fault.key}\s*=", line):
            best = number
    return "" if best is None else f", line {best}"
