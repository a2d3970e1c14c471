"""Ids, each a type of its own, so that mypy refuses one where another is meant; and how new ones are made."""

import os
import time
import uuid
from typing import NewType

PredictionId = NewType("PredictionId", str)
BatchId = NewType("BatchId", str)
DeliveryId = NewType("DeliveryId", str)
FileId = NewType("FileId", str)
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


def new_uuid7(*, unix_ms: int | None = None) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7): its text order is its time order."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random = int.from_bytes(os.urandom(10), "big")
    return _uuid7(milliseconds, random >> 68, random)


def first_uuid7(unix_ms: float) -> str:
    """Return the smallest UUID version 7 of that millisecond: a lower bound for ids made then or later."""
    return _uuid7(int(unix_ms), 0, 0)


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
        return _uuid7(self._last >> 12, self._last, int.from_bytes(os.urandom(8), "big"))


def _uuid7(milliseconds: int, after_time: int, random: int) -> str:
    """Return a UUID version 7 as text, with the lowest 12 bits of `after_time` and the lowest 62 of `random`."""
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (after_time & 0xFFF) << 64
    value |= 0b10 << 62 | (random & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form, as all ids of Darkroom are."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
