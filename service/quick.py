"""The request that is right in every respect, recognised without the schema's machinery.

Nearly all requests are. `quick` takes what it is sure of and gives up on anything else, which the
schema (`service.schemas`) then judges and, if it is wrong, explains. So this module never refuses
a request, and what it takes is what the schema would have made of it; the tests hold it to that.
Checking one customer takes a third of the time so (`python -m benchmarks serving`).
"""

from typing import Any, NamedTuple

from churn.events import LARGEST_NUMBER, Event, Feed, Kind
from churn.reasons import MAX_REASONS, Direction
from churn.words import Language
from service import instants, strict_json
from service.schemas import (
    DEFAULT_REASONS,
    LONGEST_IDENTIFIER,
    LONGEST_LABEL,
    MOST_CHANNELS,
    MOST_FEEDS,
)

MONEY_KINDS = frozenset({Kind.PURCHASE, Kind.RETURN, Kind.CANCELLATION})

_MAY_BE_NULL = frozenset({"as_of", "events", "features", "feeds", "channels"})
_KINDS = {kind.value: kind for kind in Kind}
_FEEDS = {feed.value: feed for feed in Feed}
_LANGUAGES: dict[str, Language] = {"en": "en", "ru": "ru"}
_DIRECTIONS: dict[str, Direction] = {"raises": "raises", "both": "both"}


class Checked(NamedTuple):
    """A request that may be scored; fields as in `service.schemas.ScoreRequest`."""

    customer_id: str
    as_of: int | None
    events: list[Event] | None
    features: dict[str, Any] | None
    feeds: frozenset[Feed] | None
    max_reasons: int
    direction: Direction
    language: Language
    record: bool = False
    channels: frozenset[str] | None = None

    @property
    def by_id(self) -> bool:
        """Whether what is stored of the customer is to be scored."""
        return self.events is None and self.features is None


class _Unsure(Exception):
    """Something here is for the schema to judge."""


def quick(value: Any) -> Checked | None:
    """Take a parsed customer that is plainly right; None where the schema has to judge."""
    try:
        return _checked(value)
    except (_Unsure, TypeError, KeyError, instants.BadInstant):
        return None


def quick_event(value: Any) -> tuple[str, Event] | None:
    """Take a parsed event that names its customer; None where the schema has to judge."""
    if type(value) is not dict or "customer_id" not in value:
        return None
    item = dict(value)
    try:
        customer_id = _text(item.pop("customer_id"), LONGEST_IDENTIFIER)
        return customer_id, _usual(item) if item.keys() <= _USUAL else _event(item)
    except (_Unsure, TypeError, KeyError, instants.BadInstant):
        return None


def quick_body(raw: bytes) -> Checked | None:
    """The same of a customer's JSON; None also where the strict parser has to look at it."""
    found = strict_json.counted(raw)
    if found is None:
        return None
    value, members = found
    checked = quick(value)
    if checked is None:
        return None
    # What passed has no objects but these, and no number that two parsers would read in two ways.
    parsed = len(value)
    if checked.events is not None:
        parsed += sum(map(len, value["events"]))
    if checked.features is not None:
        parsed += len(checked.features)
    return checked if parsed == members else None


def _checked(value: Any) -> Checked:
    if type(value) is not dict:
        raise _Unsure
    customer_id = _text(value["customer_id"], LONGEST_IDENTIFIER)
    as_of: int | None = None
    events: list[Event] | None = None
    features: dict[str, Any] | None = None
    feeds: frozenset[Feed] | None = None
    max_reasons = DEFAULT_REASONS
    direction: Direction = "raises"
    language: Language = "en"
    record = False
    channels: frozenset[str] | None = None
    for name, given in value.items():
        if name == "customer_id":
            continue
        if name == "max_reasons":
            if type(given) is not int or not 0 <= given <= MAX_REASONS:
                raise _Unsure
            max_reasons = given
        elif name == "language":
            language = _LANGUAGES[given]
        elif name == "record":
            if type(given) is not bool:
                raise _Unsure
            record = given
        elif name == "direction":
            direction = _DIRECTIONS[given]
        elif given is None and name in _MAY_BE_NULL:
            continue
        elif name == "events":
            if type(given) is not list:
                raise _Unsure
            events = [
                _usual(item) if type(item) is dict and item.keys() <= _USUAL else _event(item)
                for item in given
            ]
        elif name == "as_of":
            as_of = instants.parse(given)
        elif name == "features":
            features = _features(given)
        elif name == "feeds":
            if type(given) is not list or len(given) > MOST_FEEDS:
                raise _Unsure
            feeds = frozenset([_FEEDS[feed] for feed in given])
        elif name == "channels":
            if type(given) is not list or len(given) > MOST_CHANNELS:
                raise _Unsure
            channels = frozenset([_text(channel, LONGEST_LABEL) for channel in given])
        else:
            raise _Unsure
    return Checked(
        customer_id, as_of, events, features, feeds, max_reasons, direction, language, record,
        channels,
    )  # fmt: skip


