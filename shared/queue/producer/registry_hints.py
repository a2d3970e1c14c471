"""Hints that the registry has changed, as a gateway gives them."""

import asyncio
from datetime import timedelta
from typing import Final

from shared.queue import keys
from shared.queue.connection.pipeline import Pipeline
from shared.queue.registry_hints import CHANGED, KEPT

PAUSE: Final = timedelta(milliseconds=200)
"""Between two hints of one gateway: each makes a worker list the whole registry."""


class RegistryHints:
    """Hints through the gateway's pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline
        self._next = 0.0
        self._waits = False

    async def give(self) -> None:
        """Wake all workers' watches: at once, or with the hint that waits for its turn. Raises StorageUnavailable."""
        if self._waits:
            return
        loop = asyncio.get_running_loop()
        if (pause := self._next - loop.time()) > 0:
            self._waits = True
            try:
                await asyncio.sleep(pause)
            finally:
                self._waits = False
        self._next = loop.time() + PAUSE.total_seconds()
        await self._redis.call("XADD", keys.REGISTRY_HINTS, "MAXLEN", KEPT, "*", CHANGED, b"")
