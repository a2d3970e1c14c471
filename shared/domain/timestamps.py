"""Instants as Darkroom keeps them, in whole microseconds since 1970, and as its answers show them."""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
# A space before the offset: a `+` in a URL's query that was not encoded.
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,9})?(?:([Zz])|([+\- ]\d{2}:\d{2}))", re.ASCII
)


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds(instant: datetime) -> int:
    """Return an instant, which must have a time zone, in microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(microseconds: int) -> datetime:
    """Return microseconds since 1970 as an instant in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def rfc3339(microseconds: int | None) -> str | None:
    """Return an instant as RFC 3339 in UTC, `2026-01-31T12:00:00.123456Z`; None stays None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_whole_second(seconds)}.{rest:06d}Z"


def parse_rfc3339(text: str) -> int:
    """Return an instant in microseconds since 1970; raises ValueError for what is no RFC 3339, or has no time zone."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:80]!r} is no instant; write 2026-01-31T12:00:00Z or 2026-01-31T13:00:00+01:00")
    day, clock, fraction, _, offset = match.groups()
    zone = "+00:00" if offset is None else offset.replace(" ", "+")
    try:
        found = microseconds(datetime.fromisoformat(f"{day}T{clock}{(fraction or '.0')[:7]}{zone}"))
        instant(found)  # raises where it is before the year 1 in UTC, or after 9999
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:80]!r} is no instant: there is no such day, time or offset") from None
    return found


@lru_cache(maxsize=1024)
def _whole_second(seconds: int) -> str:
    """Format a second. Cached: thousands of answers share it, and strftime costs 5 µs."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
