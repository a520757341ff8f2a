"""Instants: RFC 3339 text on the outside, int64 microseconds since 1970-01-01 UTC inside."""

import re
import time
from datetime import UTC, date, datetime, timedelta

MICROSECONDS_PER_DAY = 86_400_000_000

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]([01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_DAY = _EPOCH_NAIVE.toordinal()


EARLIEST = 0
"""What is dated before 1970 is a placeholder for an unknown date: training sets it aside."""
LATEST = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND


class BadInstant(Exception):
    """The text is no instant; `code` says why: not_rfc_3339, no_offset or out_of_range."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def parse(text: str) -> int:
    """Microseconds since 1970-01-01 UTC of an RFC 3339 instant with an offset.

    Digits beyond the microsecond are dropped.

    Raises
    ------
    BadInstant
        Another format, no offset, or not in [1970, 2200).

    Examples
    --------
    >>> parse("1970-01-01T03:00:01+03:00")
    1000000
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise BadInstant("not_rfc_3339")
    if match[3] is None:
        raise BadInstant("no_offset")
    try:
        micros = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
    except ValueError:
        raise BadInstant("not_rfc_3339") from None
    if not EARLIEST <= micros < LATEST:
        raise BadInstant("out_of_range")
    return micros


def text(micros: int) -> str:
    """RFC 3339 in UTC, microseconds only where there are any.

    Examples
    --------
    >>> text(1_500_000)
    '1970-01-01T00:00:01.500000Z'
    """
    return (_EPOCH_NAIVE + timedelta(microseconds=micros)).isoformat() + "Z"


def date_text(micros: int) -> str:
    """The date in UTC.

    Examples
    --------
    >>> date_text(86_400_000_000)
    '1970-01-02'
    """
    return date.fromordinal(_FIRST_DAY + micros // MICROSECONDS_PER_DAY).isoformat()


def day(text: str) -> int:
    """Days since 1970-01-01 of a date.

    Raises
    ------
    ValueError
        It is not written as here, or there is no such day.

    Examples
    --------
    >>> day("1970-01-02")
    1
    """
    if _DATE.fullmatch(text) is None:
        raise ValueError("not a date such as 2026-01-31")
    return date.fromisoformat(text).toordinal() - _FIRST_DAY


def day_text(number: int) -> str:
    """The date so many days after 1970-01-01.

    Examples
    --------
    >>> day_text(1)
    '1970-01-02'
    """
    return date.fromordinal(_FIRST_DAY + number).isoformat()


def now() -> int:
    """Return the present instant; the service's only clock, and tests put another in its place."""
    return time.time_ns() // 1000
