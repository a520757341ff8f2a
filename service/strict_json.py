"""JSON as the standard has it, read from raw bytes: what is doubtful is refused, never guessed.

`json.loads` keeps the last of two equal keys, and so hides one of two truths; here that is an
error. NaN, Infinity and numbers that overflow become non-finite floats, which the schemas refuse
with a pointer to the field. This module is the only place that parses a request's bytes.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import orjson

from churn.compiled import HAS_NUMBA
from service.cutting import cut

MAX_MEMBERS = 1024
"""Most members of one object: far above any schema's, far below what would hold up the loop."""

SMALL = 32 * 1024
"""Bytes of a text that may have as many values as fit in: few enough to hold nobody up."""

PIECE = 256 * 1024
"""Bytes that are looked through at once, by NumPy, which lets the interpreter go meanwhile."""

MOST_VALUES = 1 << 20
"""Values that a text may have, beside one for every 16 bytes: more than any list of customers has.
Every empty array takes 56 bytes of memory and 2 of text."""

MOST_LABELS, MOST_IDS = 64, 1 << 17
"""Strings that an array may have, and all arrays beside, in so large a text."""

PART = 32 * 1024
"""Bytes of a list's items that are parsed in one call, which nobody else runs beside: .1 ms."""

_COMMA, _ARRAY, _OBJECT = b",[{"
_SPACE = rb"[ \t\n\r]{0,99}"
_SPACED = (b'" ', b'"\t', b'"\n', b'"\r')
_UNSURE = object()
_MOST_QUICK_BYTES = 4 << 20
_DEEPEST = 8
_LARGEST = 9e18


class _Doubtful(Exception):
    """Something that the two parsers might read in two ways."""


