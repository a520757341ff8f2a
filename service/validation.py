"""From parsed JSON to a request that can be scored, or to a problem that names the field."""

from collections.abc import Callable, Collection, Iterable, Set
from functools import partial
from typing import Any

from pydantic import ValidationError

from churn.events import Event, Kind
from service import strict_json
from service.faults import more, nearest, problem_of
from service.problems import (
    HISTORY_UNAVAILABLE,
    INVALID_FIELD,
    MALFORMED_JSON,
    MAX_ERRORS,
    TOO_LARGE,
    FieldError,
    Problem,
    invalid_field,
)
from service.quick import MONEY_KINDS, Checked, quick, quick_body, quick_event
from service.schemas import CustomerEvent, EventInput, OutcomeRequest, PlanLimits, ScoreRequest

FIELD_NAMES = frozenset[str]().union(
    ScoreRequest.model_fields, EventInput.model_fields, OutcomeRequest.model_fields, {"customers"}
)


def score_body(
    raw: bytes, *, max_events: int, feature_names: Set[str], has_store: bool = False
) -> Checked:
    """Parse and check one customer's JSON.

    Raises
    ------
    Problem
        As `parse` and `score_request`.
    """
    request = quick_body(raw)
    if request is None or len(request.events or ()) > max_events:
        value = parse(raw, FIELD_NAMES)
        return score_request(
            value, max_events=max_events, feature_names=feature_names, has_store=has_store
        )
    return _scorable(request, "", feature_names, has_store)


def parse(raw: bytes, known_keys: frozenset[str]) -> Any:
    """Parse a JSON body.

    Raises
    ------
    Problem
        The body is not acceptable JSON.
    """
    return _parsed(partial(strict_json.parse, raw, known_keys))


