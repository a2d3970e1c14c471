"""Instants of rows as the domain has them."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def now_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


def microseconds(instant: datetime) -> int:
    """Return a row's instant in microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)
