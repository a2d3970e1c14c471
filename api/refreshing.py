"""A copy of what others write, read again and again, and once more for whoever misses something in it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

log = logging.getLogger(__name__)

# A flood of unknown names must not become a flood of reads.
SHORTEST_PAUSE: Final = timedelta(milliseconds=100)


class Refresher:
    """Calls `read` every `pause` and when it is asked to, never twice at once; begun when made."""

    def __init__(self, read: Callable[[], Awaitable[None]], *, pause: timedelta, name: str) -> None:
        self._read = read
        self._pause = pause
        self._began_at = float("-inf")
        self._reading = asyncio.Lock()
        self._task = asyncio.create_task(self._read_forever(), name=name)

    async def once_more(self) -> None:
        """Return after a read that began after this call, which may have been another's.

        What is written before the call is seen by it, then, however many call at once. Raises what `read` raises.
        """
        asked_at = time.monotonic()
        async with self._reading:
            if self._began_at < asked_at:
                await asyncio.sleep(self._began_at + SHORTEST_PAUSE.total_seconds() - asked_at)
                await self._begin()

    async def close(self) -> None:
        """Read no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _begin(self) -> None:
        self._began_at = time.monotonic()
        await self._read()

    async def _read_forever(self) -> None:
        while True:
            try:
                async with self._reading:
                    await self._begin()
            except Exception:
                # What can't be read today can be tomorrow; until then the copy stays as it is.
                log.exception("refresh_failed", extra={"of": self._task.get_name()})
            await asyncio.sleep(self._pause.total_seconds())
