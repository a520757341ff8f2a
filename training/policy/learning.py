"""A policy.toml proposed from outcomes: the same file, with the beliefs that they changed.

Beliefs about an action are those about everybody to whom it was done. Where it was done to enough
customers of one situation and risk band, what it saves there is told apart, drawn towards what
is saved on average: many of those silent for long are gone for good, and no call brings these back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from churn.errors import DataError
from churn.policy.economics import NOTHING, Belief
from churn.policy.policy import AT_RISK, NONE, SITUATIONS, Policy, parse
from training.policy import effects
from training.policy.decisions import Decisions, Integers, episodes
from training.policy.rewriting import Change, checked, rewritten

MIN_TREATED, MIN_UNTREATED, MIN_IN_GROUP = 50, 50, 30
FIELDS = ("saved", "redeemed", "harm")


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
    changes: list[Change] = []
    if actions:
        known = np.isin(done, [NONE, *actions])
        lesson = _Lesson.of(rows.where(known), done[known], actions, policy)
        changes = lesson.changes()
        changes += lesson.by_group()
    new = rewritten(text, changes, path)
    return Proposal(
        tuple(changes),
        new,
        checked(policy, new, changes, path),
        untreated,
        {code: n for code, n in counts.items() if n < MIN_TREATED},
    )


def _teaches(decisions: Decisions, policy: Policy) -> NDArray[np.bool_]:
    """Decisions whose outcome says something about a belief of this policy."""
    begins = episodes(decisions, np.ones(len(decisions), dtype=np.bool_))
    believed = [code for code, one in policy.actions.items() if one.economics and not one.service]
    idle = decisions.withheld | (decisions.action == NONE)
    told = ~np.isnan(decisions.retained) & ~np.isnan(decisions.probability)
    return np.asarray(begins & told & (idle | np.isin(decisions.action.astype(str), believed)))


@dataclass(frozen=True, slots=True)
class _Lesson:
    """Outcomes, and the beliefs before them."""

    rows: Decisions
    at: Integers
    actions: Sequence[str]
    policy: Policy
    before: Mapping[str, tuple[Belief, Belief]]

    @classmethod
    def of(
        cls, rows: Decisions, done: NDArray[np.object_], actions: Sequence[str], policy: Policy
    ) -> "_Lesson":
        position = {NONE: -1} | {code: at for at, code in enumerate(actions)}
        before = {}
        for code in actions:
            economics = policy.actions[code].economics
            assert economics is not None
            before[code] = economics.saved, economics.harm
        at = np.array([position[code] for code in done.tolist()], dtype=np.int64)
        return cls(rows, at, actions, policy, before)

    def changes(self) -> list[Change]:
        """What every action saves, gives away and drives away."""
        learnt = self._learn()
        found = []
        for place, code in enumerate(self.actions):
            action = self.policy.actions[code]
            assert action.economics is not None
            treated = self.at == place
            after = {"saved": learnt.saved(code), "harm": learnt.harm(code)}
            if action.incentive_cost > 0.0 and self.rows.accepted[treated].any():
                after["redeemed"] = _redeemed(
                    action.economics.redeemed, after["saved"].mean, self.rows.where(treated)
                )
            for field in FIELDS:
                prior: Belief = getattr(action.economics, field)
                if field in after and prior != NOTHING:
                    count = int(treated.sum())
                    found.append(Change(code, field, prior, _rounded(after[field]), count))
        return found

    def by_group(self) -> list[Change]:
        """What actions save in each situation and risk band that has enough."""
        groups = [(situation, band) for situation in SITUATIONS for band in AT_RISK]
        code_of = {group: at for at, group in enumerate(groups)}
        group = np.array(
            [code_of.get(one, -1) for one in zip(self.rows.situation, self.rows.band, strict=True)],
            dtype=np.int64,
        )
        known = group >= 0
        p, kept, at = self.rows.probability[known], self.rows.retained[known], self.at[known]
        group = group[known]
        beliefs = effects.learn_by_group(p, at, kept, self._learn(), group, len(groups))
        found = []
        for place, code in enumerate(self.actions):
            action = self.policy.actions[code]
            for number, (situation, band) in enumerate(groups):
                count = int(((at == place) & (group == number)).sum())
                if count >= MIN_IN_GROUP:
                    table = action.saved_in.get(situation, {}).get(band)
                    prior = self.before[code][0]
                    if table is not None:
                        prior = Belief(table.mean, table.weight)
                    after = _rounded(beliefs[place][number])
                    change = Change(code, "saved_in", prior, after, count, (situation, band))
                    found.append(change)
        return found

    def _learn(self) -> effects.Effects:
        p, kept = self.rows.probability, self.rows.retained
        return effects.learn(p, self.at, kept, self.actions, self.before)


def _redeemed(before: Belief, saved: float, treated: Decisions) -> Belief:
    """Stayers who took the incentive: of all who took it, less those whom it saved."""
    kept = float(treated.retained.sum())
    took = float((treated.accepted & (treated.retained == 1.0)).sum())
    rescued = min(saved * float(treated.probability.sum()), took)
    return effects.share(before, took - rescued, max(kept - took, 0.0))


def _rounded(belief: Belief) -> Belief:
    return Belief(float(f"{belief.mean:.4g}"), float(f"{belief.weight:.4g}"))
