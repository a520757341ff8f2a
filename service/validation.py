"""From parsed JSON to a request that can be scored, or to a problem that names the field.

Pydantic's own messages are not passed on: they are not stable and may hold parts of the input.
Pointers stop before the first name that the contract does not know.
"""

import difflib
from collections.abc import Collection, Iterable, Set
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from churn.events import Event, Kind
from service import strict_json
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

_LONGEST_COMPARED = 64


class _Fault(NamedTuple):
    code: str
    sentence: str


_FAULTS: dict[str, _Fault] = {
    "missing": _Fault("required", "is required"),
    "string_type": _Fault("not_a_string", "must be a string"),
    "string_too_short": _Fault("empty", "must not be empty"),
    "string_too_long": _Fault("too_long", "must have at most {max_length} characters"),
    "string_pattern_mismatch": _Fault("control_character", "must not hold control characters"),
    "string_unicode": _Fault("bad_unicode", "holds a lone surrogate; send valid Unicode"),
    "float_type": _Fault(
        "not_a_number", "must be a number that a 64-bit float can hold, not a string or a boolean"
    ),
    "bool_type": _Fault("not_a_boolean", "must be true or false"),
    "int_type": _Fault("not_an_integer", "must be a whole number, not a string or a boolean"),
    "finite_number": _Fault("not_finite", "must be a finite number; leave it out if unknown"),
    "greater_than_equal": _Fault("too_small", "must be at least {ge:g}"),
    "less_than_equal": _Fault("too_big", "must be at most {le:g}"),
    "enum": _Fault("unknown_value", "must be one of {expected}"),
    "literal_error": _Fault("unknown_value", "must be one of {expected}"),
    "list_type": _Fault("not_an_array", "must be an array"),
    "dict_type": _Fault("not_an_object", "must be an object"),
    "model_type": _Fault("not_an_object", "must be an object"),
    "too_long": _Fault("too_many", "must have at most {max_length} items"),
    "instant_type": _Fault(
        "not_a_string", "must be a string with an instant, such as 2026-10-02T10:11:00Z"
    ),
    "instant_format": _Fault(
        "bad_instant", "must be an RFC 3339 instant, such as 2026-10-02T10:11:00Z"
    ),
    "instant_without_offset": _Fault(
        "no_offset", "has no UTC offset; add one, such as Z or +03:00"
    ),
    "instant_out_of_range": _Fault("out_of_range", "must lie in the years 1970 to 2199"),
}
_OTHER = _Fault("invalid", "is not valid")


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
    try:
        return strict_json.parse(raw, known_keys)
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
        raise _problem(error, root, fields=CustomerEvent.model_fields) from None
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
        raise _problem(error, "", fields=OutcomeRequest.model_fields) from None


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
        raise _problem(error, "", fields=PlanLimits.model_fields) from None


def _judged(value: Any, root: str, feature_names: Set[str]) -> Checked:
    """What the schema makes of a customer."""
    try:
        request = ScoreRequest.model_validate(value)
    except ValidationError as error:
        raise _problem(error, root, feature_names=feature_names) from None
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


def nearest(name: str, known: Collection[str]) -> str | None:
    """Find the known name closest to one that is not, if any is close."""
    near = difflib.get_close_matches(name[:_LONGEST_COMPARED], list(known), n=1, cutoff=0.6)
    return near[0] if near else None


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
        f"{_more(len(unknown))}",
        [FieldError(f"{root}/features", "unknown_feature")] * min(len(unknown), MAX_ERRORS),
    )


def _problem(
    error: ValidationError,
    root: str,
    *,
    feature_names: Set[str] = frozenset(),
    fields: Collection[str] = ScoreRequest.model_fields,
) -> Problem:
    details = _once_each(error.errors(include_input=False, include_url=False))
    known = FIELD_NAMES | set(feature_names) | set(fields)
    errors, sentences = [], []
    for detail in details[:MAX_ERRORS]:
        fault, sentence = fault_of(detail, fields)
        pointer = root + _pointer(detail["loc"], known)
        errors.append(FieldError(pointer, fault))
        sentences.append(f"{pointer or 'The body'} {sentence}")
    return Problem(INVALID_FIELD, sentences[0] + _more(len(details)), errors)


def _once_each(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """One fault per feature: pydantic tells one for each type that its value might have had."""
    kept: dict[tuple[int | str, ...], ErrorDetails] = {}
    for detail in details:
        place = detail["loc"][:2] if detail["loc"][:1] == ("features",) else detail["loc"]
        # A value of one of the types, but out of its limits, is the nearest to what was meant.
        if place not in kept or not detail["type"].endswith("_type"):
            kept[place] = detail
    return list(kept.values())


def fault_of(detail: ErrorDetails, fields: Collection[str] = ()) -> tuple[str, str]:
    """Return the stable code of one of pydantic's findings, and the end of a sentence on it."""
    if detail["type"] == "extra_forbidden":
        return "unknown_field", _unknown_field(detail["loc"], fields)
    fault = _FAULTS.get(detail["type"], _OTHER)
    return fault.code, fault.sentence.format(**detail.get("ctx", {})) + "."


def _unknown_field(location: tuple[int | str, ...], fields: Collection[str]) -> str:
    if "events" in location[:-1]:
        fields = EventInput.model_fields
    near = nearest(str(location[-1]), fields)
    if near:
        return f"has a field that is not known; did you mean `{near}`?"
    names = ", ".join(f"`{name}`" for name in fields)
    return f"has a field that is not known; known are {names}."


def _pointer(location: tuple[int | str, ...], known: Collection[str]) -> str:
    pointer = ""
    for part in location:
        if isinstance(part, str) and part not in known:
            break
        pointer += f"/{part}"
    return pointer


def _more(count: int) -> str:
    return f" {count - 1} more are wrong." if count > 1 else ""


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
