"""Webhooks' rules: which URLs, which events, when to try again (Standard Webhooks 1.0, Replicate's names)."""

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
    """What is told of a prediction or a batch."""

    START = "start"
    """A worker has begun; may be left out under load."""
    COMPLETED = "completed"
    """Succeeded, failed or canceled, and recorded; never left out."""


NEVER_FIRE: Final = frozenset({"output", "logs"})
"""Replicate's other events: taken in a filter, for its clients' sake."""


class DeliveryStatus(StrEnum):
    """Where a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    """No more attempts, unless somebody asks for them."""


JITTER: Final = 0.2
"""A pause is longer or shorter by up to this share of it, so that receivers which come back are not overrun."""


def pause_after(
    attempts: int, *, pauses: Sequence[timedelta], chance: float, retry_after: timedelta | None = None
) -> timedelta | None:
    """Return how long to wait after so many failed attempts, None after the last.

    `pauses` are those after the first, the second, …; `chance` is a random number of 0 to 1. A receiver's
    `Retry-After` is waited for where it is longer.
    """
    if attempts > len(pauses):
        return None
    pause = pauses[attempts - 1] * (1 + JITTER * (2 * chance - 1))
    return pause if retry_after is None else max(pause, retry_after)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to tell, and what of."""

    url: str
    events: frozenset[Event]

    def as_json(self) -> dict[str, object]:
        """Return what is kept with the job."""
        return {"url": self.url, "events": sorted(self.events)}

    @classmethod
    def from_json(cls, members: Mapping[str, Any]) -> Self:
        """Return the webhook that `as_json` gave; without `events` it is told of everything."""
        events = members.get("events")
        return cls(url=members["url"], events=frozenset(Event) if events is None else frozenset(map(Event, events)))


def read_events(words: Iterable[str]) -> frozenset[Event]:
    """Return the events that a filter names; none named are all. Raises ValueError in words."""
    named = list(words)
    if not named:
        return frozenset(Event)
    wanted = set()
    for word in named:
        if word in NEVER_FIRE:
            continue
        try:
            wanted.add(Event(word))
        except ValueError:
            known = ", ".join([*Event, *sorted(NEVER_FIRE)])
            raise ValueError(f"{word[:80]!r} is no event; there are {known}") from None
    return frozenset(wanted)


def check_url(url: str) -> None:
    """Raise ValueError, in words, for what is no absolute http or https URL or carries a user or password.

    Where it leads is looked at when it is called, on the address itself.
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
