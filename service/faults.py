"""What pydantic found wrong, in our words.

Its own messages are not passed on: they are not stable and may hold parts of the input. Pointers
stop before the first name that the contract does not know.
"""

import difflib
from collections.abc import Collection, Set
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from service.problems import INVALID_FIELD, MAX_ERRORS, FieldError, Problem
from service.schemas import EventInput

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


def problem_of(
    error: ValidationError, root: str, names: Set[str], fields: Collection[str]
) -> Problem:
    """Make the answer to a request that is not of its schema.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    root : str
        JSON pointer to what was checked within the body.
    names : set of str
        What a pointer may name beside `fields`.
    fields : collection of str
        What the checked object may have.
    """
    details = _once_each(error.errors(include_input=False, include_url=False))
    known = names | set(fields)
    errors, sentences = [], []
    for detail in details[:MAX_ERRORS]:
        fault, sentence = fault_of(detail, fields)
        pointer = root + _pointer(detail["loc"], known)
        errors.append(FieldError(pointer, fault))
        sentences.append(f"{pointer or 'The body'} {sentence}")
    return Problem(INVALID_FIELD, sentences[0] + more(len(details)), errors)


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


def more(count: int) -> str:
    """The sentence on all faults but the first, where there are more."""
    return f" {count - 1} more are wrong." if count > 1 else ""


def nearest(name: str, known: Collection[str]) -> str | None:
    """Find the known name closest to one that is not, if any is close."""
    near = difflib.get_close_matches(name[:_LONGEST_COMPARED], list(known), n=1, cutoff=0.6)
    return near[0] if near else None
