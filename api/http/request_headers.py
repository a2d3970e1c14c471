"""Headers in which a client says how it wants to be served: `Prefer`, `Cancel-After`, `Idempotency-Key`."""

import re
from datetime import timedelta
from typing import Final

from shared.domain.errors import InvalidParameter

CANCEL_AFTER: Final = r"^(?=[0-9])([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s?)?$"
"""Pattern of `Cancel-After` for the OpenAPI document; zero and over 7 days match it and are refused all the same."""
_CANCEL_AFTER = re.compile(r"(?=\d)(?:(?P<h>\d{1,9})h)?(?:(?P<m>\d{1,9})m)?(?:(?P<s>\d{1,9})s?)?", re.ASCII)
_WAIT = re.compile(r"\s*wait\s*(?:=\s*\"?(?P<seconds>\d{1,9})\"?)?\s*(?:;.*)?", re.IGNORECASE | re.ASCII)

LONGEST_WAIT = timedelta(seconds=60)
SHORTEST_WAIT = timedelta(seconds=1)
LONGEST_CANCEL_AFTER = timedelta(days=7)
LONGEST_IDEMPOTENCY_KEY = 255


def parse_cancel_after(text: str) -> timedelta:
    """Read `30`, `30s`, `5m` or `1h30m45s`; raises ValueError for anything else, zero, or over 7 days."""
    match = _CANCEL_AFTER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 30, 30s, 5m or 1h30m45s")
    hours, minutes, seconds = (int(match[unit] or 0) for unit in "hms")
    if hours * 3600 + minutes * 60 + seconds > LONGEST_CANCEL_AFTER.total_seconds():
        raise ValueError(f"{text!r} is over {LONGEST_CANCEL_AFTER.days} days")
    duration = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    if not duration:
        raise ValueError("a prediction needs more than no time at all")
    return duration


def read_cancel_after(text: str | None) -> timedelta | None:
    """Return what `Cancel-After` asks for, None where it is absent; raises InvalidParameter."""
    if text is None:
        return None
    try:
        return parse_cancel_after(text)
    except ValueError as error:
        raise InvalidParameter(detail=str(error), pointer="Cancel-After") from None


def parse_prefer_wait(header: str | None) -> timedelta | None:
    """Return the first `wait` preference of a `Prefer` header (RFC 7240), clamped to 1..60 s.

    None where there is none. `wait` without a number is the longest wait; other preferences and unreadable ones are
    ignored.
    """
    if not header:
        return None
    for preference in header.split(","):
        match = _WAIT.fullmatch(preference)
        if match is None:
            continue
        if match["seconds"] is None:
            return LONGEST_WAIT
        wanted = timedelta(seconds=min(int(match["seconds"]), 3600))
        return min(max(wanted, SHORTEST_WAIT), LONGEST_WAIT)
    return None


def read_idempotency_key(text: str) -> str:
    """Return the key, which may be quoted (RFC 8941); raises InvalidParameter for an empty or too long one."""
    key = text.strip()
    if len(key) > 1 and key.startswith('"') and key.endswith('"'):
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 0 < len(key) <= LONGEST_IDEMPOTENCY_KEY:
        raise InvalidParameter(
            detail=f"an idempotency key has 1 to {LONGEST_IDEMPOTENCY_KEY} characters",
            pointer="Idempotency-Key",
        )
    return key
