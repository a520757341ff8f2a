import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import strict_json
from service.strict_json import MAX_MEMBERS, BadJson, parse


def test_a_list_of_as_many_numbers_as_may_be_has_not_too_many_values() -> None:
    one = {"customer_id": "c", "features": {f"f{at}": 0 for at in range(MAX_MEMBERS)}}
    assert len(parse(json.dumps([one] * 1000, separators=(",", ":")).encode())) == 1000
    ids = {"customers": [f"customer-{at}" for at in range(100_000)]}
    assert parse(json.dumps(ids).encode()) == ids
    visits = [{"kind": "visit", "occurred_at": "2026-01-01T00:00:00Z"}] * 10_000
    assert len(parse(json.dumps(visits, separators=(",", ":")).encode())) == 10_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b" \r\n\t", "empty_body"),
        (b"{", "malformed_json"),
        (b"{'a': 1}", "malformed_json"),
        (b'{"a": 1} {"a": 2}', "malformed_json"),
        (b'{"a": 01}', "malformed_json"),
        (b'{"a": 1,}', "malformed_json"),
        (b'"\x01"', "malformed_json"),
        (b'{"a": undefined}', "malformed_json"),
        (b"\xef\xbb\xbf{}", "malformed_json"),
        (b'{"a": "\xff"}', "bad_encoding"),
        (b'{"a": "\xed\xa0\x80"}', "bad_encoding"),
        ('{"a": 1}'.encode("utf-16"), "bad_encoding"),
        (b'{"a": 1, "a": 1}', "duplicate_key"),
        (b'{"b": {"a": 1, "\\u0061": 2}}', "duplicate_key"),
        (b"[" * 30_000, "too_deep"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "too_deep"),
        (b"[" * 100_000, "too_many_values"),
        (b"[" + b"{}," * 20_000 + b"{}]", "too_many_values"),
        (b"[" + b"1," * 30_000 + b"1]", "too_many_values"),
        (b'{"a": ' + b"9" * 5000 + b"}", "number_too_long"),
        (
            b"{" + b",".join(b'"k%d":1' % i for i in range(MAX_MEMBERS + 1)) + b"}",
            "too_many_members",
        ),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "too_many_values"),
        (b"[" + b"1," * 600_000 + b"1]", "too_many_values"),
        (
            b"{" + b",".join(b'"k%d":1' % i for i in range(200_000)) + b"}",
            "too_many_values",
        ),
    ],
)
def test_doubtful_json_is_refused_with_a_code(body: bytes, code: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse(body)
    assert caught.value.code == code


def test_plain_json_is_read_as_json_loads_reads_it() -> None:
    body = b'{"a": [1, 2.5, -0.0, 1e3, null, true, "\\u00e9\\n"], "b": {}}'
    assert parse(body) == {"a": [1, 2.5, -0.0, 1000.0, None, True, "\u00e9\n"], "b": {}}


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"])
def test_what_is_not_finite_stays_so_for_the_schema_to_refuse(number: bytes) -> None:
    assert not math.isfinite(parse(b"[" + number + b"]")[0])


def test_a_syntax_error_says_where_and_not_what() -> None:
    with pytest.raises(BadJson, match=r"line 2, column 8") as caught:
        parse(b'{\n"name" secret}')
    assert "secret" not in str(caught.value)


def test_a_key_sent_twice_is_named_only_if_the_contract_knows_it() -> None:
    body = b'{"amount": 1, "amount": 2}'
    with pytest.raises(BadJson, match="`amount`"):
        parse(body, {"amount"})
    with pytest.raises(BadJson) as caught:
        parse(body, {"kind"})
    assert "amount" not in str(caught.value)


# Keys and texts that could mislead who counts signs instead of reading.
_TEXTS = st.sampled_from(["a", "b", 'x":', '":', " ", ' a"', "\n", "\\", "é", "\ud800"]) | st.text(
    max_size=5
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


def _read(body: bytes, *, quickly: bool) -> str:
    """What comes out, types and all, or the error's code."""
    whole = strict_json._MOST_QUICK_BYTES
    strict_json._MOST_QUICK_BYTES = whole if quickly else -1
    try:
        return repr(parse(body))
    except BadJson as error:
        return error.code
    finally:
        strict_json._MOST_QUICK_BYTES = whole


@given(_VALUES, st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")]), st.booleans())
def test_the_fast_parser_reads_what_the_strict_one_reads(
    value: object, separators: tuple[str, str], is_ascii: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=is_ascii)
    body = text.encode("utf-8", "surrogatepass")
    assert _read(body, quickly=True) == _read(body, quickly=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a" :2}',
        b'{"a":1,"a"\n:2,"b":"\\":"}',
        b'{"a":1,"a" :"\\":"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1,"\\u0061":2}',
        b'[{"a":1},{"a":1,"a":1}]',
        b'{"a":18446744073709551616}',
        b'{"a":-9223372036854775809}',
        b'{"a":1e400}',
        b"[[[[[[[[[[[[1]]]]]]]]]]]]",
        b'{"a":"\xff"}',
    ],
)
def test_doubtful_bytes_are_read_as_the_strict_parser_reads_them(body: bytes) -> None:
    assert _read(body, quickly=True) == _read(body, quickly=False)
