"""Keeps a copy of stored data fresh: reads it at intervals, and at once for callers that miss something in it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from shared.domain.errors import StorageUnavailable

log = logging.getLogger(__name__)

# Requests with unknown names in quick succession share reads.
SHORTEST_PAUSE: Final = timedelta(milliseconds=100)


class Refresher:
    """Calls `read` every `pause` and on request, never twice at a time, from its creation on.

    After any error of `read` it is called again; the first failure in a row is logged as the event `stale`.
    """

    def __init__(self, read: Callable[[], Awaitable[None]], *, pause: timedelta, stale: str) -> None:
        self._read = read
        self._pause = pause
        self._stale = stale
        self._began_at = float("-inf")
        self._read_as_of = float("-inf")
        self._failed_at = float("-inf")
        self._failure: Exception | None = None
        self._was_tried = asyncio.Event()
        self._reading = asyncio.Lock()
        self._task = asyncio.create_task(self._read_forever())

    async def first_read(self) -> None:
        """Return once the first read has ended, whatever came of it: until then the copy says nothing."""
        await self._was_tried.wait()

    async def once_more(self) -> None:
        """Return after a read that began after this call, which may have been another caller's; raises what it raised.

        So everything written before the call has been read; many callers share one read. Where a read under way fails
        after the call, that is raised: a store that does not answer is waited for once, not twice.
        """
        asked_at = time.monotonic()
        async with self._reading:
            if self._read_as_of <= asked_at and self._failed_at <= asked_at:
                await asyncio.sleep(self._began_at + SHORTEST_PAUSE.total_seconds() - time.monotonic())
                await self._read_now()
            failure = self._failure
        if failure:
            raise failure.with_traceback(None)

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read_now(self) -> None:
        began_at = self._began_at = time.monotonic()
        try:
            await self._read()
        except Exception as error:
            if not self._failure:
                expected = isinstance(error, StorageUnavailable)
                facts = {"error": type(error.__cause__ or error).__name__}
                log.warning(self._stale, extra=facts, exc_info=None if expected else error)
            self._failure = error
            self._failed_at = time.monotonic()
        else:
            self._failure = None
        # Only now: a read whose caller is canceled in the middle has read nothing.
        self._read_as_of = began_at
        self._was_tried.set()

    async def _read_forever(self) -> None:
        while True:
            async with self._reading:
                await self._read_now()
            await asyncio.sleep(self._pause.total_seconds())