class BadJson(Exception):
    """The bytes are not JSON that could be accepted.

    Parameters
    ----------
    message : str
        What is wrong, where, and what to do; never holds a part of the input.
    code : str
        Stable, machine-readable name of the problem.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class Parts(NamedTuple):
    """The items of a list, some to a part, and whether it is the only member of an object."""

    items: list[list[Any]]
    is_member: bool


def parse(body: bytes, known_keys: Collection[str] = ()) -> Any:
    """Parse one JSON document.

    Parameters
    ----------
    body : bytes
        UTF-8, without a byte order mark.
    known_keys : collection of str, optional
        Keys that a message may name.

    Raises
    ------
    BadJson
        Not UTF-8, not JSON, a key twice in one object, too many values or members of one object,
        too deep, or a number of thousands of digits.

    Examples
    --------
    >>> parse(b'{"amount": 54.9}')
    {'amount': 54.9}
    """
    _refuse_dense(body)
    return _whole(body, known_keys)


def parse_list(body: bytes, name: str, known_keys: Collection[str] = ()) -> Any:
    """Parse a document that should be a list, or an object with nothing but a list.

    Parameters
    ----------
    body, known_keys
        As `parse` takes them.
    name : str
        Of the object's only member.

    Returns
    -------
    object
        What `parse` gives; of a long list, where that is surely the same, its `Parts`.

    Raises
    ------
    BadJson
        As `parse`.
    """
    _refuse_dense(body)
    parts = _in_parts(body, name) if HAS_NUMBA and len(body) > PART else None
    return _whole(body, known_keys) if parts is None else parts


def _refuse_dense(body: bytes) -> None:
    if _is_dense(body):
        raise BadJson(
            "The body holds too many values for its size; send only the documented ones.",
            "too_many_values",
        )


def _whole(body: bytes, known_keys: Collection[str]) -> Any:
    """What `parse` makes of a text that was looked through for tiny values already."""
    found = _quick(body)
    if found is not _UNSURE:
        return found

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise _duplicate(pairs, known_keys)
        if len(pairs) > MAX_MEMBERS:
            raise BadJson(
                f"An object has more than {MAX_MEMBERS} members; send only the documented ones.",
                "too_many_members",
            )
        return members

    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(
            f"The body is not UTF-8 at byte {error.start}; encode it as UTF-8.", "bad_encoding"
        ) from None
    if not text.strip(" \t\r\n"):
        raise BadJson("The body is empty; send a JSON document.", "empty_body")
    try:
        return json.loads(text, object_pairs_hook=to_object)
    except json.JSONDecodeError as error:
        raise BadJson(
            f"The body is not JSON at line {error.lineno}, column {error.colno} "
            f"({_reason(error.msg)}).",
            "malformed_json",
        ) from None
    except RecursionError:
        raise BadJson(
            "The body is nested too deep; the documented schema needs four levels.", "too_deep"
        ) from None
    except ValueError:
        raise BadJson(
            "The body holds an integer of thousands of digits; send a number that a 64-bit float "
            "can hold.",
            "number_too_long",
        ) from None


def counted(body: bytes) -> tuple[Any, int] | None:
    """What a fast parser gives, and how many members the text has at most; None if in doubt.

    The fast parser keeps the last of two equal keys without a word. They are found by counting:
    with no space between a key and its colon, every member of the text has one `":`, so a text
    with as many of these as there are members in what was parsed has no key twice.
    """
    return None if _is_dense(body) else _counted(body)


def _counted(body: bytes) -> tuple[Any, int] | None:
    """The same of a text that was looked through for tiny values already."""
    if len(body) > _MOST_QUICK_BYTES:
        return None
    for sign in _SPACED:
        if sign in body:
            return None
    try:
        return orjson.loads(body), body.count(b'":')
    except orjson.JSONDecodeError:
        return None


def _is_dense(body: bytes) -> bool:
    """Whether a text has too many tiny values: while they are made, or let go, everybody waits.

    In what the schemas accept an event or a customer takes fifty bytes, a number of one with its
    name some six, and long arrays are of objects, but for the ids of a plan.
    """
    size = len(body)
    if size <= SMALL:
        return False
    text = np.frombuffer(body, dtype=np.uint8)
    commas = arrays = objects = 0
    for start in range(0, size, PIECE):
        piece = text[start : start + PIECE]
        commas += int(np.count_nonzero(piece == _COMMA))
        arrays += int(np.count_nonzero(piece == _ARRAY))
        objects += int(np.count_nonzero(piece == _OBJECT))
    return (
        commas + arrays + objects > min(MOST_VALUES + size // 16, SMALL // 2 + size // 5)
        or arrays + objects > SMALL // 4 + size // 24
        or commas > MAX_MEMBERS * objects + MOST_LABELS * arrays + MOST_IDS
    )


def _quick(body: bytes) -> Any:
    """What a fast parser gives, where that is surely what the strict one would; else `_UNSURE`."""
    found = _counted(body)
    if found is None:
        return _UNSURE
    value, members = found
    try:
        return value if _members(value, 0) == members else _UNSURE
    except _Doubtful:
        return _UNSURE


def _in_parts(body: bytes, name: str) -> Parts | None:
    """A long list parsed a part at a time; None if in doubt, or if it is none.

    Only one comma is between two parts, and only space, and what makes the list an object's
    member, around them. If each is a list of as many items when in brackets, the whole is valid,
    and its items are theirs, wherever it was cut. Of a valid part the colons outside its texts
    were counted: as many as it has members, if no object has a key twice.
    """
    begin = re.match(rb'%b(\{%b"%b"%b:%b)?\[' % (*[_SPACE] * 2, name.encode(), *[_SPACE] * 2), body)
    if begin is None:
        return None
    is_member = begin[1] is not None
    at = begin.end()
    found = cut(body, at, PART)
    end = rb"\]%b\}%b" % (_SPACE, _SPACE) if is_member else rb"\]%b" % _SPACE
    if not found or re.compile(end).fullmatch(body, found[-1][0]) is None:
        return None
    parts = []
    try:
        for ends, items, members in found:
            if ends - at > _MOST_QUICK_BYTES:
                return None
            part = orjson.loads(b"[%b]" % body[at:ends])
            if len(part) != items or _members(part, int(is_member)) != members:
                return None
            parts.append(part)
            at = ends + 1
    except (orjson.JSONDecodeError, _Doubtful):
        return None
    return Parts(parts, is_member)


def _members(value: Any, depth: int) -> int:
    if depth > _DEEPEST:
        raise _Doubtful
    members = 0
    inside: Iterable[Any]
    if type(value) is dict:
        members = len(value)
        if members > MAX_MEMBERS:
            raise _Doubtful
        inside = value.values()
    elif type(value) is list:
        inside = value
    else:
        inside = (value,)
    for item in inside:
        kind = type(item)
        if kind is float:
            # A whole number beyond 64 bits comes out as a float here.
            if not -_LARGEST < item < _LARGEST:
                raise _Doubtful
        elif kind is dict or kind is list:
            members += _members(item, depth + 1)
    return members


def _reason(message: str) -> str:
    if message.startswith("Unexpected UTF-8 BOM"):
        return "it begins with a byte order mark"
    return message.removesuffix(" at").removesuffix(" starting").lower()


def _duplicate(pairs: list[tuple[str, Any]], known_keys: Collection[str]) -> BadJson:
    counts = Counter(key for key, _ in pairs)
    twice = next(key for key, count in counts.items() if count > 1)
    name = f"the key `{twice}`" if twice in known_keys else "a key"
    return BadJson(
        f"An object of the body has {name} more than once; send each key once.", "duplicate_key"
    )