def _parsed(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except strict_json.BadJson as error:
        raise Problem(MALFORMED_JSON, str(error), (FieldError("", error.code),)) from None


def score_request(
    value: Any,
    *,
    max_events: int,
    feature_names: Set[str],
    root: str = "",
    has_store: bool = False,
) -> Checked:
    """Check one customer of a request.

    Parameters
    ----------
    value : object
        Parsed JSON.
    max_events : int
        Most events that one customer may have.
    feature_names : collection of str
        Features that the loaded model knows.
    root : str, optional
        JSON pointer to the customer within the body.
    has_store : bool, optional
        Whether a customer may come without `events` and `features`, which scores what is stored.

    Raises
    ------
    Problem
        A field is wrong, or there is nothing to score from.
    """
    if isinstance(value, dict):
        events = value.get("events")
        if isinstance(events, list) and len(events) > max_events:
            raise invalid_field(
                f"{root}/events must have at most {max_events} items; send the events of the "
                "observation window only.",
                f"{root}/events",
                "too_many",
            )
    request = quick(value) or _judged(value, root, feature_names)
    return _scorable(request, root, feature_names, has_store)


def _scorable(request: Checked, root: str, feature_names: Set[str], has_store: bool) -> Checked:
    """A request that there is something to score from."""
    if request.events is None and request.features is None and not has_store:
        raise Problem(
            HISTORY_UNAVAILABLE,
            f"{root or 'The body'} has no `features`, and the loaded model was made of a ready "
            "feature table and reads no events, stored or sent; send the `features` named by "
            "GET /v1/model.",
            (FieldError(root, "nothing_to_score"),),
        )
    if request.features is not None and not request.features.keys() <= feature_names:
        raise _unknown_features(request.features, feature_names, root)
    return request


def customer_event(value: Any, root: str = "") -> tuple[str, Event]:
    """Check one event that names its customer.

    Parameters
    ----------
    value : object
        Parsed JSON.
    root : str, optional
        JSON pointer to the event within the body.

    Raises
    ------
    Problem
        A field is wrong.
    """
    found = quick_event(value)
    if found is not None:
        return found
    try:
        item = CustomerEvent.model_validate(value)
    except ValidationError as error:
        raise problem_of(error, root, FIELD_NAMES, CustomerEvent.model_fields) from None
    return item.customer_id, _to_event(item, root)


def outcome_body(raw: bytes) -> OutcomeRequest:
    """Parse and check what came of a decision.

    Raises
    ------
    Problem
        The body is not acceptable JSON, or a field is wrong.
    """
    value = parse(raw, FIELD_NAMES)
    try:
        return OutcomeRequest.model_validate(value)
    except ValidationError as error:
        raise problem_of(error, "", FIELD_NAMES, OutcomeRequest.model_fields) from None


def plan_limits(value: Any) -> PlanLimits:
    """Check what a plan has to keep to.

    Raises
    ------
    Problem
        A field is wrong.
    """
    try:
        return PlanLimits.model_validate(value)
    except ValidationError as error:
        raise problem_of(error, "", FIELD_NAMES, PlanLimits.model_fields) from None


def _judged(value: Any, root: str, feature_names: Set[str]) -> Checked:
    """What the schema makes of a customer."""
    try:
        request = ScoreRequest.model_validate(value)
    except ValidationError as error:
        names = FIELD_NAMES | feature_names
        raise problem_of(error, root, names, ScoreRequest.model_fields) from None
    return Checked(
        request.customer_id,
        request.as_of,
        None if request.events is None else _to_events(request.events, root),
        request.features,
        None if request.feeds is None else frozenset(request.feeds),
        request.max_reasons,
        request.direction,
        request.language,
        request.record,
        None if request.channels is None else frozenset(request.channels),
    )


def _to_events(inputs: Iterable[EventInput], root: str) -> list[Event]:
    """Turn a request's events into the domain's."""
    return [_to_event(item, f"{root}/events/{position}") for position, item in enumerate(inputs)]


def _to_event(item: EventInput, root: str) -> Event:
    """Turn an event into the domain's.

    Raises
    ------
    Problem
        It is one that training would set aside (`training.rules`).
    """
    if item.amount is not None and item.amount <= 0 and item.kind in MONEY_KINDS:
        pointer = f"{root}/amount"
        raise invalid_field(
            f"{pointer} must be above 0: money is positive, and `kind` says which way it "
            "went. Leave it out if unknown.",
            pointer,
            "not_positive",
        )
    if item.quantity is not None and item.quantity <= 0 and item.kind is Kind.PURCHASE:
        pointer = f"{root}/quantity"
        raise invalid_field(
            f"{pointer} must be above 0 for a purchase; leave it out if unknown.",
            pointer,
            "not_positive",
        )
    if item.known_at is not None and item.known_at < item.occurred_at:
        pointer = f"{root}/known_at"
        raise invalid_field(
            f"{pointer} must not be earlier than occurred_at.",
            pointer,
            "known_too_early",
        )
    return Event(*(getattr(item, name) for name in Event._fields))


def _unknown_features(features: Collection[str], feature_names: Set[str], root: str) -> Problem:
    unknown = [
        (position, name) for position, name in enumerate(features, 1) if name not in feature_names
    ]
    position, name = unknown[0]
    near = nearest(name, feature_names)
    hint = f"did you mean `{near}`?" if near else "GET /v1/model lists the features."
    return Problem(
        INVALID_FIELD,
        f"Member {position} of {root}/features is not a feature of the loaded model; {hint}"
        f"{more(len(unknown))}",
        [FieldError(f"{root}/features", "unknown_feature")] * min(len(unknown), MAX_ERRORS),
    )


def list_parts(raw: bytes, name: str = "customers") -> tuple[str, list[list[Any]]]:
    """Parse a JSON body that should be a list, and take the rows, not yet checked, out of it.

    Parameters
    ----------
    raw : bytes
        The body.
    name : str, optional
        As `batch_items` takes it.

    Returns
    -------
    root : str
        JSON pointer to the list.
    parts : list of lists
        The rows: of a long list, some to a part.

    Raises
    ------
    Problem
        The body is not acceptable JSON, or has another shape.
    """
    found = _parsed(partial(strict_json.parse_list, raw, name, FIELD_NAMES))
    if isinstance(found, strict_json.Parts):
        return f"/{name}" if found.is_member else "", found.items
    return "" if isinstance(found, list) else f"/{name}", [batch_items(found, name)]


def batch_items(value: Any, name: str = "customers") -> list[Any]:
    """Take the rows, not yet checked, out of `{"customers": [...]}` or a plain array.

    Parameters
    ----------
    value : object
        Parsed JSON.
    name : str, optional
        The object's only member.

    Raises
    ------
    Problem
        The body has another shape.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        if value.keys() - {name}:
            raise invalid_field(
                f"The body has a field that is not known; a batch has only `{name}`.",
                "",
                "unknown_field",
            )
        items = value.get(name)
        if isinstance(items, list):
            return items
        if name in value:
            raise invalid_field(f"/{name} must be an array.", f"/{name}", "not_an_array")
    raise invalid_field(
        f'The body must be {{"{name}": [...]}} or an array of {name}.', "", "not_a_batch"
    )


def check_count(count: int, most: int, name: str = "customers") -> None:
    """Refuse a batch of too many rows.

    Raises
    ------
    Problem
        There are more than `most`.
    """
    if count > most:
        raise Problem(
            TOO_LARGE,
            f"A batch has at most {most} {name}; split the list.",
            (FieldError("", f"too_many_{name}"),),
        )


def line_too_long(limit: int) -> Problem:
    """Make the problem of a line of more bytes than a customer may have."""
    return Problem(
        TOO_LARGE,
        f"The line is larger than {limit} bytes; send a shorter history.",
        (FieldError("", "body_too_large"),),
    )
