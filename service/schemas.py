"""What a request may hold. Strict: nothing is coerced, nothing unknown is passed over."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from churn.events import LARGEST_NUMBER, Feed, Kind
from churn.reasons import MAX_REASONS, Direction
from churn.words import Language
from service import instants

DEFAULT_REASONS = 3
LONGEST_IDENTIFIER, LONGEST_LABEL = 256, 128
MOST_FEEDS = 2 * len(Feed)
MOST_CHANNELS = 64
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f]+$"


def _to_instant(value: Any) -> int:
    if type(value) is not str:
        raise PydanticCustomError("instant_type", "not a string")
    try:
        return instants.parse(value)
    except instants.BadInstant as error:
        if error.code == "no_offset":
            raise PydanticCustomError("instant_without_offset", "no offset") from None
        if error.code == "out_of_range":
            raise PydanticCustomError("instant_out_of_range", "out of range") from None
        raise PydanticCustomError("instant_format", "not RFC 3339") from None


Instant = Annotated[
    int,
    PlainValidator(_to_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Identifier = Annotated[
    str, Field(min_length=1, max_length=LONGEST_IDENTIFIER, pattern=NO_CONTROL_CHARACTERS)
]
IDENTIFIER = TypeAdapter(Identifier)
Label = Annotated[str, Field(min_length=1, max_length=LONGEST_LABEL, pattern=NO_CONTROL_CHARACTERS)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
NotNegative = Annotated[float, Field(allow_inf_nan=False, ge=0, le=LARGEST_NUMBER)]
# Strict mode would ask for the enum's own instances, which JSON cannot hold.
# A number first: nearly all are, and what is tried first is what a wrong value is told of.
FeatureValue = Annotated[Number | Label, Field(union_mode="left_to_right")]
KindName = Annotated[Kind, Field(strict=False)]
FeedName = Annotated[Feed, Field(strict=False)]

# How an answer is to be told, of one customer as of a list.
MostReasons = Annotated[
    int, Field(ge=0, le=MAX_REASONS, description="How many reasons to answer at most.")
]
WantedDirection = Annotated[
    Direction,
    Field(description="`raises`: reasons that raise the risk; `both`: those that lower it too."),
]
WordsLanguage = Annotated[Language, Field(description="Of the reasons' and action's words.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class EventInput(_Strict):
    """One event of the customer's history. Only `occurred_at` and `kind` are required."""

    occurred_at: Annotated[
        Instant, Field(description="When it happened: RFC 3339 with an offset, 1970 to 2199.")
    ]
    kind: Annotated[KindName, Field(description="What happened.")]
    order_id: Annotated[
        Identifier | None, Field(description="Lines of one order share it and are one purchase.")
    ] = None
    amount: Annotated[
        Number | None,
        Field(description="Money; above 0 for a purchase, return or cancellation."),
    ] = None
    value: Annotated[
        Number | None, Field(description="A rating, an NPS answer or a sentiment.")
    ] = None
    quantity: Annotated[
        NotNegative | None, Field(description="Number of units; above 0 for a purchase.")
    ] = None
    discount: Annotated[NotNegative | None, Field(description="Money taken off the price.")] = None
    category: Annotated[Label | None, Field(description="Category of what was bought.")] = None
    case_id: Annotated[
        Identifier | None, Field(description="A complaint and its resolution share it.")
    ] = None
    channel: Annotated[Label | None, Field(description="Where it happened.")] = None
    event_id: Annotated[
        Identifier | None, Field(description="Makes sending the same event twice harmless.")
    ] = None
    known_at: Annotated[
        Instant | None,
        Field(
            description="When the business learned of it, never before `occurred_at`, which is the "
            "default."
        ),
    ] = None


class CustomerEvent(EventInput):
    """One event and whose it is."""

    customer_id: Annotated[
        Identifier, Field(description="Opaque; never a name, an e-mail or a phone number.")
    ]


class EventsRequest(_Strict):
    """Events to keep, of any customers, in any order."""

    events: list[CustomerEvent]


class ScoreRequest(_Strict):
    """One customer: the events of the observation window, ready features, or both; or an id alone.

    Beside `events`, `features` holds only what no event tells: the model's columns of your own.
    With neither, the events that are stored of the customer are scored.
    """

    customer_id: Annotated[
        Identifier, Field(description="Opaque; never a name, an e-mail or a phone number.")
    ]
    as_of: Annotated[
        Instant | None,
        Field(description="Only what was known strictly before it counts; by default now."),
    ] = None
    events: Annotated[
        list[EventInput] | None,
        FailFast(),
        Field(description="The whole history in the observation window, in any order."),
    ] = None
    features: Annotated[
        dict[str, FeatureValue | None] | None,
        Field(
            description="Named as in `GET /v1/model`: a number, or the name of a category where it "
            "has categories. A missing one is missing, not zero."
        ),
    ] = None
    feeds: Annotated[
        list[FeedName] | None,
        Field(
            max_length=MOST_FEEDS,
            description="The feeds that this customer's data carries; by default the model's.",
        ),
    ] = None
    channels: Annotated[
        list[Label] | None,
        Field(
            max_length=MOST_CHANNELS,
            description="The channels that this customer allows, as `GET /v1/actions` names them; "
            "empty: none. Left out, nobody was asked and all are.",
        ),
    ] = None
    max_reasons: MostReasons = DEFAULT_REASONS
    direction: WantedDirection = "raises"
    language: WordsLanguage = "en"
    record: Annotated[
        bool,
        Field(
            description="Remember the answer, once for each customer, day and model: "
            "`GET /v1/customers/{customer_id}/scores` tells it."
        ),
    ] = False


class PlanLimits(_Strict):
    """What a plan has to keep to."""

    budget: Annotated[
        NotNegative | None,
        Field(
            description="What all that is weighed may be expected to cost together, in the "
            "model's currency; by default any amount."
        ),
    ] = None
    capacity: Annotated[
        dict[str, Annotated[int, Field(ge=0, le=1_000_000_000)]],
        Field(
            description="How many customers may get an action, by its code; by default as many "
            "as the policy says, or any number."
        ),
    ] = {}
    record: Annotated[
        bool,
        Field(
            description="Whether the decisions are stored, one per customer and day; those that "
            "are stored already stand."
        ),
    ] = False


class BatchRequest(_Strict):
    """Customers to score, each as in `POST /score`."""

    customers: list[ScoreRequest]


class OutcomeRequest(_Strict):
    """What came of a decision."""

    outcome: Annotated[
        Literal["delivered", "accepted", "rejected", "ignored", "retained", "lost"],
        Field(
            description="`delivered` says that the action reached the customer, and begins the "
            "cooldown."
        ),
    ]
    occurred_at: Annotated[
        Instant | None, Field(description="When it happened; by default now.")
    ] = None


class PlanRequest(PlanLimits):
    """Customers of whom each gets one action at most; a text is an identifier alone."""

    customers: list[ScoreRequest | Identifier]
