"""A list is parsed a part at a time as it would be parsed whole, or not at all."""

import json
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from service import strict_json
from service.problems import Problem
from service.strict_json import BadJson, Parts, parse_list
from service.validation import list_parts

# Texts that could mislead who looks for commas, brackets and colons.
_TEXTS = st.sampled_from(
    ["customers", "a", '":', "]", "[", "},{", ",", '"', '\\"', "\\", '\\\\",', "é\n", "\ud800"]
) | st.text(max_size=4)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")])
_SIZES = st.sampled_from([0, 1, 5, 20, 60])
_AROUND = st.sampled_from(
    [
        b'{"customers":[%b]}',
        b'\n{ "customers" :\t[%b] }\r\n',
        b"[%b]",
        b" [%b] ",
        b"[%b]]",
        b"[%b],[]",
        b"[[%b]]",
        b"[%b",
        b"[%b,]",
        b"[,%b]",
        b'{"customers":[%b],}',
        b'{"customers":[%b]',
        b'{"customers":[%b}]',
        b'{"customers":[%b]]}',
        b'{"customers":[%b],"customers":[]}',
        b'{"customers":[],"customers":[%b]}',
        b'{"customers":[%b],"as_of":1}',
        b'{"events":[%b]}',
        b'{"customers":{%b}}',
        b'{"\\u0063ustomers":[%b]}',
        b"\xef\xbb\xbf[%b]",
        b"",
    ]
)


def _both(body: bytes, size: int, read: Callable[[bytes], str]) -> tuple[str, str]:
    """What comes out whole, and in parts of some bytes."""
    before = strict_json.HAS_NUMBA, strict_json.PART
    try:
        strict_json.HAS_NUMBA = False
        whole = read(body)
        strict_json.HAS_NUMBA, strict_json.PART = True, size
        return whole, read(body)
    finally:
        strict_json.HAS_NUMBA, strict_json.PART = before


def _read(body: bytes) -> str:
    """Every row and where the list is, types and all, or the error."""
    try:
        root, parts = list_parts(body)
    except Problem as problem:
        return repr((problem.kind, str(problem), problem.errors))
    return repr((root, list(chain.from_iterable(parts))))


def _text(values: list[Any], separators: tuple[str, str], is_ascii: bool) -> bytes:
    text = json.dumps(values, separators=separators, ensure_ascii=is_ascii)
    return text.encode("utf-8", "surrogatepass")


@given(st.lists(_VALUES, max_size=6), _SEPARATORS, st.booleans(), _AROUND, _SIZES)
def test_a_list_in_parts_is_the_list(
    values: list[Any], separators: tuple[str, str], is_ascii: bool, around: bytes, size: int
) -> None:
    inside = _text(values, separators, is_ascii)[1:-1]
    whole, parts = _both(around.replace(b"%b", inside), size, _read)
    assert parts == whole


@given(
    st.lists(_VALUES, min_size=1, max_size=6),
    _SEPARATORS,
    st.integers(0, 300),
    st.integers(0, 3),
    st.sampled_from([b"", *(bytes([sign]) for sign in b'[]{}",:\\1 \xff')]),
    _SIZES,
)
@example([{"a": 1}, {"a": 2}], (",", ":"), 6, 3, b"", 0)
@example(["a", "b"], (",", ":"), 2, 0, b"\\", 0)
def test_damage_is_met_as_in_the_whole(
    values: list[Any], separators: tuple[str, str], at: int, gone: int, instead: bytes, size: int
) -> None:
    body = _text(values, separators, True)
    assume(at < len(body))
    whole, parts = _both(body[:at] + instead + body[at + gone :], size, _read)
    assert parts == whole


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":1,"a":1},{"b":1}]',
        b'[{"a":1},{"b":1,"\\u0062":":"}]',
        b'[{"a":{"b":1,"b":2}},{"c":":","d":"\\":"}]',
        b"[18446744073709551616,1]",
        b"[1e400,1]",
        b'{"customers":[1,[[[[[[[[[[[[1]]]]]]]]]]]]}',
        b'["\xff","a"]',
        b'["\xc3","\xa9"]',
        b'["\\ud83d","\\ude00"]',
        b"[1,2}",
        b"[[1,2],3},4]",
        b"[}{,1]",
        b"[]",
        b"[ ]",
        b"[1,,2]",
        b"[1 2,3]",
    ],
)
def test_doubtful_lists_are_left_to_the_whole(body: bytes) -> None:
    for size in range(12):
        whole, parts = _both(body, size, _read)
        assert parts == whole
        assert not isinstance(_parsed(body, size), Parts)


def _parsed(body: bytes, size: int) -> Any:
    before = strict_json.HAS_NUMBA, strict_json.PART
    strict_json.HAS_NUMBA, strict_json.PART = True, size
    try:
        return parse_list(body, "customers")
    except BadJson as error:
        return error.code
    finally:
        strict_json.HAS_NUMBA, strict_json.PART = before


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("is_member", [False, True])
def test_a_long_list_is_parsed_in_parts_however_it_is_laid_out(
    indent: int | None, is_member: bool
) -> None:
    rows = [{"customer_id": f"c-{at}:,[", "features": {"calls": at / 3}} for at in range(2000)]
    body = json.dumps({"customers": rows} if is_member else rows, indent=indent).encode()
    found = _parsed(body, 1024)
    assert isinstance(found, Parts)
    assert found.is_member == is_member
    assert list(chain.from_iterable(found.items)) == rows
    assert max(map(len, found.items)) < 30
