"""Routes in Redis: what each model's workers say they serve, read by the gateway."""

from dataclasses import fields
from typing import Any

import orjson
import redis

from shared.domain.identifiers import ModelName
from shared.domain.route import Route, Version
from shared.queue import keys


def publish(client: redis.Redis, route: Route) -> None:
    """Say what serves under a name; the last word counts, and saying it twice changes nothing."""
    with client.pipeline() as pipeline:
        pipeline.set(keys.route(route.model), orjson.dumps(route))
        pipeline.sadd(keys.MODELS, route.model)
        pipeline.execute()


def withdraw(client: redis.Redis, model: ModelName) -> None:
    """Take a name out of service; taking it out twice changes nothing."""
    with client.pipeline() as pipeline:
        pipeline.srem(keys.MODELS, model)
        pipeline.delete(keys.route(model))
        pipeline.execute()


def names(client: redis.Redis) -> list[ModelName]:
    """Return the models that have a route, by name."""
    members: Any = client.smembers(keys.MODELS)
    return sorted(ModelName(member.decode()) for member in members)


def parse(data: bytes) -> Route:
    """Read what `publish` wrote; members that a newer worker added are left out."""
    members = _known(Route, orjson.loads(data))
    members["versions"] = {number: _version(version) for number, version in members["versions"].items()}
    return Route(**members)


def _version(members: dict[str, Any]) -> Version:
    known = _known(Version, members)
    return Version(**{**known, "labels": tuple(known["labels"])})


def _known(kind: type[Route | Version], members: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in members.items() if name in names}
