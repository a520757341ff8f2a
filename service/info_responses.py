"""What is answered about the model, what it may say and suggest, and how the service is."""

from typing import Annotated, Literal

from pydantic import Field

from churn.manifest import FeatureEntry, LossEntry, Thresholds, ValueEntry
from service.responses import Exact, Probability


class Model(Exact):
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


class ReasonKind(Exact):
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


class ReasonCatalogue(Exact):
    """Every reason that may be given."""

    language: Literal["en", "ru"]
    reasons: list[ReasonKind]


class Share(Exact):
    """A share that is believed: its mean, and how many customers' outcomes that is worth."""

    mean: Probability
    weight: float


class ActionKind(Exact):
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


class ActionCatalogue(Exact):
    """Every action that may be suggested."""

    language: Literal["en", "ru"]
    policy_version: str
    actions: list[ActionKind]


class Live(Exact):
    """The process answers."""

    status: Literal["live"]


class Ready(Exact):
    """A verified model is loaded: histories in a body are scored, whatever the store does."""

    status: Literal["ready"]
    model_version: str
    store: Annotated[
        Literal["ready", "unavailable"],
        Field(description="While it is unavailable, what needs it answers 503."),
    ]
