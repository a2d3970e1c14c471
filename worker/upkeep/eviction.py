"""Room for work: what can be read or computed again leaves Redis before there is no room for what can't.

Redis itself evicts at its limit; admission ends below it, and counts cached outputs and recorded predictions like the
images that wait. So above a share of the limit they are dropped here, those first that have the least time left.
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
"""A sweep goes through so many: a tenth of a second of Redis' time, in pieces of about a millisecond."""


class Eviction:
    """Drops what Redis may lose; where it stopped it goes on with the next sweep."""

    def __init__(self, client: redis.Redis, *, share: float, settings: Queue, count: Counter) -> None:
        self._client = client
        self._scripts = Scripts(client)
        self._share = share
        self._count = count
        self._lives = {
            keys.cache_prefix().encode(): settings.cache_ttl // timedelta(milliseconds=1),
            keys.job_prefix().encode(): settings.recorded_ttl // timedelta(milliseconds=1),
        }
        self._cursor = 0

    def sweep(self) -> int:
        """Drop until there is room, or for as long as a sweep may take; return how many keys went."""
        dropped = 0
        for _ in range(PAGES):
            if not self._is_full():
                break
            found: Any = self._client.scan(self._cursor, count=PAGE)
            self._cursor, page = found
            lives = dict(self._droppable(page))
            if lives:
                names = tuple(name.decode() for name in lives)
                dropped += int(self._scripts.run(Script.EVICT, names, *lives.values()))
        self._count.inc(dropped)
        return dropped

    def _is_full(self) -> bool:
        memory = self._client.info("memory")
        return 0 < int(memory.get("maxmemory", 0)) * self._share < int(memory["used_memory"])

    def _droppable(self, page: list[bytes]) -> Iterator[tuple[bytes, int]]:
        """Give those keys that may have a TTL, with the milliseconds that they were given."""
        for key in page:
            for prefix, life in self._lives.items():
                if key.startswith(prefix):
                    yield key, life
