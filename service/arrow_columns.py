"""Checking the values of Arrow columns. Loaded only where pyarrow is installed.

As strict as JSON: null is missing, NaN is refused, and nothing is coerced but whole numbers to
floats. The first fault of a column is the fault of all of it.
"""

import re
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.columns import Column
from churn.events import LARGEST_NUMBER
from service import instants
from service.problems import invalid_field
from service.schemas import (
    LONGEST_IDENTIFIER,
    LONGEST_LABEL,
    MOST_CHANNELS,
    NO_CONTROL_CHARACTERS,
)

_CONTROL = re.compile(NO_CONTROL_CHARACTERS)


def is_text(kind: Any) -> bool:
    """Whether a type is of strings, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_texts(kind: Any) -> bool:
    """Whether a type is of lists of strings."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(is_list and (is_text(kind.value_type) or pa.types.is_string_view(kind.value_type)))


def _coded(name: str, column: Any, longest: int) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct texts and the position of each row's among them, -1 where there is none."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    indices = column.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    # Entries that no row has are nobody's, and may be many: they are not even looked at.
    used = np.unique(indices[indices >= 0])
    texts = column.dictionary.take(pa.array(used)).to_pylist()
    codes = np.where(indices < 0, -1, np.searchsorted(used, indices))
    for at, text in enumerate(texts):
        fault = _text_fault(text, longest)
        if fault is not None:
            code, sentence = fault
            row = int(np.flatnonzero(codes == at)[0])
            raise invalid_field(f"Column `{name}`, row {row}: {sentence}", f"/{name}/{row}", code)
    return texts, codes


def _text_fault(text: str | None, longest: int) -> tuple[str, str] | None:
    if text is None:
        return "required", "a dictionary's entry is null; make the row null instead."
    if not text:
        return "empty", "must not be empty."
    if len(text) > longest:
        return "too_long", f"must have at most {longest} characters."
    if not text.isprintable() and not _CONTROL.fullmatch(text):
        return "control_character", "must not hold control characters."
    return None


def identifiers(name: str, column: Any) -> list[str]:
    """The customers, each checked.

    Raises
    ------
    Problem
        One is missing, empty, too long or holds control characters.
    """
    texts, codes = _coded(name, column, LONGEST_IDENTIFIER)
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise invalid_field(
            f"Column `{name}`, row {missing[0]}: is required.",
            f"/{name}/{missing[0]}",
            "required",
        )
    return [texts[code] for code in codes.tolist()]


def instants_of(name: str, column: Any, now: int) -> NDArray[np.int64]:
    """Timestamps in microseconds since 1970-01-01 UTC, `now` where there is none.

    Raises
    ------
    Problem
        One is out of range.
    """
    whole = column.cast(pa.int64()).fill_null(0).to_numpy()
    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[column.type.unit]
    seconds = whole // per_second
    earliest, latest = instants.EARLIEST // 1_000_000, instants.LATEST // 1_000_000
    known = np.asarray(column.is_valid())
    outside = np.flatnonzero(known & ((seconds < earliest) | (seconds >= latest)))
    if len(outside):
        raise invalid_field(
            f"Column `{name}`, row {outside[0]}: must lie in the years 1970 to 2199.",
            f"/{name}/{outside[0]}",
            "out_of_range",
        )
    within = (whole - seconds * per_second) * 1_000_000 // per_second
    return np.where(known, seconds * 1_000_000 + within, now)


def codes_of(name: str, own: Column, column: Any) -> NDArray[np.float64]:
    """The codes of a column of categories.

    Raises
    ------
    Problem
        A name is empty, too long or holds control characters.
    """
    texts, codes = _coded(name, column, LONGEST_LABEL)
    known = np.array([*(own.encode(text) for text in texts), np.nan])
    found: NDArray[np.float64] = known[codes]  # of -1: the last, which is missing
    return found


def numbers_of(name: str, column: Any, may_be_negative: bool) -> NDArray[np.float64]:
    """A column of numbers, NaN where unknown.

    Raises
    ------
    Problem
        One is not finite, too big or too small.
    """
    numbers = np.asarray(
        column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64
    )
    known = np.asarray(column.is_valid())
    with np.errstate(invalid="ignore"):
        faults = (
            ("not_finite", ~np.isfinite(numbers), "must be finite; send null where unknown."),
            ("too_big", numbers > LARGEST_NUMBER, f"must be at most {LARGEST_NUMBER:g}."),
            ("too_small", numbers < -LARGEST_NUMBER, f"must be at least {-LARGEST_NUMBER:g}."),
            (
                "too_small",
                (numbers < 0.0) & (not may_be_negative),
                "must be at least 0; send null where unknown.",
            ),
        )
    for code, wrong, sentence in faults:
        rows = np.flatnonzero(wrong & known)
        if len(rows):
            raise invalid_field(
                f"Column `{name}`, row {rows[0]}: {sentence}", f"/{name}/{rows[0]}", code
            )
    return np.where(known, numbers, np.nan)


def channels_of(name: str, column: Any) -> list[frozenset[str] | None]:
    """The channels that each customer allows; None where nobody was asked.

    Raises
    ------
    Problem
        A list is too long, or a name in it is missing, empty, too long or holds control
        characters.
    """
    checked: dict[tuple[str | None, ...], frozenset[str]] = {}
    out: list[frozenset[str] | None] = []
    for row, given in enumerate(column.to_pylist()):
        if given is None:
            out.append(None)
            continue
        names = tuple(given)
        if names not in checked:
            checked[names] = _channels(name, row, names)
        out.append(checked[names])
    return out


def _channels(column: str, row: int, names: tuple[str | None, ...]) -> frozenset[str]:
    fault: tuple[str, str] | None = None
    if len(names) > MOST_CHANNELS:
        fault = "too_many", f"must have at most {MOST_CHANNELS} items."
    for name in names:
        fault = fault or _text_fault(name, LONGEST_LABEL)
    if fault is not None:
        code, sentence = fault
        raise invalid_field(f"Column `{column}`, row {row}: {sentence}", f"/{column}/{row}", code)
    return frozenset(name for name in names if name is not None)
