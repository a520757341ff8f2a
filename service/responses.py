"""What the service answers: the shapes that the contract publishes.

Answers are written by hand (`service.answers`), which is ten times faster than through these
models; the contract tests hold every real answer against them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from churn.manifest import FeatureEntry, LossEntry, Thresholds, ValueEntry
from churn.policy.policy import Situation
from churn.reasons import Direction
from churn.words import Language

Probability = Annotated[float, Field(ge=0, le=1)]
Band = Literal["low", "medium", "high"]
LossCategory = Literal[
    "one_time", "periodic_switched", "high_cheque_stopped", "active_shift", "other"
]
ValueSegment = Literal["A", "B", "C"]
Status = Literal["scored", "lapsed", "insufficient_history", "unknown_customer"]
DecisionOutcome = Literal["delivered", "accepted", "rejected", "ignored", "retained", "lost"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobFormat = Literal["ndjson", "csv", "parquet"]


RecordedAs = Annotated[
    str | None, Field(description="Where it is recorded: what its outcomes are told of.")
]


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reason(_Exact):
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


class Alternative(_Exact):
    """Another action that was possible."""

    code: str
    expected_value: float | None
    lower_bound: float | None
    cost: float


class Action(_Exact):
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


class CustomerValue(_Exact):
    """The margin that hangs on keeping the customer."""

    amount: Annotated[float, Field(ge=0)]
    currency: str
    days: Annotated[int, Field(description="Counted from the end of the lead time.")]


class RiskPoint(_Exact):
    """A point of the risk curve."""

    days: Annotated[int, Field(description="Days after the lead time.")]
    probability: Annotated[Probability, Field(description="Of no purchase until then.")]


class Interval(_Exact):
    """The 95% interval of the probability, from how far off earlier dates were."""

    low: Probability
    high: Probability


class NextPurchase(_Exact):
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


class Score(_Exact):
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


class RecordedReason(_Exact):
    """A reason of a recorded score."""

    code: str
    family: str
    direction: Literal["raises", "lowers"]
    contribution: float
    share: float


class RecordedScore(_Exact):
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


class CustomerScores(_Exact):
    """A customer's recorded scores, newest first."""

    customer_id: str
    scores: list[RecordedScore]
    next: Annotated[str | None, Field(description="`cursor` of the page after; null at the end.")]


class OutcomeAnswer(_Exact):
    """What came of a decision, as it is kept."""

    decision_id: str
    outcome: DecisionOutcome
    occurred_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    received_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    status: Annotated[
        Literal["accepted", "duplicate"],
        Field(description="`duplicate`: it was told before, and stands as it was told first."),
    ]


class CameOf(_Exact):
    """What came of a decision."""

    outcome: DecisionOutcome
    occurred_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    received_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class RecordedDecision(_Exact):
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


class CustomerDecisions(_Exact):
    """A customer's recorded decisions, newest first."""

    customer_id: str
    decisions: list[RecordedDecision]
    next: Annotated[str | None, Field(description="`cursor` of the page after; null at the end.")]


class Cohort(_Exact):
    """Customers by the month of their first purchase."""

    month: Annotated[str, Field(description="Such as 2026-01, UTC.")]
    customers: int
    bought: Annotated[
        list[float], Field(description="Percent who bought in that month and in each later one.")
    ]


class Retention(_Exact):
    """Management figures of a period; null where a figure would divide by nothing."""

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    end: Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="Exclusive.")]
    inactivity_days: Annotated[int, Field(description="Without a purchase: a customer no more.")]
    currency: str
    computed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    customers_at_start: int
    customers_at_end: int
    acquired: int
    returned: int
    lost: int
    buyers: int
    retention_rate: Annotated[float | None, Field(description="Percent.")]
    churn_rate: Annotated[float | None, Field(description="Percent.")]
    repeat_purchase_rate: Annotated[float | None, Field(description="Percent.")]
    lost_to_new: float | None
    revenue: float
    arpu: float | None
    lifetime_value: float | None
    cohorts: list[Cohort]
    lost_by: Annotated[
        dict[str, dict[str, float]] | None,
        Field(description="Shares of the lost by main reason, loss category and value segment."),
    ]
    lost_asked: Annotated[int, Field(description="Of how many lost customers those are shares.")]
    model_version: Annotated[str, Field(description="Of the model that was asked about the lost.")]
    definitions: Annotated[dict[str, str], Field(description="What each figure means.")]


class FieldFault(_Exact):
    """A field at fault: a JSON pointer into the request and a stable code."""

    pointer: str
    code: str


class Problem(_Exact):
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


class BatchAnswer(_Exact):
    """A result or a problem per customer, in input order."""

    model_version: str
    request_id: str
    results: list[Score | RowProblem]


class Assignment(_Exact):
    """What one customer gets."""

    customer_id: str
    action: str
    channel: str
    owed: Annotated[bool, Field(description="Service: it takes places first and no budget.")]
    cost: float
    expected_value: Annotated[float | None, Field(description="Null where nothing is claimed.")]
    decision_id: RecordedAs = None


class Withheld(_Exact):
    """What a customer would get who is held out: it is not to be carried out."""

    customer_id: str
    action: str
    decision_id: RecordedAs = None


class LeftOut(_Exact):
    """A customer who gets nothing, and why."""

    customer_id: str
    reason: str
    decision_id: RecordedAs = None


