"""Wait for a condition, not for a fixed time."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


LIMIT = 120.0
"""Seconds after which what did not come never will, however slow the machine and however much has to start for it."""
PATIENCE = timedelta(seconds=LIMIT)
"""For each time-out that a test has to give and is not about: no passing test, however slow the machine, reaches it."""
ENOUGH_TIME = {name: str(LIMIT) for name in ("DARKROOM_REDIS_TIMEOUT", "DARKROOM_DATABASE_TIMEOUT")}
"""Settings of processes that tests start; the tests' own have them too. With the product's five seconds, a test would
fail on a machine that has no time for its Redis or Postgres. Tests of these time-outs set others."""
SHORTEST, LONGEST, SHARE = 0.02, 0.25, 0.05
"""Seconds between two questions, at least and at most, and as a share of what has been waited."""


def until(
    check: Callable[[], T], *, what: str = "what is waited for", seconds: float = LIMIT, pause: float | None = None
) -> T:
    """Call every `pause` seconds until the result is true, and return it; fails after `seconds`.

    Without `pause`, a twentieth of what has been waited: asked fifty times a second, a gateway that starts would take
    longer for the asking.
    """
    begin = time.monotonic()
    while not (found := check()):
        waited = time.monotonic() - begin
        assert waited < seconds, f"after {seconds} s still not: {what}"
        time.sleep(min(LONGEST, max(SHORTEST, SHARE * waited)) if pause is None else pause)
    return found


async def until_async(check: Callable[[], object], *, seconds: float = LIMIT, pause: float = 0.005) -> None:
    """Let other tasks run until the result is true; raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  the condition changes in other threads, tasks or processes
            await asyncio.sleep(pause)
