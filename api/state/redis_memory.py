"""How full Redis is: new work is refused before its memory limit is reached."""

from datetime import timedelta
from typing import Final

from api.state.refresher import Refresher
from shared.queue.producer.server import Server

PAUSE: Final = timedelta(seconds=1)


class UnsafeEviction(SystemExit):
    """Redis may evict unfinished work; the message is the one line that is printed."""


async def refuse_unsafe_eviction(server: Server) -> None:
    """Raise UnsafeEviction where Redis may drop keys that have no TTL: those are people's images."""
    policy = (await server.memory()).policy
    if policy.startswith("allkeys"):
        raise UnsafeEviction(
            f"Redis runs with maxmemory-policy {policy}, which drops accepted work when memory is short. "
            "Set it to volatile-lru."
        )


class RedisMemory:
    """Whether Redis is over the share of `maxmemory` at which new work is refused; read every second."""

    def __init__(self, server: Server, *, share: float) -> None:
        self._server = server
        self.share = share
        self.used_bytes = 0
        self.limit_bytes = 0
        self._refresher = Refresher(self._refresh, pause=PAUSE, stale="memory_unknown")

    @property
    def high(self) -> bool:
        """Whether admission has ended; never where Redis has no limit."""
        return self.over(self.share)

    def over(self, share: float) -> bool:
        """Whether this share of the limit is in use; never where Redis has none."""
        return 0 < self.limit_bytes * share <= self.used_bytes

    async def first_read(self) -> None:
        """Return once Redis was asked for the first time."""
        await self._refresher.first_read()

    async def close(self) -> None:
        """Stop reading."""
        await self._refresher.close()

    async def _refresh(self) -> None:
        memory = await self._server.memory()
        self.used_bytes, self.limit_bytes = memory.used, memory.limit