def _event(item: Any) -> Event:
    if type(item) is not dict:
        raise _Unsure
    kind: Kind | None = None
    occurred_at = known_at = order_id = amount = value = None
    quantity = discount = category = case_id = channel = event_id = None
    for name, given in item.items():
        if name == "occurred_at":
            occurred_at = instants.parse(given)
        elif name == "kind":
            kind = _KINDS[given]
        elif given is None:
            if name not in _OPTIONAL:
                raise _Unsure
        elif name == "amount":
            amount = _number(given, -LARGEST_NUMBER)
        elif name == "order_id":
            order_id = _text(given, LONGEST_IDENTIFIER)
        elif name == "category":
            category = _text(given, LONGEST_LABEL)
        elif name == "discount":
            discount = _number(given, 0.0)
        elif name == "quantity":
            quantity = _number(given, 0.0)
        elif name == "value":
            value = _number(given, -LARGEST_NUMBER)
        elif name == "event_id":
            event_id = _text(given, LONGEST_IDENTIFIER)
        elif name == "case_id":
            case_id = _text(given, LONGEST_IDENTIFIER)
        elif name == "channel":
            channel = _text(given, LONGEST_LABEL)
        elif name == "known_at":
            known_at = instants.parse(given)
        else:
            raise _Unsure
    if occurred_at is None or kind is None:
        raise _Unsure
    if amount is not None and amount <= 0.0 and kind in MONEY_KINDS:
        raise _Unsure
    if quantity is not None and quantity <= 0.0 and kind is Kind.PURCHASE:
        raise _Unsure
    if known_at is not None and known_at < occurred_at:
        raise _Unsure
    return Event(
        occurred_at, kind, order_id, amount, value, quantity, discount, category, case_id, channel,
        event_id, known_at,
    )  # fmt: skip


def _usual(item: dict[str, Any]) -> Event:
    """What `_event` makes of an event with nothing but time, kind, order and amount."""
    occurred_at = instants.parse(item["occurred_at"])
    kind = _KINDS[item["kind"]]
    order_id, amount = item.get("order_id"), item.get("amount")
    if order_id is not None:
        _text(order_id, LONGEST_IDENTIFIER)
    if type(amount) is float and 0.0 < amount <= LARGEST_NUMBER:
        pass  # as nearly always, and fine of every kind
    elif amount is not None:
        amount = _number(amount, -LARGEST_NUMBER)
        if amount <= 0.0 and kind in MONEY_KINDS:
            raise _Unsure
    # `Event(...)` without a Python function of its own for each.
    return _made(Event, (occurred_at, kind, order_id, amount, *_NOT_GIVEN))


_made = tuple.__new__
_NOT_GIVEN = (None,) * (len(Event._fields) - 4)
_USUAL = frozenset({"occurred_at", "kind", "order_id", "amount"})
_NUMBERS = frozenset({float, int})
_OPTIONAL = frozenset(Event._fields) - {"occurred_at", "kind"}


def _features(given: Any) -> dict[str, Any]:
    if type(given) is not dict or len(given) > strict_json.MAX_MEMBERS:
        raise _Unsure
    values = given.values()
    if _NUMBERS.issuperset(map(type, values)):  # as nearly always, and without a loop
        if given and not (-LARGEST_NUMBER <= min(values) and max(values) <= LARGEST_NUMBER):
            raise _Unsure
        return given
    for value in values:
        kind = type(value)
        if kind is float or kind is int:
            if not -LARGEST_NUMBER <= value <= LARGEST_NUMBER:
                raise _Unsure
        elif value is not None:
            _text(value, LONGEST_LABEL)
    return given


def _number(given: Any, least: float) -> float:
    kind = type(given)
    if (kind is float or kind is int) and least <= given <= LARGEST_NUMBER:
        return float(given)
    raise _Unsure


def _text(given: Any, longest: int) -> str:
    # What is printable holds neither control characters nor lone surrogates.
    if type(given) is str and 0 < len(given) <= longest and given.isprintable():
        return given
    raise _Unsure
