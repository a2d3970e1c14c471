"""How full Redis is: admission ends before its limit does."""

from datetime import timedelta
from typing import Final

from api.state.refresher import Refresher
from shared.queue.connection.pipeline import Pipeline

PAUSE: Final = timedelta(seconds=1)


class UnsafeEviction(SystemExit):
    """Redis may evict unfinished work; the message is the one line people see."""


def read_info(reply: bytes) -> dict[str, str]:
    """Take INFO's answer apart."""
    lines = (line for line in reply.decode().splitlines() if ":" in line)
    return dict(line.split(":", 1) for line in lines)


async def refuse_unsafe_eviction(redis: Pipeline) -> None:
    """Raise UnsafeEviction where Redis may drop keys that have no TTL: those are people's images."""
    policy = read_info(await redis.call("INFO", "memory")).get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys"):
        raise UnsafeEviction(
            f"Redis runs with maxmemory-policy {policy}, which drops accepted work when memory is short. "
            "Set it to volatile-lru."
        )


class MemoryWatch:
    """Whether Redis is over the share of `maxmemory` at which new work is refused; looked at every second."""

    def __init__(self, redis: Pipeline, *, share: float) -> None:
        self._redis = redis
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

    async def close(self) -> None:
        """Stop looking."""
        await self._refresher.close()

    async def _refresh(self) -> None:
        info = read_info(await self._redis.call("INFO", "memory"))
        self.used_bytes = int(info["used_memory"])
        self.limit_bytes = int(info.get("maxmemory", "0"))
