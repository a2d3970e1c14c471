"""A worker of the queue `predict` serves every registered model that has a champion, as they come and go."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
import redis

from shared.domain.identifiers import ModelName
from shared.queue import keys, model_routes
from tests.support import waiting
from tests.support.celery_bells import takes_bells
from tests.support.registries import MODEL, MlflowStore
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT
from tests.support.workers import Worker

Begin = Callable[..., Worker]
ODD = ModelName("it's, odd")
READS = 4


def until(true: Callable[[], object], worker: Worker, *, seconds: float = LIMIT) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert worker.lives, worker.text
        assert time.monotonic() < end, worker.text
        time.sleep(0.1)


def serves(client: redis.Redis, model: ModelName) -> bool:
    """Whether a worker has registered for a model."""
    return bool(client.zcard(keys.workers(model)))


def test_models_are_served_as_they_come_and_left_when_they_are_retired(
    begin: Begin, redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    worker = begin("predict", redis_url=redis_server.url, registry_url=mlflow_store.url, registry_poll="0.5")
    worker.wait_until_healthy()
    until(lambda: redis_client.zcard(keys.SERVING_ALL), worker)
    mlflow_store.register(model=ModelName("without a champion"))
    for model in (MODEL, ODD):
        mlflow_store.register("champion", model=model)
        until(lambda model=model: serves(redis_client, model), worker)  # type: ignore[misc]
        until(lambda model=model: takes_bells(redis_client, model), worker)  # type: ignore[misc]
    assert model_routes.names(redis_client) == sorted((MODEL, ODD))
    model_routes.retire(redis_client, ODD)
    worker.wait_until_said("model_dropped")
    until(lambda: not serves(redis_client, ODD), worker)
    assert not takes_bells(redis_client, ODD)
    until(lambda: takes_bells(redis_client, MODEL), worker)
    model_routes.restore(redis_client, ODD)
    until(lambda: serves(redis_client, ODD), worker)
    until(lambda: takes_bells(redis_client, ODD), worker)


def test_many_workers_ask_the_registry_once_a_poll(
    begin: Begin, redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    mlflow_store.register("champion")
    settings = {"redis_url": redis_server.url, "registry_url": mlflow_store.url, "registry_poll": "1"}
    workers = [begin("predict", **settings) for _ in range(2)]
    for worker in workers:
        until(lambda: redis_client.zcard(keys.SERVING_ALL) == 2, worker)
    [stamp] = redis_client.keys("registry:*:read")
    taken: list[int] = []

    def seen() -> int:
        found = int((redis_client.get(stamp) or b"0").split()[0])
        taken.extend([found] if found not in taken[-1:] else [])
        return len(taken)

    waiting.until(lambda: seen() == READS, what="the registry is read")
    assert all(after - before >= 1_000_000 for before, after in pairwise(taken))


@pytest.mark.parametrize("what", ["model", "version"])
def test_a_deleted_champion_is_served_until_its_last_worker_is_killed_and_refused_then(
    what: str, begin: Begin, redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    mlflow_store.register("champion")
    settings = {"redis_url": redis_server.url, "registry_url": mlflow_store.url, "registry_poll": "0.5"}
    first = begin("predict", **settings)
    until(lambda: serves(redis_client, MODEL), first)
    if what == "model":
        mlflow_store.client.delete_registered_model(MODEL)
    else:
        mlflow_store.client.delete_model_version(MODEL, "1")
    first.wait_until_said("served_version_gone")
    second = begin("predict", **settings)
    until(lambda: redis_client.zcard(keys.SERVING_ALL) == 2, second)
    assert redis_client.zcard(keys.workers(MODEL)) == 1
    assert model_routes.names(redis_client) == [MODEL]
    until(lambda: takes_bells(redis_client, MODEL), first)
    first.end()
    redis_client.zremrangebyrank(keys.workers(MODEL), 0, -1)  # as 10 s later
    if what == "version":  # the other worker follows the model, so it need not wait for a sweep
        until(lambda: "champion" not in _aliases(redis_client), second)
    assert second.lives


def _aliases(client: redis.Redis) -> dict[str, str]:
    route = model_routes.read(client, MODEL)
    return dict(route.aliases) if route and model_routes.is_published(client, MODEL) else {}
