"""Every place where a caller can put something, found in the contract itself.

What is planted is different everywhere, so that a leak names its place. A field that is new in the
contract is planted without anybody thinking of it.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

MARK = "canary7f3a"
NUMBER = 739184621.25
INSTANT = "2026-03-07T11:13:17.195731Z"
TRACES = re.compile(rf"{MARK}\w*|739184621|11:13:17")
"""What is left of any of them; none of these turns up by itself."""

HEADERS = (
    "accept", "accept-language", "authorization", "baggage", "content-encoding", "content-type",
    "cookie", "forwarded", "if-none-match", "if-range", "idempotency-key", "origin", "range",
    "referer", "traceparent", "tracestate", "user-agent", "x-customer", "x-forwarded-for",
    "x-request-id",
)  # fmt: skip

Json = Any


class Planted(NamedTuple):
    """A value, and where in it something was planted."""

    place: str
    value: Json


def full(schema: Json, contract: Json) -> Json:
    """A value with every field that a schema knows."""
    if "$ref" in schema:
        return full(contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]], contract)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            first = next(one for one in schema[name] if one.get("type") != "null")
            return full(first, contract)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        known = schema.get("properties", {})
        value = {name: full(inner, contract) for name, inner in known.items()}
        more = schema.get("additionalProperties")
        return value or ({"any": full(more, contract)} if isinstance(more, dict) else {})
    if kind == "array":
        return [full(schema["items"], contract)]
    if kind in ("number", "integer"):
        return 1
    if kind == "boolean":
        return True
    return "2026-09-07T10:00:00Z" if schema.get("format") == "date-time" else "x"


def planted(value: Json, place: str = "") -> Iterator[Planted]:
    """The same value again and again, each time with something else in one place of it."""
    if isinstance(value, dict):
        yield Planted(f"{place}/*", {**value, _mark(f"{place}/*"): 1})
        for name, inner in value.items():
            for one in planted(inner, f"{place}/{name}"):
                yield Planted(one.place, {**value, name: one.value})
    elif isinstance(value, list):
        for one in planted(value[0], f"{place}/0") if value else ():
            yield Planted(one.place, [one.value, *value[1:]])
    else:
        yield Planted(place, _mark(place))
        yield Planted(f"{place} in a list", [_mark(place)])
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Planted(f"{place} as a number", NUMBER)
        elif isinstance(value, str) and value.endswith("Z"):
            # When somebody is scored for says nothing of them, and the audit log has it.
            if not place.endswith("/as_of"):
                yield Planted(f"{place} as an instant", INSTANT)
        elif isinstance(value, str):
            yield Planted(f"{place} with a control character", _mark(place) + "\n")
            yield Planted(f"{place} too long", _mark(place) * 99)


def torn(value: Json, place: str) -> Iterator[bytes]:
    """Texts that are no JSON, or not the one that was meant."""
    text = json.dumps(value).encode()
    mark = _mark(place).encode()
    yield text[:-1] + mark
    yield mark
    yield b'"' + mark + b'"'
    yield b'{"' + mark + b'": 1, "' + mark + b'": 2}'
    yield mark + b"\xff"
    yield b"[" * 99 + mark


def without(value: Json, *names: str) -> Json:
    """A copy without some members."""
    copied = copy.deepcopy(value)
    for name in names:
        copied.pop(name, None)
    return copied


def _mark(place: str) -> str:
    return MARK + re.sub(r"\W", "_", place)
