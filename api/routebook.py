"""What serves, as the workers published it: a copy in memory, a second old at most."""

from datetime import timedelta
from typing import Final

from api.refreshing import Refresher
from shared.domain.errors import InvalidParameter, UnknownModel
from shared.domain.identifiers import ModelName
from shared.domain.route import Reference, Route
from shared.queue import keys, routes
from shared.queue.pipeline import Pipeline

PAUSE: Final = timedelta(seconds=1)


class RouteBook:
    """Routes by model name; refreshed every second, and once more before a name is called unknown."""

    def __init__(self, redis: Pipeline) -> None:
        self._redis = redis
        self._routes: dict[ModelName, Route] = {}
        self._raw: dict[bytes, bytes] = {}
        self._refresher = Refresher(self._refresh, pause=PAUSE, stale="routes_stale")

    @property
    def ready(self) -> bool:
        """Whether any model serves."""
        return bool(self._routes)

    async def get(self, name: ModelName) -> Route:
        """Return a model's route; raises UnknownModel, or StorageUnavailable where Redis can't be asked for it."""
        route = self._routes.get(name)
        if route is None:
            await self._refresher.once_more()
            route = self._routes.get(name)
        if route is None:
            raise UnknownModel(reference=name, served=tuple(sorted(self._routes)))
        return route

    async def for_reference(self, reference: Reference) -> Route:
        """Return the route a request means; the name may be left out where one model serves.

        Raises what `get` raises, and InvalidParameter for a bare version that may be any model's.
        """
        if reference.name is not None:
            return await self.get(reference.name)
        if not self._routes:
            await self._refresher.once_more()
        if len(self._routes) == 1:
            return next(iter(self._routes.values()))
        if reference.version is not None and self._routes:
            number, names = reference.version, ", ".join(sorted(self._routes))
            raise InvalidParameter(
                detail=f"version {number} of which model? Write owner/name:name:{number}; there is {names}",
                pointer="/version",
            )
        raise UnknownModel(reference=str(reference), served=tuple(sorted(self._routes)))

    async def all(self) -> list[Route]:
        """Return every route by name."""
        return [self._routes[name] for name in sorted(self._routes)]

    async def close(self) -> None:
        """Stop refreshing."""
        await self._refresher.close()

    async def _refresh(self) -> None:
        """Read all routes; what did not change is not parsed again."""
        names: list[bytes] = await self._redis.call("SMEMBERS", keys.MODELS)
        raw = {}
        if names:
            values = await self._redis.call("MGET", *[keys.route(ModelName(n.decode())) for n in names])
            raw = {name: value for name, value in zip(names, values, strict=True) if value}
        if raw != self._raw:
            parsed = [routes.parse(value) for value in raw.values()]
            self._routes = {route.model: route for route in parsed}
            self._raw = raw
