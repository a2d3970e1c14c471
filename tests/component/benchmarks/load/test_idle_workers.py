"""Simulated idle predict processes are registered and polled while they run, and gone afterwards."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.load.children import Child
from benchmarks.load.idle_workers import IdleWorkers
from shared.domain.identifiers import ModelName
from shared.domain.model_route import Route
from shared.queue import keys, model_routes

if TYPE_CHECKING:
    import redis

DIGITS = ModelName("digits")


def test_they_are_registered_for_every_model_until_told_to_end(
    redis_server: Any, redis_client: "redis.Redis", tmp_path: Path
) -> None:
    model_routes.publish(redis_client, Route(model=DIGITS, description="", aliases={}, versions={}))
    plan = IdleWorkers(redis_url=redis_server.url, like=DIGITS, processes=3, models=2)
    with Child("benchmarks.load.idle_workers", task=plan.as_json(), output=tmp_path / "idle.json") as child:
        child.wait_until_ready().begin()
        models = model_routes.names(redis_client)
        assert models == [DIGITS, "idle-000", "idle-001"]
        assert [redis_client.zcard(keys.workers(model)) for model in models] == [3, 3, 3]
        child.end()
        child.result(limit=20)
    assert model_routes.names(redis_client) == [DIGITS]
    assert [redis_client.zcard(keys.workers(model)) for model in models] == [0, 0, 0]
