"""Instants: read and written as RFC 3339."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.timestamps import parse_rfc3339, rfc3339

NEW_YEAR = 1_767_225_600_000_000


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01t00:00:00z", NEW_YEAR),
        ("2026-01-01 00:00:00Z", NEW_YEAR),
        ("2026-01-01T01:00:00+01:00", NEW_YEAR),
        ("2026-01-01T01:00:00 01:00", NEW_YEAR),
        ("2025-12-31T16:30:00-07:30", NEW_YEAR),
        ("2026-01-01T00:00:00.5Z", NEW_YEAR + 500_000),
        ("2026-01-01T00:00:00.123456789Z", NEW_YEAR + 123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)
def test_rfc_3339_is_read(written: str, expected: int) -> None:
    assert parse_rfc3339(written) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "2026-01-01", "2026-01-01T00:00:00", "20260101T000000Z", "1767225600", "2026-01-01T00:00Z",
        "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00Z\n", "٢٠٢٦-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", "2026-01-01T00:00:00.Z", "2026-W01-1T00:00:00Z",
    ],
)  # fmt: skip
def test_what_is_no_instant_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no instant"):
        parse_rfc3339(text)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_an_instant_is_read_as_it_was_written(instant: int) -> None:
    written = rfc3339(instant)
    assert written is not None
    if instant >= -30_000_000_000_000_000:  # strftime writes the years before 1000 with fewer digits
        assert parse_rfc3339(written) == instant
