"""What the service answers: the shapes that the contract publishes.

Answers are written by hand (`service.answers`), which is ten times faster than through these
models; the contract tests hold every real answer against them. Here are those of scores, events and
erasures, and what all share.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from churn.policy.policy import Situation

Probability = Annotated[float, Field(ge=0, le=1)]
Band = Literal["low", "medium", "high"]
LossCategory = Literal[
    "one_time", "periodic_switched", "high_cheque_stopped", "active_shift", "other"
]
ValueSegment = Literal["A", "B", "C"]
Status = Literal["scored", "lapsed", "insufficient_history", "unknown_customer"]


RecordedAs = Annotated[
    str | None, Field(description="Where it is recorded: what its outcomes are told of.")
]


class Exact(BaseModel):
    """What is answered has these fields and no other."""

    model_config = ConfigDict(extra="forbid")


class Reason(Exact):
    """One explained cause, measured against the customer's own norm."""

    code: str
    family: str
    direction: Literal["raises", "lowers"]
    contribution: Annotated[float, Field(description="Group Shapley value, log-odds.")]
    share: Annotated[
        float, Field(description="Its part of all that moves the risk in the same direction.")
    ]
    feature: str
    value: Annotated[float | str | None, Field(description="A number, or a category's name.")]
    norm: Annotated[
        float | str | None,
        Field(description="The customer's own norm, or what is usual for a column of your own."),
    ]
    controllable: bool
    text: str


class Alternative(Exact):
    """Another action that was possible."""

    code: str
    expected_value: float | None
    lower_bound: float | None
    cost: float


class Action(Exact):
    """What is worth doing about it; `none` is a proper answer. Money is in the log's currency."""

    code: str
    channel: str
    act_by: Annotated[
        str | None,
        Field(
            json_schema_extra={"format": "date"},
            description="The last good day for it (UTC); null where nothing is to be done.",
        ),
    ]
    expected_value: Annotated[
        float | None,
        Field(description="Of the margin saved, less the cost; null where nothing is claimed."),
    ]
    lower_bound: Annotated[float | None, Field(description="It is more than this with 90%.")]
    cost: Annotated[float, Field(description="Expected.")]
    why: str
    alternatives: Annotated[list[Alternative], Field(description="The best first.")]
    holdout: Annotated[
        bool,
        Field(description="Do not do it: the customer is one of those who show what it brings."),
    ]
    explored: Annotated[bool, Field(description="Drawn at random, to learn what it brings.")]
    propensity: Annotated[
        float,
        Field(gt=0, le=1, description="With which probability the policy does what it did."),
    ]
    situation: Situation
    decision_id: RecordedAs = None


class CustomerValue(Exact):
    """The margin that hangs on keeping the customer."""

    amount: Annotated[float, Field(ge=0)]
    currency: str
    days: Annotated[int, Field(description="Counted from the end of the lead time.")]


class RiskPoint(Exact):
    """A point of the risk curve."""

    days: Annotated[int, Field(description="Days after the lead time.")]
    probability: Annotated[Probability, Field(description="Of no purchase until then.")]


class Interval(Exact):
    """The 95% interval of the probability, from how far off earlier dates were."""

    low: Probability
    high: Probability


class NextPurchase(Exact):
    """When the next purchase is expected; null beyond the end of the risk curve."""

    median: Annotated[str | None, Field(json_schema_extra={"format": "date"})]
    earliest: Annotated[
        str | None,
        Field(json_schema_extra={"format": "date"}, description="10% have bought by then."),
    ]
    latest: Annotated[
        str | None,
        Field(json_schema_extra={"format": "date"}, description="90% have bought by then."),
    ]


class Score(Exact):
    """One customer's answer. Only `scored` has a probability."""

    customer_id: str
    status: Status
    churn_probability: Probability | None
    probability_interval: Interval | None
    risk_band: Band | None
    horizon_days: int
    risk_curve: list[RiskPoint]
    next_purchase: NextPurchase | None
    reasons: list[Reason]
    loss_category: Annotated[
        LossCategory | None, Field(description="What kind of loss it would be; docs/value.md.")
    ]
    value_segment: Annotated[
        ValueSegment | None,
        Field(description="A: the most valuable 20%, B: the next 30%, C: the others."),
    ]
    customer_value: Annotated[
        CustomerValue | None, Field(description="Null where no cheque is known.")
    ]
    action: Action | None
    model_version: str
    policy_version: str
    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    scored_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    request_id: str
    warnings: list[str]


class FieldFault(Exact):
    """A field at fault: a JSON pointer into the request and a stable code."""

    pointer: str
    code: str


class Problem(Exact):
    """RFC 9457 problem document. It never holds a part of the input."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldFault]


class RowProblem(Problem):
    """The problem of one row of a batch; `index` counts from 0."""

    index: int


class BatchAnswer(Exact):
    """A result or a problem per customer, in input order."""

    model_version: str
    request_id: str
    results: list[Score | RowProblem]


class KeptEvent(Exact):
    """An event that was kept, or was known already."""

    status: Literal["accepted", "duplicate"]


class RefusedEvent(Exact):
    """An event that was not kept."""

    status: Literal["refused"]
    error: RowProblem


class EventsAnswer(Exact):
    """What became of each event, in input order. What was accepted is on disk."""

    accepted: int
    duplicates: int
    refused: int
    request_id: str
    rows: list[KeptEvent | RefusedEvent]


class Erasure(Exact):
    """What was removed of a customer."""

    events: int
    scores: Annotated[int, Field(description="Recorded scores.")]
    decisions: Annotated[int, Field(description="Recorded decisions, with what came of them.")]
    job_rows: Annotated[int, Field(description="Rows of lists and of results.")]
    jobs: Annotated[
        list[str],
        Field(
            description="Jobs with such rows: open ones begin anew, done ones have a new `ETag`."
        ),
    ]
    erased_at: Annotated[
        str,
        Field(
            json_schema_extra={"format": "date-time"},
            description="Events from before are not taken again.",
        ),
    ]
    pending: Annotated[
        list[Literal["jobs", "file"]],
        Field(
            description="What is still being removed, by itself: `jobs`, rows of jobs; `file`, "
            "remains in SQLite's files."
        ),
    ]
    rewritten_at: Annotated[
        str | None,
        Field(
            json_schema_extra={"format": "date-time"},
            description="When SQLite's file will be written anew, until which remains are in it; "
            "null where that is done, or about to be.",
        ),
    ]
