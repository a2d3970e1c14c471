"""Instants as Darkroom keeps them, in whole microseconds since 1970, and as its answers show them."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds(instant: datetime) -> int:
    """Return an instant, which must have a time zone, in microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def rfc3339(microseconds: int | None) -> str | None:
    """Return an instant as RFC 3339 in UTC, `2026-01-31T12:00:00.123456Z`; None stays None."""
    if microseconds is None:
        return None
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_whole_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _whole_second(seconds: int) -> str:
    """Format a second. Cached: thousands of answers share it, and strftime costs 5 µs."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
