"""From one scored customer to a suggestion: the situation, the choice, the date, the sentence."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from churn.manifest import Manifest
from churn.policy.action import Action
from churn.policy.contacts import Contact
from churn.policy.decide import Facts, decide
from churn.policy.due import act_by, due_days
from churn.policy.policy import NONE, Policy
from churn.policy.situation import MOST_REASONS, Situations
from churn.policy.why import why
from churn.reasons import Reason
from churn.schema import Schema
from churn.words import Language

USUAL_SEGMENT = "B"
"""What counts as the segment of a customer whose value is not known."""
LAPSED_BAND = "low"
"""A lapsed customer is no retention case: what goes by the risk is not asked."""


class Known(NamedTuple):
    """What is known of a customer who is to be advised.

    Attributes
    ----------
    customer_id : str
        Opaque identifier.
    as_of : int
        Microseconds since 1970-01-01 UTC.
    row : mapping of str to float
        Input columns by name; NaN is missing.
    probability : float or None
        Of churn; None of a lapsed customer, who is advised about complaints only.
    band : str or None
        Risk band; None where there is no probability.
    earliest : float
        Days after the lead time by which a tenth have bought again; NaN beyond the curve.
    reasons : sequence of Reason
        Those that raise the risk, the largest first.
    value, segment, category
        What hangs on the customer in currency, the value segment and the loss category; None
        where not known.
    channels : frozenset of str or None
        Those that the customer allows; None where nobody was asked: all.
    contacts : sequence of Contact
        What was delivered so far.
    """

    customer_id: str
    as_of: int
    row: Mapping[str, float]
    probability: float | None
    band: str | None
    earliest: float
    reasons: Sequence[Reason]
    value: float | None = None
    segment: str | None = None
    category: str | None = None
    channels: frozenset[str] | None = None
    contacts: Sequence[Contact] = ()


class Advisor:
    """Suggests what to do about the customers of one model; immutable.

    Parameters
    ----------
    policy : Policy
        What may be done.
    schema : Schema
        The model's columns.
    manifest : Manifest
        The model's horizon, currency, and what its customers' features are like.

    Attributes
    ----------
    situations : Situations
        Tells the case of a customer.
    """

    def __init__(self, policy: Policy, schema: Schema, manifest: Manifest) -> None:
        self.policy = policy
        self.situations = Situations(schema, low_rating(manifest))
        self.currency = manifest.currency
        self.lead_days = manifest.lead_time_days
        self.horizon_days = manifest.horizon_days

    def advise(self, known: Known, language: Language) -> Action:
        """Suggest one action, or none, and say why in a language."""
        main = [reason.family for reason in known.reasons[:MOST_REASONS]]
        situation = self.situations.of(known.row, main, known.category)
        band = known.band or LAPSED_BAND
        decision = decide(
            self.policy,
            Facts(
                known.customer_id,
                known.as_of,
                known.probability or 0.0,
                band,
                known.segment or USUAL_SEGMENT,
                None if known.probability is None else known.value,
                situation,
                known.channels,
                known.contacts,
                self.situations.owed_since(situation, known.row, known.as_of)
                if known.contacts
                else None,
            ),
        )
        action = self.policy.actions[decision.action]
        day = None
        if decision.action != NONE:
            gap = known.row.get("average_gap_days", math.nan)
            due = due_days(known.earliest, gap, self.lead_days, self.horizon_days)
            day = act_by(known.as_of, due, action.within_hours, action.service)
        return Action(
            decision.action,
            action.channel,
            day,
            decision.expected_value,
            decision.lower_bound,
            decision.cost,
            why(self.policy, decision, situation, band, known.reasons, language, self.currency),
            decision.alternatives,
            decision.holdout,
            decision.explored,
            decision.propensity,
            situation,
        )


def low_rating(manifest: Manifest) -> float:
    """The rating of a resolution from which down it was bad: halfway to the worst usual one.

    Scales differ (five stars, ten points, a sentiment about zero), so it is measured by what the
    customers of training gave; NaN where they gave none.
    """
    for entry in manifest.features:
        if entry.name == "last_resolution_rating":
            low, usual = entry.reference.p01, entry.reference.p50
            if low is not None and usual is not None:
                return (low + usual) / 2.0
    return math.nan
