"""Destinations that fail are left alone for a while, and those that answer need not wait for those that may not."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

LONGEST_REST: Final = timedelta(minutes=10)
# What did not fail for so long is forgotten; there may be many destinations.
FORGET_AFTER: Final = timedelta(hours=1)
MOST_ANSWERING: Final = 5000


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    rests: int = 0
    until: float = 0.0
    touched: float = 0.0


class Breakers:
    """One circuit breaker a destination: closed, open for a rest, half open for one attempt after it.

    After M. Nygard, Release It!, chapter "Stability Patterns".
    """

    def __init__(self, *, failures: int, rest: timedelta, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`failures` in a row open a breaker; `rest` is its first rest, each further one is twice as long."""
        self._failures = failures
        self._rest = rest
        self._monotonic = monotonic
        self._known: dict[str, _Breaker] = {}
        self._answering: dict[str, None] = {}

    def succeeded(self, destination: str) -> None:
        """Close the destination's breaker."""
        self._known.pop(destination, None)
        self._answering.pop(destination, None)
        self._answering[destination] = None
        if len(self._answering) > MOST_ANSWERING:
            del self._answering[next(iter(self._answering))]

    def failed(self, destination: str, *, retry_after: timedelta | None = None) -> None:
        """Count a failure; the destination rests after enough of them, or for as long as it asks to be left alone."""
        now = self._monotonic()
        self._answering.pop(destination, None)
        breaker = self._known.setdefault(destination, _Breaker())
        breaker.touched = now
        breaker.failures += 1
        # Those that were under way when it opened say nothing new; one that fails after the rest does.
        if breaker.failures >= self._failures and breaker.until <= now:
            breaker.until = now + min(self._rest * 2**breaker.rests, LONGEST_REST).total_seconds()
            breaker.rests = min(breaker.rests + 1, 16)
        if retry_after is not None:
            breaker.until = max(breaker.until, now + min(retry_after, LONGEST_REST).total_seconds())

    def rests(self, destination: str) -> bool:
        """Tell whether a destination is to be left alone now."""
        breaker = self._known.get(destination)
        return breaker is not None and breaker.until > self._monotonic()

    def answering(self) -> list[str]:
        """Return the destinations whose last attempt was a success, the latest thousands."""
        return list(self._answering)

    def resting(self) -> list[str]:
        """Return every destination that is to be left alone now; forget those that are long quiet."""
        now = self._monotonic()
        old = now - FORGET_AFTER.total_seconds()
        self._known = {name: one for name, one in self._known.items() if max(one.touched, one.until) > old}
        return [name for name, one in self._known.items() if one.until > now]

    def trying(self) -> list[str]:
        """Return the destinations whose rest is over and which have not answered since: one attempt at a time."""
        now = self._monotonic()
        return [name for name, one in self._known.items() if 0 < one.until <= now]
