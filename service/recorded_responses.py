"""What is answered about recorded scores and decisions."""

from typing import Annotated, Literal

from pydantic import Field

from service.responses import Alternative, Band, Exact, Probability, Status

DecisionOutcome = Literal["delivered", "accepted", "rejected", "ignored", "retained", "lost"]


class RecordedReason(Exact):
    """A reason of a recorded score."""

    code: str
    family: str
    direction: Literal["raises", "lowers"]
    contribution: float
    share: float


class RecordedScore(Exact):
    """A score as it was answered, beside the recorded one before of the same model."""

    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    scored_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    model_version: str
    status: Status
    churn_probability: Probability | None
    risk_band: Band | None
    horizon_days: int
    reasons: list[RecordedReason]
    previous_as_of: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})]
    previous_probability: Probability | None
    change: Annotated[
        float | None, Field(description="`churn_probability` less `previous_probability`.")
    ]
    reasons_new: Annotated[list[str], Field(description="Codes of those not there before.")]
    reasons_gone: Annotated[list[str], Field(description="Codes of those there before only.")]
    reasons_grown: Annotated[
        list[str], Field(description="Codes of those that weigh more by .1 in log-odds at least.")
    ]
    reasons_shrunk: Annotated[
        list[str], Field(description="Codes of those that weigh less by .1 in log-odds at least.")
    ]


class CustomerScores(Exact):
    """A customer's recorded scores, newest first."""

    customer_id: str
    scores: list[RecordedScore]
    next: Annotated[str | None, Field(description="`cursor` of the page after; null at the end.")]


class OutcomeAnswer(Exact):
    """What came of a decision, as it is kept."""

    decision_id: str
    outcome: DecisionOutcome
    occurred_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    received_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    status: Annotated[
        Literal["accepted", "duplicate"],
        Field(description="`duplicate`: it was told before, and stands as it was told first."),
    ]


class CameOf(Exact):
    """What came of a decision."""

    outcome: DecisionOutcome
    occurred_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    received_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class RecordedDecision(Exact):
    """What was decided to do about a customer, why, and what came of it."""

    decision_id: str
    decided_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    model_version: str
    policy_version: str
    by: Annotated[
        Literal["score", "plan"],
        Field(description="What decided: a score for the customer alone, or a plan for many."),
    ]
    action: Annotated[str, Field(description="Code of the action; `none` is one.")]
    channel: str
    act_by: Annotated[str | None, Field(json_schema_extra={"format": "date"})]
    why: str
    expected_value: Annotated[float | None, Field(description="In the model's currency.")]
    lower_bound: float | None
    cost: float
    alternatives: list[Alternative]
    withheld: Annotated[
        bool, Field(description="The customer is held out: the action is not carried out.")
    ]
    explored: Annotated[bool, Field(description="It was drawn at random.")]
    propensity: Annotated[
        float, Field(description="With which probability it was decided so, withheld or not.")
    ]
    situation: str
    reason: Annotated[str | None, Field(description="Code of the main reason.")]
    churn_probability: Probability | None
    risk_band: Band | None
    value_segment: Literal["A", "B", "C"] | None
    customer_value: Annotated[float | None, Field(description="In the model's currency.")]
    horizon_days: int
    outcomes: list[CameOf]


class CustomerDecisions(Exact):
    """A customer's recorded decisions, newest first."""

    customer_id: str
    decisions: list[RecordedDecision]
    next: Annotated[str | None, Field(description="`cursor` of the page after; null at the end.")]
