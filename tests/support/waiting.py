"""Wait for a condition, not for a fixed time."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(check: Callable[[], T], *, what: str = "what is waited for", seconds: float = 20, pause: float = 0.02) -> T:
    """Call every `pause` seconds until the result is true, and return it; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(pause)
    return found


async def until_async(check: Callable[[], object], *, seconds: float, pause: float = 0.005) -> None:
    """Let other tasks run until the result is true; raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110  the condition changes in other threads, tasks or processes
            await asyncio.sleep(pause)
