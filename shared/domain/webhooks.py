"""Webhooks: allowed URLs, events, and pauses between attempts (Standard Webhooks 1.0; names from Replicate)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import urlsplit

LONGEST_URL: Final = 2048
_UNWRITABLE: Final = re.compile(r"[\x00-\x20\x7f-\uffff\U00010000-\U0010ffff\\]")


class Event(StrEnum):
    """Events of a prediction or a batch that a webhook is sent for."""

    START = "start"
    """A worker has begun to compute; may be left out under load."""
    COMPLETED = "completed"
    """The prediction or batch has ended and is recorded; always sent."""
    FEEDBACK = "feedback"
    """Somebody said what a prediction's right answer is; sent only where the filter names it."""


SENT_UNASKED: Final = frozenset({Event.START, Event.COMPLETED})
"""Events that are sent where the submission names none."""


NEVER_FIRE: Final = frozenset({"output", "logs"})
"""Replicate's other events: accepted in a filter because its clients send them, but never sent."""


class DeliveryStatus(StrEnum):
    """Status of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    """The last attempt failed; there is no other unless the owner asks for a retry."""


JITTER: Final = 0.2
"""Share by which a pause is randomly longer or shorter, so that a receiver that comes back is not overrun."""


def pause_after(
    attempts: int, *, pauses: Sequence[timedelta], chance: float, retry_after: timedelta | None = None
) -> timedelta | None:
    """Return how long to wait after `attempts` failed attempts, None after the last one.

    `pauses` are those after the first attempt, the second, …; `chance` is a random number from 0 to 1. A receiver's
    `Retry-After` replaces a shorter pause.
    """
    if attempts > len(pauses):
        return None
    pause = pauses[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return pause if retry_after is None else max(pause, retry_after)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a webhook is sent, and for which events."""

    url: str
    events: frozenset[Event]

    def as_json(self) -> dict[str, object]:
        """Return the webhook as it is stored with the job."""
        return {"url": self.url, "events": sorted(self.events)}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the webhook that `as_json` returned; without `events`, for those sent unasked."""
        events = members.get("events")
        return cls(url=members["url"], events=SENT_UNASKED if events is None else frozenset(map(Event, events)))


def read_events(words: Iterable[str]) -> frozenset[Event]:
    """Return the events that a filter names, those sent unasked where it names none.

    Raises ValueError that lists the known ones.
    """
    named = list(words)
    if not named:
        return SENT_UNASKED
    wanted = set()
    for word in named:
        if word in NEVER_FIRE:
            continue
        try:
            wanted.add(Event(word))
        except ValueError:
            known = ", ".join([*Event, *sorted(NEVER_FIRE)])
            raise ValueError(f"{word[:80]!r} is not an event; the events are {known}") from None
    return frozenset(wanted)


def check_webhook_url(url: str) -> None:
    """Raise ValueError, with the reason, unless this is an absolute http or https URL without user and password.

    The address behind its host is checked when the URL is called.
    """
    if len(url) > LONGEST_URL:
        raise ValueError(f"the URL has {len(url)} characters, over {LONGEST_URL}")
    if _UNWRITABLE.search(url):
        raise ValueError("the URL holds a space, a control character or one outside ASCII; percent-encode it")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"the URL can't be read: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("the URL must begin with https:// or http://")
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user or a password; use the signature to know who calls")
    if not host or port == 0:
        raise ValueError("the URL names no host")
