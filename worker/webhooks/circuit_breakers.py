"""Receivers that nearly always fail are asked less often; those that answer need not wait for those that may not."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from shared.settings import Webhooks
from shared.storage.delivery_claims import Receiver

LATEST: Final = 20
"""Attempts that a receiver is judged by. One that fails 38% of the time fails 18 of 20 once in four million."""
LONGEST_REST: Final = timedelta(minutes=10)
SLOW: Final = timedelta(seconds=1)
"""A failure that takes longer holds a place that others need: then one attempt at a time is let through."""
SHARE_LET_THROUGH: Final = 0.25
"""Of the attempts that a receiver may get at a time: so many are let through after a rest."""
# What did not fail for so long is forgotten; there may be many receivers.
FORGET_AFTER: Final = timedelta(hours=1)
MOST_ANSWERING: Final = 5000


@dataclass(slots=True)
class _Breaker:
    """What is known of one receiver; `latest` says of its latest attempts whether they succeeded."""

    latest: deque[bool] = field(default_factory=lambda: deque(maxlen=LATEST))
    is_open: bool = False
    is_slow: bool = False
    rests: int = 0
    until: float = 0.0
    touched: float = 0.0


class CircuitBreakers:
    """One circuit breaker a receiver: closed; open while it rests; half open after it, for a share of its attempts.

    It opens when nearly all of the latest attempts failed, and closes with the first that succeeds. Every further rest
    is half as long again. What the receiver asks for itself (`Retry-After`) is kept in any case.

    After M. Nygard, Release It!, chapter "Stability Patterns".
    """

    def __init__(self, settings: Webhooks, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._attempts = settings.breaker_attempts
        self._failing = settings.breaker_failing
        self._rest = settings.breaker_rest
        self._each = settings.at_once_each
        self._monotonic = monotonic
        self._known: dict[Receiver, _Breaker] = {}
        self._answering: dict[Receiver, None] = {}

    def succeeded(self, receiver: Receiver) -> None:
        """Take note of a success: an open breaker closes, and the attempts before it count no more."""
        breaker = self._known.setdefault(receiver, _Breaker())
        if breaker.is_open:
            breaker.latest.clear()
        breaker.latest.append(True)
        breaker.is_open, breaker.rests, breaker.until = False, 0, 0.0
        self._judge(receiver, breaker)

    def failed(self, receiver: Receiver, *, took: timedelta, retry_after: timedelta | None = None) -> None:
        """Take note of a failure. The receiver rests after enough of them, or as long as it asks to be left alone."""
        now = self._monotonic()
        breaker = self._known.setdefault(receiver, _Breaker())
        breaker.latest.append(False)
        breaker.touched, breaker.is_slow = now, took > SLOW
        # Those that were under way when it opened say nothing new; one that fails after the rest does.
        if (breaker.is_open or self._nearly_always_fails(breaker)) and breaker.until <= now:
            # Twice what a failure took: of the time, it is waited for at most a third.
            rest = max(self._rest, 2 * took) * 1.5**breaker.rests
            breaker.is_open, breaker.until = True, now + min(rest, LONGEST_REST).total_seconds()
            breaker.rests = min(breaker.rests + 1, 16)
        if retry_after is not None:
            breaker.until = max(breaker.until, now + min(retry_after, LONGEST_REST).total_seconds())
        self._judge(receiver, breaker)

    def rests(self, receiver: Receiver) -> bool:
        """Tell whether a receiver is to be left alone now."""
        breaker = self._known.get(receiver)
        return breaker is not None and breaker.until > self._monotonic()

    def answering(self) -> list[Receiver]:
        """Return the receivers of whom most of the latest attempts succeeded, the latest thousands."""
        return [one for one in self._answering if not self.rests(one)]

    def resting(self) -> list[Receiver]:
        """Return every receiver that is to be left alone now; forget those that are long quiet."""
        now = self._monotonic()
        old = now - FORGET_AFTER.total_seconds()
        self._known = {
            one: breaker
            for one, breaker in self._known.items()
            if one in self._answering or max(breaker.touched, breaker.until) > old
        }
        return [one for one, breaker in self._known.items() if breaker.until > now]

    def let_through(self) -> dict[Receiver, int]:
        """Return how many attempts at a time are let through to receivers whose rest is over, until one succeeds."""
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

    def _judge(self, receiver: Receiver, breaker: _Breaker) -> None:
        """Count it among those that answer, or not; the latest of them come last."""
        self._answering.pop(receiver, None)
        if breaker.is_open or 2 * breaker.latest.count(True) < len(breaker.latest):
            return
        self._answering[receiver] = None
        if len(self._answering) > MOST_ANSWERING:
            oldest = next(iter(self._answering))
            del self._answering[oldest], self._known[oldest]
