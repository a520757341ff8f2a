"""What is remembered of an answer: the score, and what was decided to do about the customer.

The first decision of a customer's day stands, so an answer tells the action that stands, whoever
decided it, under the name by which its outcomes are told.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from churn.events import MICROSECONDS_PER_DAY
from churn.policy.action import BY_SCORE, Action
from churn.policy.contacts import Contact
from churn.policy.decide import Option
from churn.policy.policy import Situation
from churn.rows import CustomerRow
from churn.scores import CustomerScore
from service.store.decisions import Decided
from service.store.recorded import Remembered


class Recording(NamedTuple):
    """A score that is to be remembered, and what was decided on it, if anything was."""

    score: CustomerScore
    remembered: Remembered
    decided: Decided | None

    @property
    def decisions(self) -> tuple[Decided, ...]:
        """What was decided, if anything was."""
        return () if self.decided is None else (self.decided,)

    def answer(self, standing: Mapping[tuple[str, int], Decided]) -> "Answer":
        """What is answered when the decisions of some customers' days are known to stand."""
        if self.decided is None:
            return Answer(self.score)
        stands = standing.get(self.decided.key)
        if stands is None:  # the customer was erased meanwhile
            return Answer(self.score)
        if stands.decision_id == self.decided.decision_id:
            return Answer(self.score, stands.decision_id)
        score = self.score._replace(action=action_of(stands), policy_version=stands.policy_version)
        return Answer(score, stands.decision_id)


class Answer(NamedTuple):
    """A score as it is answered, and the name of its decision where one is recorded."""

    score: CustomerScore
    decision_id: str | None = None


def recording(score: CustomerScore, row: CustomerRow | None, scored_at: int) -> Recording:
    """What is to be remembered of an answer.

    Parameters
    ----------
    score : CustomerScore
        The answer.
    row : CustomerRow or None
        What was scored, if anything could be.
    scored_at : int
        When, microseconds since 1970-01-01 UTC.
    """
    decided = None
    if row is not None and score.action is not None:
        decided = _decided(score, score.action, row, scored_at)
    return Recording(score, Remembered.of(score, scored_at), decided)


def features_hash(numbers: NDArray[np.float64]) -> str:
    """What stands for the input columns, as they were sent: 32 hexadecimal digits."""
    return hashlib.blake2b(numbers.tobytes(), digest_size=16).hexdigest()


def action_of(decided: Decided) -> Action:
    """The action of a stored decision, as it was answered first."""
    facts = orjson.loads(decided.facts)
    others = facts["alternatives"]
    return Action(
        code=decided.action,
        channel=facts["channel"],
        act_by=facts["act_by"],
        expected_value=decided.expected_value,
        lower_bound=decided.lower_bound,
        cost=decided.cost,
        why=facts["why"],
        alternatives=tuple(
            Option(one["code"], one["expected_value"], one["lower_bound"], one["cost"])
            for one in others
        ),
        holdout=decided.withheld,
        explored=decided.explored,
        propensity=decided.propensity,
        situation=cast(Situation, decided.situation),
    )


def decided_of(
    action: Action,
    *,
    channels: Set[str] | None,
    contacts: Sequence[Contact],
    at: int,
    as_of: int,
    lead_time_days: int,
    by: str = BY_SCORE,
    **told: Any,
) -> Decided:
    """A decision as it is stored, under a new name.

    Parameters
    ----------
    action : Action
        What was decided.
    channels, contacts
        Of the customer, as in `churn.rows.CustomerRow`.
    at, as_of : int
        When it is made, and for when; microseconds since 1970-01-01 UTC.
    lead_time_days : int
        Between `as_of` and the horizon.
    by : str, optional
        By what: `BY_SCORE` or `BY_PLAN`.
    **told
        The other columns of `Decided`.
    """
    facts = {
        "by": by,
        "lead_time_days": lead_time_days,
        "channel": action.channel,
        "act_by": action.act_by,
        "why": action.why,
        "channels": None if channels is None else sorted(channels),
        "contacts": [[one.at, one.action] for one in contacts],
        "alternatives": [
            {
                "code": one.action,
                "expected_value": one.expected_value,
                "lower_bound": one.lower_bound,
                "cost": one.cost,
            }
            for one in action.alternatives
        ],
    }
    return Decided(
        decision_id=_name(at),
        day=as_of // MICROSECONDS_PER_DAY,
        decided_at=at,
        as_of=as_of,
        action=action.code,
        withheld=action.holdout,
        explored=action.explored,
        propensity=action.propensity,
        situation=action.situation,
        expected_value=action.expected_value,
        lower_bound=action.lower_bound,
        cost=action.cost,
        facts=orjson.dumps(facts).decode(),
        **told,
    )


def _decided(score: CustomerScore, action: Action, row: CustomerRow, at: int) -> Decided:
    reasons = [reason.code for reason in score.reasons if reason.direction == "raises"]
    return decided_of(
        action,
        channels=row.channels,
        contacts=row.contacts,
        at=at,
        as_of=score.as_of,
        lead_time_days=score.lead_time_days,
        customer_id=score.customer_id,
        model_version=score.model_version,
        policy_version=score.policy_version,
        reason=reasons[0] if reasons else None,
        band=score.risk_band,
        segment=score.value_segment,
        probability=score.churn_probability,
        value=None if score.customer_value is None else score.customer_value.amount,
        features_hash=features_hash(row.numbers),
        horizon_days=score.horizon_days,
    )


def _name(at: int) -> str:
    """A name that nobody can guess; later ones sort after earlier ones.

    So the newest lie side by side in the table's index, and writing many touches few pages.
    """
    return f"{at // 1000:012x}{secrets.token_hex(10)}"
