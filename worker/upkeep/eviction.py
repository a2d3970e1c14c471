"""Evicts cached outputs, recorded jobs and failures' images from Redis above a share of its memory limit.

So new images get in. The first two can be computed or read again, and without the third a failure can't be retried.
Redis evicts them itself at its limit, but submissions are refused below it, and these keys count there like the images
that wait. Those with the least time left go first.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import redis
from prometheus_client import Counter

from shared.queue import keys
from shared.queue.lua import Script, Scripts
from shared.settings import Queue

PAGE: Final = 1000
PAGES: Final = 100
"""So many pages a sweep: a tenth of a second of Redis' time, in pieces of about a millisecond."""


class Eviction:
    """Evicts with each sweep; the next one resumes where this one stopped."""

    def __init__(self, client: redis.Redis, *, share: float, settings: Queue, count: Counter) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._share = share
        self._count = count
        self._lives = {
            keys.cache_prefix().encode(): settings.cache_ttl // timedelta(milliseconds=1),
            keys.failed_image_prefix().encode(): settings.failed_ttl // timedelta(milliseconds=1),
            keys.job_prefix().encode(): settings.recorded_ttl // timedelta(milliseconds=1),
        }
        self._cursor = 0

    def sweep(self) -> int:
        """Evict until there is room or the sweep's pages are done; return how many keys were deleted."""
        dropped = 0
        for _ in range(PAGES):
            if not self._is_full():
                break
            found: Any = self._client.scan(self._cursor, count=PAGE)
            self._cursor, page = found
            lives = dict(self._evictable(page))
            if lives:
                names = tuple(name.decode() for name in lives)
                dropped += int(self._scripts.run(Script.EVICT, names, *lives.values()))
        self._count.inc(dropped)
        return dropped

    def _is_full(self) -> bool:
        memory = self._client.info("memory")
        return 0 < int(memory.get("maxmemory", 0)) * self._share < int(memory["used_memory"])

    def _evictable(self, page: list[bytes]) -> Iterator[tuple[bytes, int]]:
        """Yield the keys that may be evicted, each with the milliseconds of its full TTL."""
        for key in page:
            for prefix, life in self._lives.items():
                if key.startswith(prefix):
                    yield key, life
