"""Beliefs replaced in the text of a policy.toml, where they stand.

Only numbers change, in the lines where they stood; comments, order and everything else stay. The
new text is read again before it is given out: it must say what was meant and nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from churn.errors import PolicyError
from churn.policy.economics import Belief
from churn.policy.policy import BeliefTable, Policy, parse

_HEADER = re.compile(r"\s*\[\s*([\w.\s-]+?)\s*\]")


@dataclass(frozen=True, slots=True)
class Change:
    """One belief, before and after.

    Attributes
    ----------
    action : str
    field : {"saved", "redeemed", "harm", "saved_in"}
    before, after : Belief
    treated : int
        Customers with a known outcome who got the action.
    within : (str, str) or None
        The situation and risk band in which alone it holds, of `saved_in`.
    """

    action: str
    field: str
    before: Belief
    after: Belief
    treated: int
    within: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """As the action's table has it."""
        return ".".join((self.field, *(self.within or ())))


def rewritten(text: str, changes: Sequence[Change], path: Path) -> str:
    """Replace each belief where it stands; one of a part goes below `saved` if it is new.

    Parameters
    ----------
    text : str
        A policy.toml.
    changes : sequence of Change
    path : Path
        For messages.

    Raises
    ------
    PolicyError
        A belief is written in a way that is not recognised.
    """
    lines = text.splitlines(keepends=True)
    for change in changes:
        table = f"actions.{change.action}"
        new = f"{{ mean = {_number(change.after.mean)}, weight = {_number(change.after.weight)} }}"
        at = _line_of(lines, table, change.key)
        if at is not None:
            lines[at] = re.sub(r"\{[^}]*\}", new, lines[at], count=1)
            continue
        below = None if change.within is None else _line_of(lines, table, "saved")
        if below is None:
            raise PolicyError(
                f"{path}: [{table}] {change.field} is not written as "
                f"`{change.field} = {{ mean = ..., weight = ... }}` on one line; write it so"
            )
        lines.insert(below + 1, f"{change.key} = {new}\n")
    return "".join(lines)


def checked(policy: Policy, text: str, changes: Sequence[Change], path: Path) -> Policy:
    """The new policy, which differs from the old one in the changes alone.

    Raises
    ------
    PolicyError
        It differs in something else.
    """
    meant = policy.model_dump()
    for change in changes:
        action = meant["actions"][change.action]
        belief = BeliefTable(mean=change.after.mean, weight=change.after.weight).model_dump()
        if change.within is None:
            action[change.field] = belief
        else:
            situation, band = change.within
            action[change.field].setdefault(situation, {})[band] = belief
    new = parse(text, path)
    if new.model_dump() != meant:
        raise PolicyError(f"{path}: the beliefs could not be replaced line by line")
    return new


def _line_of(lines: Sequence[str], table: str, key: str) -> int | None:
    current = ""
    for at, line in enumerate(lines):
        header = _HEADER.match(line)
        if header:
            current = re.sub(r"\s", "", header[1])
        if current == table and re.match(rf"\s*{re.escape(key)}\s*=\s*\{{[^}}]*\}}", line):
            return at
    return None


def _number(number: float) -> str:
    """As TOML has it: a float, never an exponent that hides its size."""
    text = f"{number:.10f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
