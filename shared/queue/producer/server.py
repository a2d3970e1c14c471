"""The Redis server and what all gateways share in it: does it take writes, how full is it, who is being purged."""

from dataclasses import dataclass

from shared.domain.identifiers import Owner
from shared.queue import bells, keys, purge_marks, stream_secret
from shared.queue.connection.pipeline import Pipeline
from shared.queue.inspection import duties
from shared.queue.inspection.duties import Duty, State
from shared.queue.lua import Script
from shared.queue.purge_marks import MARKED

__all__ = ["MARKED", "Duty", "Memory", "Server", "State"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Redis' memory in bytes; `limit` is 0 where it has none. `policy` says what is evicted at the limit."""

    used: int
    limit: int
    policy: str


class Server:
    """The server, through the gateway's pipeline. Every method may be repeated after a lost answer."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def wait_for_writes(self) -> None:
        """Return when Redis has taken a write, which changes nothing; raises StorageUnavailable after some seconds."""
        await self._redis.call("DEL", keys.NOTHING)

    async def check_writes(self) -> None:
        """Raise StorageUnavailable at once where Redis refuses writes."""
        await self._redis.try_once("DEL", keys.NOTHING)

    async def memory(self) -> Memory:
        """Return how much is in use, and the limit."""
        reply: bytes = await self._redis.call("INFO", "memory")
        info = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        policy = info.get("maxmemory_policy", "noeviction")
        return Memory(used=int(info["used_memory"]), limit=int(info.get("maxmemory", "0")), policy=policy)

    async def duties(self) -> list[Duty]:
        """Return how the roles beside predicting are."""
        return duties.parse_duties(await self._redis.evaluate(Script.READ_DUTIES, duties.KEYS))

    async def ring_courier(self) -> None:
        """Ring the webhook workers' bell, unless it rings."""
        await self._redis.evaluate(Script.RING, (keys.WEBHOOK_BELL,), keys.WEBHOOK_QUEUE, bells.webhook_message())

    async def being_purged(self) -> frozenset[Owner]:
        """Return the owners whose everything is being deleted."""
        return purge_marks.parse(await self._redis.call(*purge_marks.read_command()))

    async def stream_secret(self) -> bytes:
        """Return the secret that signs stream tokens, the same for all gateways."""
        return await stream_secret.shared_secret(self._redis)
