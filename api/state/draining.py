"""Stopping in two steps: first the gateway says that it stops and serves on, then it answers all that wait and stops.

A load balancer that has not noticed yet still sends requests, and clients hold connections open. uvicorn would refuse
the first and cut the second at once, so it is told to stop only when the drain time is over.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

log = logging.getLogger(__name__)


class Draining:
    """How far the gateway is on its way to its end. `api/server.py` begins it, requests read it."""

    def __init__(self) -> None:
        self.has_begun = False
        """Readiness is 503 and answers close their connections; everything else is as before."""
        self.is_over = False
        """Requests that wait for a result are answered at once, and streams end."""
        self._wake: list[Callable[[], None]] = []

    def when_over(self, wake: Callable[[], None]) -> None:
        """Have `wake` called when the drain time is over: it wakes those who wait."""
        self._wake.append(wake)

    def begin(self, time: timedelta, stop: Callable[[], None]) -> None:
        """Begin to drain, and call `stop` after `time`; called again, stop at once. Called in the event loop."""
        seconds = 0.0 if self.has_begun else time.total_seconds()
        self.has_begun = True
        log.info("draining", extra={"seconds": seconds})
        asyncio.get_running_loop().call_later(seconds, self._finish, stop)

    def _finish(self, stop: Callable[[], None]) -> None:
        self.is_over = True
        for wake in self._wake:
            wake()
        stop()
