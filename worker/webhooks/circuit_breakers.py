"""Circuit breakers: a receiver whose attempts nearly always fail is called less often, and none waits for it."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from shared.settings import Webhooks
from shared.storage.delivery_claims import Receiver

LATEST: Final = 20
"""How many of the latest attempts count. A receiver that fails 38% of the time fails 18 of 20 once in four million."""
LONGEST_REST: Final = timedelta(minutes=10)
SLOW: Final = timedelta(seconds=1)
"""A failure that takes longer occupies a slot that others need: then one attempt at a time is let through."""
SHARE_LET_THROUGH: Final = 0.25
"""Share of a receiver's attempts at a time that is let through after a rest."""
# A receiver that has not failed for this long is forgotten; there may be many.
FORGET_AFTER: Final = timedelta(hours=1)
MOST_HEALTHY: Final = 5000


@dataclass(slots=True)
class _Breaker:
    """One receiver's state; `latest` says whether each of its latest attempts succeeded, `until` when its rest ends."""

    latest: deque[bool] = field(default_factory=lambda: deque(maxlen=LATEST))
    is_open: bool = False
    is_slow: bool = False
    rests: int = 0
    until: float = 0.0
    touched: float = 0.0


class CircuitBreakers:
    """A breaker for each receiver: closed; open while the receiver rests; then half open, for a share of its attempts.

    It opens when nearly all of the latest attempts failed, and closes with the first success. Each further rest is 1.5
    times as long. A `Retry-After` of the receiver is honoured in any case.

    After M. Nygard, Release It!, chapter "Stability Patterns".
    """

    def __init__(self, settings: Webhooks, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._attempts = settings.breaker_attempts
        self._failing = settings.breaker_failing
        self._rest = settings.breaker_rest
        self._each = settings.at_once_each
        self._monotonic = monotonic
        self._known: dict[Receiver, _Breaker] = {}
        self._healthy: dict[Receiver, None] = {}

    def succeeded(self, receiver: Receiver) -> None:
        """Record a success: an open breaker closes, and earlier attempts no longer count."""
        breaker = self._known.setdefault(receiver, _Breaker())
        if breaker.is_open:
            breaker.latest.clear()
        breaker.latest.append(True)
        breaker.is_open, breaker.rests, breaker.until = False, 0, 0.0
        self._classify(receiver, breaker)

    def failed(self, receiver: Receiver, *, took: timedelta, retry_after: timedelta | None = None) -> None:
        """Record a failure. The receiver rests after enough of them, and at least as long as its `Retry-After`."""
        now = self._monotonic()
        breaker = self._known.setdefault(receiver, _Breaker())
        breaker.latest.append(False)
        breaker.touched, breaker.is_slow = now, took > SLOW
        # Attempts that were under way when it opened say nothing new; one that fails after the rest does.
        if (breaker.is_open or self._nearly_always_fails(breaker)) and breaker.until <= now:
            # Twice what a failure took: then at most a third of the time is spent waiting for it.
            rest = max(self._rest, 2 * took) * 1.5**breaker.rests
            breaker.is_open, breaker.until = True, now + min(rest, LONGEST_REST).total_seconds()
            breaker.rests = min(breaker.rests + 1, 16)
        if retry_after is not None:
            breaker.until = max(breaker.until, now + min(retry_after, LONGEST_REST).total_seconds())
        self._classify(receiver, breaker)

    def is_resting(self, receiver: Receiver) -> bool:
        """Return whether a receiver rests: nothing is to be sent to it now."""
        breaker = self._known.get(receiver)
        return breaker is not None and breaker.until > self._monotonic()

    def healthy(self) -> list[Receiver]:
        """Return the receivers of which most latest attempts succeeded: the thousands used last."""
        return [one for one in self._healthy if not self.is_resting(one)]

    def resting(self) -> list[Receiver]:
        """Return every receiver that rests now; forget those that have long not been used."""
        now = self._monotonic()
        old = now - FORGET_AFTER.total_seconds()
        self._known = {
            one: breaker
            for one, breaker in self._known.items()
            if one in self._healthy or max(breaker.touched, breaker.until) > old
        }
        return [one for one, breaker in self._known.items() if breaker.until > now]

    def half_open(self) -> dict[Receiver, int]:
        """Return the receivers whose rest is over, and how many attempts at a time each may get until one succeeds."""
        now = self._monotonic()
        share = max(1, int(self._each * SHARE_LET_THROUGH))
        return {
            one: 1 if breaker.is_slow else share
            for one, breaker in self._known.items()
            if breaker.is_open and breaker.until <= now
        }

    def _nearly_always_fails(self, breaker: _Breaker) -> bool:
        failures = breaker.latest.count(False)
        return len(breaker.latest) >= self._attempts and failures >= self._failing * len(breaker.latest)

    def _classify(self, receiver: Receiver, breaker: _Breaker) -> None:
        """Add the receiver to the healthy ones or remove it; the one used last comes last."""
        self._healthy.pop(receiver, None)
        if breaker.is_open or 2 * breaker.latest.count(True) < len(breaker.latest):
            return
        self._healthy[receiver] = None
        if len(self._healthy) > MOST_HEALTHY:
            oldest = next(iter(self._healthy))
            del self._healthy[oldest], self._known[oldest]
