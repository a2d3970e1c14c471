"""Ids, each a type of its own, so that mypy refuses one where another is meant; and how new ones are made."""

import os
import time
import uuid
from typing import Final, NewType

PredictionId = NewType("PredictionId", str)
BatchId = NewType("BatchId", str)
DeliveryId = NewType("DeliveryId", str)
FileId = NewType("FileId", str)
FeedbackId = NewType("FeedbackId", str)
KeyId = NewType("KeyId", str)
Owner = NewType("Owner", str)
ModelName = NewType("ModelName", str)
VersionNumber = NewType("VersionNumber", str)
VersionKey = NewType("VersionKey", str)
"""A version's number and its MLflow model id: a model that is deleted and made again reuses numbers, never keys."""
Digest = NewType("Digest", str)
"""SHA-256 of the image bytes, 64 hexadecimal digits."""

ANYONE = Owner("default")
"""The owner of all data where no API keys are in use."""


# Random digits for so many ids are read at once: a system call each would be half of what an id costs.
_RANDOM_AT_ONCE: Final = 256
_RANDOM_DIGITS: Final = 20
# `list.pop` and `extend` are atomic, so no two threads get the same digits; a forked process must not either.
_random: list[str] = []
os.register_at_fork(after_in_child=_random.clear)
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def new_uuid7(*, unix_ms: int | None = None) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7): its text order is its time order."""
    random = _new_random()
    return _with_random(time.time_ns() // 1_000_000 if unix_ms is None else unix_ms, random[17:], random)


def first_uuid7(unix_ms: float) -> str:
    """Return the smallest UUID version 7 of that millisecond: a lower bound for ids made then or later."""
    return _with_random(int(unix_ms), "000", "0" * _RANDOM_DIGITS)


class OrderedIds:
    """Makes UUIDs version 7 whose text order is the order they were made in, even within one millisecond.

    The 12 bits after the time are a counter (RFC 9562, section 6.2, method 1); when it overflows, the time is set one
    millisecond ahead.
    """

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        """Return an id greater than all that this object made before."""
        now = (time.time_ns() // 1_000_000) << 12
        self._last = max(now, self._last + 1)
        return _with_random(self._last >> 12, f"{self._last & 0xFFF:03x}", _new_random())


def _new_random() -> str:
    """Return 20 random hexadecimal digits that were never returned before."""
    try:
        return _random.pop()
    except IndexError:
        digits = os.urandom(_RANDOM_DIGITS * _RANDOM_AT_ONCE // 2).hex()
        _random.extend(digits[at : at + _RANDOM_DIGITS] for at in range(_RANDOM_DIGITS, len(digits), _RANDOM_DIGITS))
        return digits[:_RANDOM_DIGITS]


def _with_random(milliseconds: int, after_time: str, random: str) -> str:
    """Return a UUID version 7 with three digits after its time, and of `random` the first 16 but for two bits."""
    at = f"{milliseconds & 0xFFFF_FFFF_FFFF:012x}"
    return f"{at[:8]}-{at[8:]}-7{after_time}-{_VARIANT[random[0]]}{random[1:4]}-{random[4:16]}"


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form, as all ids of Darkroom are."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
