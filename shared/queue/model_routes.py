"""Model routes in Redis: what each model's workers serve, which the gateways read; and which names are retired.

Workers publish a route. It is withdrawn when its model is gone from the registry or nobody has served it for long, and
retired when an operator says so: a retired name gets no route, whatever its workers publish, until it is restored. Jobs
that wait when a route goes are still computed by workers that have the version loaded.
"""

import contextlib
import hashlib
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import orjson
import redis

from shared.domain.identifiers import ModelName, VersionNumber
from shared.domain.model_route import Agreement, Gone, Route, Version
from shared.queue import keys
from shared.queue.lua import Script, source


class RouteOvertaken(Exception):
    """Another route was published under the name meanwhile."""

    def __init__(self, model: ModelName) -> None:
        super().__init__(f"another route of {model} was published meanwhile")


def publish(client: redis.Redis, route: Route, *, over: str | None = None) -> bool:
    """Write what serves under a name; return False, writing nothing, where the name is retired.

    The last write counts; repeating it changes nothing. With `over`, which is what `digest` returned, it replaces that
    route alone: else raises RouteOvertaken, writing nothing.
    """
    script = client.register_script(source(Script.PUBLISH))
    names = (keys.route(route.model), keys.MODELS, keys.RETIRED, keys.LEAVING, keys.unserved(route.model))
    said = script(keys=names, args=(route.model, orjson.dumps(route), *(() if over is None else (over,))))
    if said < 0:
        raise RouteOvertaken(route.model)
    return bool(said)


def digest(client: redis.Redis, model: ModelName) -> str:
    """Return what tells the route that was last published under a name from all others."""
    data: Any = client.get(keys.route(model))
    return hashlib.sha1(data, usedforsecurity=False).hexdigest() if data else ""


def warn(client: redis.Redis, model: ModelName, warnings: Mapping[VersionNumber, str]) -> None:
    """Add a warning to each of these versions in the published route, where it is not there yet. Safe to repeat.

    Writes nothing where another worker publishes meanwhile: whoever warns does so again with its next poll.
    """
    with client.pipeline() as pipeline:
        pipeline.watch(keys.route(model))  # type: ignore[no-untyped-call]
        route = read(client, model)
        if route is None:
            return
        versions = dict(route.versions)
        for number, warning in warnings.items():
            version = versions.get(number)
            if version is not None and warning not in version.warnings:
                versions[number] = replace(version, warnings=(*version.warnings, warning))
        if versions == route.versions:
            return
        pipeline.multi()
        pipeline.set(keys.route(model), orjson.dumps(replace(route, versions=versions)))
        with contextlib.suppress(redis.WatchError):
            pipeline.execute()


def is_published(client: redis.Redis, model: ModelName) -> bool:
    """Tell whether a route of this name is published."""
    return bool(client.sismember(keys.MODELS, model)) and bool(client.exists(keys.route(model)))


def withdraw(client: redis.Redis, model: ModelName, *, over: str | None = None) -> bool:
    """Take a name out of service; safe to repeat.

    The route's text stays for a worker that serves the name again; sweeps still take care of jobs that wait. With
    `over`, which is what `digest` returned, only where no other route was published: else returns False.
    """
    with client.pipeline() as pipeline:
        if over is not None:
            pipeline.watch(keys.route(model))  # type: ignore[no-untyped-call]
            if digest(client, model) != over:
                return False
            pipeline.multi()
        _withdraw(pipeline, model)
        try:
            pipeline.execute()
        except redis.WatchError:
            return False
    return True


def retire(client: redis.Redis, model: ModelName) -> None:
    """Take a name out of service until it is restored; safe to repeat."""
    with client.pipeline() as pipeline:
        pipeline.sadd(keys.RETIRED, model)
        _withdraw(pipeline, model)
        pipeline.execute()


def restore(client: redis.Redis, model: ModelName) -> bool:
    """Let a retired name be served again, once its workers next publish; return False where it was not retired."""
    return bool(client.srem(keys.RETIRED, model))


def _withdraw(pipeline: "redis.client.Pipeline", model: ModelName) -> None:
    pipeline.srem(keys.MODELS, model)
    pipeline.zadd(keys.LEAVING, {model: time.time_ns() // 1000})


def retired(client: redis.Redis) -> list[ModelName]:
    """Return the names that are retired, sorted."""
    members: Any = client.smembers(keys.RETIRED)
    return sorted(ModelName(member.decode()) for member in members)


def leaving(client: redis.Redis) -> dict[ModelName, int]:
    """Return the names whose route was withdrawn, and when (microseconds)."""
    members: Any = client.zrange(keys.LEAVING, 0, -1, withscores=True)
    return {ModelName(member.decode()): int(at) for member, at in members}


def names(client: redis.Redis) -> list[ModelName]:
    """Return the models that have a route, by name."""
    members: Any = client.smembers(keys.MODELS)
    return sorted(ModelName(member.decode()) for member in members)


def read(client: redis.Redis, model: ModelName) -> Route | None:
    """Return what was last published under a name, served now or not; None where nothing can be read."""
    data: Any = client.get(keys.route(model))
    try:
        return parse(data) if data else None
    except (KeyError, TypeError, ValueError):
        # Written by a release with another format; a worker will publish it again.
        return None


def parse(data: bytes) -> Route:
    """Return the route that `publish` wrote; members that a newer worker added are ignored."""
    members = _known(Route, orjson.loads(data))
    members["gone"] = {number: Gone(what) for number, what in members.get("gone", {}).items()}
    members["versions"] = {number: _version(version) for number, version in members["versions"].items()}
    return Route(**members)


def _version(members: dict[str, Any]) -> Version:
    known = _known(Version, members)
    agreement = known.get("agreement")
    return Version(
        **{
            **known,
            "labels": tuple(known["labels"]),
            "warnings": tuple(known.get("warnings", ())),
            "agreement": Agreement(**_known(Agreement, agreement)) if agreement else None,
        }
    )


def _known(kind: type[Route | Version | Agreement], members: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in members.items() if name in names}
