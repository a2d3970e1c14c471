"""The models that serve, and how much waits for each."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from shared.domain.identifiers import ModelName
from shared.domain.model_route import Route
from shared.domain.timestamps import now_us
from shared.queue import keys, model_routes, route_readers
from shared.queue.connection.pipeline import Pipeline
from shared.queue.inspection.gauges import WORKER_SEEN
from shared.queue.server_clock import microseconds

COPY_COUNTS: Final = route_readers.SEEN
"""How long after a read of what is published a gateway may accept images by its copy."""
_SEEN_US: Final = WORKER_SEEN // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Published:
    """What the workers have published: routes as they wrote them, names that are retired, models with live workers.

    It was read at `as_of_us` or later, in microseconds by Redis' clock.
    """

    as_of_us: int
    routes: dict[ModelName, bytes]
    retired: frozenset[ModelName]
    alive: frozenset[ModelName]


def parse_route(data: bytes) -> Route:
    """Return a route of `Published`."""
    return model_routes.parse(data)


class Models:
    """Models by name, through the gateway's pipeline; everything here only reads."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def published(self) -> Published:
        """Return what is published now, in three round trips."""
        as_of_us = microseconds(await self._call("TIME"))
        names, retired = await asyncio.gather(self._call("SMEMBERS", keys.MODELS), self._call("SMEMBERS", keys.RETIRED))
        models = [ModelName(name.decode()) for name in names]
        routes: dict[ModelName, bytes] = {}
        alive: set[ModelName] = set()
        if models:
            values, *signs = await asyncio.gather(
                self._call("MGET", *map(keys.route, models)),
                *(self._call("ZREVRANGE", keys.workers(model), 0, 0, "WITHSCORES") for model in models),
            )
            routes = {model: value for model, value in zip(models, values, strict=True) if value}
            since = as_of_us - _SEEN_US
            alive = {model for model, sign in zip(models, signs, strict=True) if sign and float(sign[1]) >= since}
        return Published(as_of_us, routes, frozenset(ModelName(name.decode()) for name in retired), frozenset(alive))

    async def answer_by(self, published: Published, *, gateway: str) -> bool:
        """Say that a gateway answers by what it read; return False where it has to read once more (`route_readers`)."""
        return bool(await self._redis.evaluate(*route_readers.answering(gateway, as_of_us=published.as_of_us)))

    async def live_workers(self, model: ModelName) -> int:
        """Return how many predict workers gave a sign of life lately."""
        count: int = await self._call("ZCOUNT", keys.workers(model), now_us() - _SEEN_US, "+inf")
        return count

    async def workers_with_champion_loaded(self, model: ModelName) -> int:
        """Return how many of them have the champion in memory now: the others load it when an image needs it."""
        count: int = await self._call("ZCOUNT", keys.loaded(model), now_us() - _SEEN_US, "+inf")
        return count

    async def interactive_depth(self, model: ModelName) -> int:
        """Return how many entries the interactive lane has."""
        depth: int = await self._call("XLEN", keys.lane(model, keys.INTERACTIVE))
        return depth

    async def deepest_lane(self, model: ModelName, *, most_bulk_lanes: int) -> int:
        """Return the entries of the deepest lane: the interactive one, or one of the first bulk lanes in rotation."""
        bulk: list[bytes] = await self._call("LRANGE", keys.rotation(model), 0, most_bulk_lanes - 1)
        lanes: list[str | bytes] = [keys.lane(model, keys.INTERACTIVE), *bulk]
        depths: list[int] = await asyncio.gather(*(self._call("XLEN", lane) for lane in lanes))
        return max(depths)

    async def _call(self, *command: bytes | str | int) -> Any:
        return await self._redis.call(*command)
