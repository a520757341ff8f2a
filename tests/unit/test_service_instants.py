from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.instants import EARLIEST, LATEST, BadInstant, day, day_text, now, parse, text


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("1970-01-01T03:00:00+03:00", 0),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.000001999Z", 1),
        ("1970-01-01T00:00:00Z", EARLIEST),
        ("2199-12-31T23:59:59.999999Z", LATEST - 1),
    ],
)
def test_an_instant_is_read_to_the_microsecond(written: str, micros: int) -> None:
    assert parse(written) == micros


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("", "not_rfc_3339"),
        ("2026-10-02", "not_rfc_3339"),
        ("20261002T101100Z", "not_rfc_3339"),
        ("2026-W40-5T10:11:00Z", "not_rfc_3339"),
        ("2026-10-02T10:11Z", "not_rfc_3339"),
        ("2026-02-30T10:11:00Z", "not_rfc_3339"),
        ("2026-10-02T24:00:00Z", "not_rfc_3339"),
        ("2026-10-02T23:59:60Z", "not_rfc_3339"),
        ("2026-10-02T10:11:00+24:00", "not_rfc_3339"),
        ("2026-10-02T10:11:00.Z", "not_rfc_3339"),
        ("2026-10-02T10:11:00Z\n", "not_rfc_3339"),
        ("\u0662026-10-02T10:11:00Z", "not_rfc_3339"),
        ("1696241460", "not_rfc_3339"),
        ("2026-10-02T10:11:00", "no_offset"),
        ("1969-12-31T23:59:59.999999Z", "out_of_range"),
        ("1970-01-01T00:00:00+00:01", "out_of_range"),
        ("2200-01-01T00:00:00Z", "out_of_range"),
        ("0001-01-01T00:00:00+14:00", "out_of_range"),
        ("9999-12-31T23:59:59-14:00", "out_of_range"),
    ],
)
def test_what_is_no_instant_is_refused_with_a_code(written: str, code: str) -> None:
    with pytest.raises(BadInstant) as caught:
        parse(written)
    assert caught.value.code == code


@given(st.integers(EARLIEST, LATEST - 1))
def test_what_is_written_is_read_back(micros: int) -> None:
    assert parse(text(micros)) == micros


def test_the_clock_is_in_utc() -> None:
    assert abs(now() / 1e6 - datetime.now(UTC).timestamp()) < 60


@given(st.dates(date(1970, 1, 1), date(2199, 12, 31)))
def test_a_date_is_read_back(one: date) -> None:
    assert day_text(day(one.isoformat())) == one.isoformat()


@pytest.mark.parametrize(
    "written", ["20260131", "2026-W05-6", "2026-02-31", "2026-1-31", "0000-01-01", ""]
)
def test_what_is_no_date_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        day(written)