class PlanAnswer(_Exact):
    """Who gets what, within the limits. Money is in `currency`."""

    assignments: list[Assignment]
    withheld: list[Withheld]
    left_out: list[LeftOut]
    cost: Annotated[float, Field(description="Expected, of what is weighed; within the budget.")]
    expected_value: Annotated[float, Field(description="Of what is weighed, its cost taken off.")]
    upper_bound: Annotated[float, Field(description="No plan within the limits is worth more.")]
    service_cost: Annotated[float, Field(description="Of what is owed, beside the budget.")]
    currency: str
    shadow_prices: Annotated[
        dict[str, float],
        Field(description="What one more of each limit would bring: of `budget`, of an action."),
    ]
    notes: Annotated[list[str], Field(description="The same in words, and what reasons mean.")]
    errors: list[RowProblem]
    model_version: str
    policy_version: str
    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    request_id: str


class KeptEvent(_Exact):
    """An event that was kept, or was known already."""

    status: Literal["accepted", "duplicate"]


class RefusedEvent(_Exact):
    """An event that was not kept."""

    status: Literal["refused"]
    error: RowProblem


class EventsAnswer(_Exact):
    """What became of each event, in input order. What was accepted is on disk."""

    accepted: int
    duplicates: int
    refused: int
    request_id: str
    rows: list[KeptEvent | RefusedEvent]


class Model(_Exact):
    """The loaded model."""

    model_version: str
    created_at: str
    sha256: str
    horizon_days: int
    lead_time_days: int
    inactivity_days: int
    observation_window_days: int
    minimum_features: int
    feeds: list[str]
    currency: str
    thresholds: Thresholds
    value: Annotated[ValueEntry | None, Field(description="Null where no cheques are recorded.")]
    loss: LossEntry | None
    metrics: dict[str, float | None]
    features: list[FeatureEntry]


class ReasonKind(_Exact):
    """A reason that may be given; `text` has the names of its figures in braces."""

    code: str
    family: str
    direction: Annotated[
        Literal["raises", "lowers"] | None,
        Field(description="Null for a column of your own, which may do either."),
    ]
    feature: str
    norm: Annotated[str | None, Field(description="Feature that the evidence is held against.")]
    controllable: bool
    text: str


class ReasonCatalogue(_Exact):
    """Every reason that may be given."""

    language: Literal["en", "ru"]
    reasons: list[ReasonKind]


class Share(_Exact):
    """A share that is believed: its mean, and how many customers' outcomes that is worth."""

    mean: Probability
    weight: float


class ActionKind(_Exact):
    """An action that may be suggested. Money is in the log's currency."""

    code: str
    channel: str
    text: str
    service: Annotated[
        bool, Field(description="Owed: neither withheld nor weighed against its cost.")
    ]
    promotion: Annotated[bool, Field(description="Not while a complaint is open.")]
    needs_consent: Annotated[
        bool, Field(description="Only for customers whose `channels` have its channel.")
    ]
    within_hours: int | None
    capacity: Annotated[int | None, Field(description="Customers of one plan who may get it.")]
    contact_cost: float
    incentive_cost: float
    saved: Annotated[Share | None, Field(description="Of would-be leavers; null: no claim.")]
    redeemed: Annotated[Share | None, Field(description="Of stayers who take the incentive too.")]
    harm: Annotated[Share | None, Field(description="Of stayers whom the contact drives away.")]


class ActionCatalogue(_Exact):
    """Every action that may be suggested."""

    language: Literal["en", "ru"]
    policy_version: str
    actions: list[ActionKind]


class Live(_Exact):
    """The process answers."""

    status: Literal["live"]


class Ready(_Exact):
    """A verified model is loaded: histories in a body are scored, whatever the store does."""

    status: Literal["ready"]
    model_version: str
    store: Annotated[
        Literal["ready", "unavailable"],
        Field(description="While it is unavailable, what needs it answers 503."),
    ]


class JobResults(_Exact):
    """Where a finished job's results are, and what they are."""

    href: str
    media_type: str
    bytes: int
    sha256: Annotated[str, Field(description="Hexadecimal; in quotes, the `ETag` too.")]


Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Job(_Exact):
    """A list of customers, and how far its scoring is."""

    job_id: str
    state: JobState
    cancel_requested: Annotated[
        bool, Field(description="Asked for while it ran; it ends after the chunk at hand.")
    ]
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at: Annotated[
        Timestamp | None, Field(description="When an ended job and its results are removed.")
    ]
    input_format: JobFormat
    input_bytes: int
    results_format: JobFormat
    as_of: Annotated[Timestamp, Field(description="For rows that name none.")]
    model_version: Annotated[str, Field(description="Pinned at submission.")]
    max_reasons: int
    direction: Direction
    language: Language
    rows_read: Annotated[int, Field(description="Rows done so far.")]
    rows: Annotated[
        dict[str, int] | None,
        Field(description="Rows by `status`, and refused ones as `error`; null until done."),
    ]
    reason: Annotated[str | None, Field(description="Why the job failed.")]
    results: Annotated[JobResults | None, Field(description="Null until done.")]


class JobList(_Exact):
    """Jobs, newest first."""

    jobs: list[Job]
    next: Annotated[
        str | None, Field(description="The `cursor` of the next page; null on the last.")
    ]


class Erasure(_Exact):
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
