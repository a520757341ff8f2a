"""A policy.toml proposed from outcomes: the same file, with the beliefs that they changed.

Only numbers change, in the lines where they stood; comments, order and everything else stay. The
new text is read again before it is given out: it must say what was meant and nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from churn.errors import DataError, PolicyError
from churn.policy.economics import NOTHING, Belief
from churn.policy.policy import NONE, BeliefTable, Policy, parse
from training.policy import effects
from training.policy.decisions import Decisions, episodes

MIN_TREATED, MIN_UNTREATED = 50, 50
FIELDS = ("saved", "redeemed", "harm")
_HEADER = re.compile(r"\s*\[\s*([\w.\s-]+?)\s*\]")


@dataclass(frozen=True, slots=True)
class Change:
    """One belief, before and after.

    Attributes
    ----------
    action : str
    field : {"saved", "redeemed", "harm"}
    before, after : Belief
    treated : int
        Customers with a known outcome who got the action.
    """

    action: str
    field: str
    before: Belief
    after: Belief
    treated: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed.

    Attributes
    ----------
    changes : tuple of Change
    text : str
        The new policy.toml.
    policy : Policy
        The same, read.
    untreated : int
        Customers with a known outcome to whom nothing was done.
    too_few : dict of str to int
        Actions about which nothing is said yet, with how many got each.
    """

    changes: tuple[Change, ...]
    text: str
    policy: Policy
    untreated: int
    too_few: dict[str, int]


def propose(decisions: Decisions, text: str, path: Path) -> Proposal:
    """Update a policy's beliefs by the outcomes of decisions.

    Parameters
    ----------
    decisions : Decisions
        With outcomes.
    text : str
        The policy.toml whose beliefs count as what was believed before these decisions.
    path : Path
        Where it lies, for messages.

    Raises
    ------
    PolicyError
        The file cannot work, or a belief is not where it can be replaced.
    DataError
        Fewer than `MIN_UNTREATED` customers to whom nothing was done: no effect can be told.
    """
    policy = parse(text, path)
    rows = decisions.where(_teaches(decisions, policy))
    done = np.where(rows.withheld, NONE, rows.action)
    untreated = int((done == NONE).sum())
    if untreated < MIN_UNTREATED:
        raise DataError(
            f"only {untreated} customers with a known outcome to whom nothing was done, at least "
            f"{MIN_UNTREATED} are needed to tell what actions do; wait, or raise [rules] "
            "holdout_share"
        )
    counts = {code: int((done == code).sum()) for code in sorted(set(done.tolist()) - {NONE})}
    actions = [code for code, n in counts.items() if n >= MIN_TREATED]
    known = np.isin(done, [NONE, *actions])
    rows, done = rows.where(known), done[known]
    changes = _learnt(rows, done, actions, policy, counts) if actions else []
    new = rewritten(text, changes, path)
    return Proposal(
        tuple(changes),
        new,
        _checked(policy, new, changes, path),
        untreated,
        {code: n for code, n in counts.items() if n < MIN_TREATED},
    )


def _teaches(decisions: Decisions, policy: Policy) -> np.ndarray:
    """Decisions whose outcome says something about a belief of this policy."""
    begins = episodes(decisions, np.ones(len(decisions), dtype=np.bool_))
    believed = [code for code, one in policy.actions.items() if one.economics and not one.service]
    idle = decisions.withheld | (decisions.action == NONE)
    told = ~np.isnan(decisions.retained) & ~np.isnan(decisions.probability)
    return np.asarray(begins & told & (idle | np.isin(decisions.action.astype(str), believed)))


def _learnt(
    rows: Decisions,
    done: np.ndarray,
    actions: Sequence[str],
    policy: Policy,
    counts: Mapping[str, int],
) -> list[Change]:
    position = {NONE: -1} | {code: at for at, code in enumerate(actions)}
    before = {code: _beliefs(policy, code) for code in actions}
    at = np.array([position[code] for code in done.tolist()], dtype=np.int64)
    learnt = effects.learn(
        rows.probability,
        at,
        rows.retained,
        actions,
        {code: (saved, harm) for code, (saved, _, harm) in before.items()},
    )
    changes = []
    for code in actions:
        saved, redeemed, harm = before[code]
        treated = at == position[code]
        after = {"saved": learnt.saved(code), "harm": learnt.harm(code)}
        if policy.actions[code].incentive_cost > 0.0 and rows.accepted[treated].any():
            after["redeemed"] = _redeemed(
                redeemed, after["saved"].mean, rows.where(np.asarray(treated))
            )
        priors = {"saved": saved, "redeemed": redeemed, "harm": harm}
        changes += [
            Change(code, field, priors[field], _rounded(after[field]), counts[code])
            for field in FIELDS
            if field in after and priors[field] != NOTHING
        ]
    return changes


def _redeemed(before: Belief, saved: float, treated: Decisions) -> Belief:
    """Stayers who took the incentive: of all who took it, less those whom it saved."""
    kept = float(treated.retained.sum())
    took = float((treated.accepted & (treated.retained == 1.0)).sum())
    rescued = min(saved * float(treated.probability.sum()), took)
    return effects.share(before, took - rescued, max(kept - took, 0.0))


def _beliefs(policy: Policy, code: str) -> tuple[Belief, Belief, Belief]:
    economics = policy.actions[code].economics
    assert economics is not None
    return economics.saved, economics.redeemed, economics.harm


def _rounded(belief: Belief) -> Belief:
    return Belief(float(f"{belief.mean:.4g}"), float(f"{belief.weight:.4g}"))


def rewritten(text: str, changes: Sequence[Change], path: Path) -> str:
    """Replace each belief where it stands.

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
        at = _line_of(lines, change)
        if at is None:
            raise PolicyError(
                f"{path}: [actions.{change.action}] {change.field} is not written as "
                f"`{change.field} = {{ mean = ..., weight = ... }}` on one line; write it so"
            )
        new = f"{{ mean = {_number(change.after.mean)}, weight = {_number(change.after.weight)} }}"
        lines[at] = re.sub(r"\{[^}]*\}", new, lines[at], count=1)
    return "".join(lines)


def _line_of(lines: Sequence[str], change: Change) -> int | None:
    table = ""
    for at, line in enumerate(lines):
        header = _HEADER.match(line)
        if header:
            table = re.sub(r"\s", "", header[1])
        belief = re.match(rf"\s*{change.field}\s*=\s*\{{[^}}]*\}}", line)
        if belief and table == f"actions.{change.action}":
            return at
    return None


def _number(number: float) -> str:
    """As TOML has it: a float, never an exponent that hides its size."""
    text = f"{number:.10f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _checked(policy: Policy, text: str, changes: Sequence[Change], path: Path) -> Policy:
    """The new policy, which differs from the old one in the changes alone."""
    actions = dict(policy.actions)
    for change in changes:
        table = BeliefTable(mean=change.after.mean, weight=change.after.weight)
        actions[change.action] = actions[change.action].model_copy(update={change.field: table})
    meant = policy.model_copy(update={"actions": actions})
    new = parse(text, path)
    if new.model_dump() != meant.model_dump():
        raise PolicyError(f"{path}: the beliefs could not be replaced line by line")
    return new
