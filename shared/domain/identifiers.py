"""Ids are types, so that one can't be passed where another is meant."""

import os
import time
import uuid
from typing import NewType

PredictionId = NewType("PredictionId", str)
BatchId = NewType("BatchId", str)
FileId = NewType("FileId", str)
Owner = NewType("Owner", str)
ModelName = NewType("ModelName", str)
VersionNumber = NewType("VersionNumber", str)
VersionKey = NewType("VersionKey", str)
"""A version's number with the MLflow model id behind it: a recreated model reuses numbers, never keys."""
Digest = NewType("Digest", str)
"""SHA-256 of the image bytes, 64 hexadecimal digits."""

ANYONE = Owner("default")
"""The owner of everything while no API keys are in use."""


def new_uuid7(*, unix_ms: int | None = None) -> str:
    """Return a UUID version 7 (RFC 9562, section 5.7): its text order is its time order."""
    milliseconds = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (random >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | (random & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in its canonical form, as all our ids are."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
