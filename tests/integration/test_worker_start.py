"""A worker that starts before what it needs waits for it and then works; one that can't start ends."""

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, func, select

from shared.domain.identifiers import ModelName
from shared.queue import keys, model_routes
from shared.settings import Database
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.recording import record
from shared.storage.tables import predictions
from tests.support.celery_bells import takes_bells
from tests.support.receivers import ok, receiving
from tests.support.refusing_redis import RefusingDoor
from tests.support.registries import MODEL, MlflowStore
from tests.support.servers import PostgresServer, RedisServer
from tests.support.waiting import LIMIT
from tests.support.workers import Worker

Begin = Callable[..., Worker]
Make = Callable[..., dict[bytes, bytes]]
ROLES = ("webhooks", "record,upkeep", "predict.shades")


def until(true: Callable[[], object], worker: Worker, *, seconds: float = LIMIT) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert worker.lives, worker.text
        assert time.monotonic() < end, worker.text
        time.sleep(0.1)


def works(role: str, client: redis.Redis, engine: Engine, finished_record: Make) -> Callable[[], object]:
    """Give a role work, and return whether it has been done."""
    if role == "record,upkeep":
        client.xgroup_create(keys.FINISHED, keys.RECORDERS, "0", mkstream=True)
        client.xadd(keys.FINISHED, finished_record())  # type: ignore[arg-type]
        return lambda: _count(engine) == 1
    if role == "webhooks":
        return lambda: client.exists("secret:stream")
    return lambda: client.zcard(keys.workers("shades"))  # type: ignore[arg-type]


def _count(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(predictions)) or 0


@pytest.mark.parametrize("role", ROLES)
def test_a_worker_that_starts_before_its_redis_works_once_redis_is_there(
    role: str,
    begin: Begin,
    start_redis: Any,
    mlflow_store: MlflowStore,
    database_url: str,
    engine: Engine,
    finished_record: Make,
) -> None:
    mlflow_store.register("champion")
    server: RedisServer = start_redis()
    server.kill()
    worker = begin(role, redis_url=server.url, database_url=database_url, registry_url=mlflow_store.url)
    assert "connect" in worker.wait_until_said("waiting_for_redis")["reason"].lower()
    assert worker.health() == (1, "it does not consume yet")
    server.start()
    worker.wait_until_said("redis_is_there")
    with server.client() as client:
        until(works(role, client, engine, finished_record), worker)
    worker.wait_until_healthy()


@pytest.mark.parametrize(
    "refusal",
    [
        "LOADING Redis is loading the dataset in memory",
        "NOAUTH Authentication required.",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ],
    ids=lambda refusal: refusal.split()[0],
)
def test_a_worker_waits_for_a_redis_that_refuses(
    refusal: str, begin: Begin, redis_server: RedisServer, short_directory: Callable[[], Path], database_url: str
) -> None:
    door = RefusingDoor(short_directory(), to=redis_server.url, error=refusal)
    with closing(door), redis_server.client() as client:
        worker = begin("webhooks", redis_url=door.url, database_url=database_url)
        assert worker.wait_until_said("waiting_for_redis")
        assert worker.health() == (1, "it does not consume yet")
        door.open()
        until(lambda: client.exists("secret:stream"), worker)
        worker.wait_until_healthy()
        worker.end()


def test_a_courier_that_starts_before_its_postgres_delivers_once_postgres_is_there(
    begin: Begin, redis_server: RedisServer, start_postgres: Callable[[], PostgresServer], finished_record: Make
) -> None:
    server = start_postgres()
    upgrade(server.url)
    engine = make_engine(Database(url=server.url))
    with receiving(ok) as receiver:
        with engine.connect() as connection:
            record(connection, [finished_record(request={"webhook": {"url": receiver.url}})])
        engine.dispose()
        server.stop()
        worker = begin(
            "webhooks", redis_url=redis_server.url, database_url=server.url,
            webhooks_allowed_networks='["127.0.0.0/8"]',
        )  # fmt: skip
        worker.wait_until_said("webhooks_wait")
        server.start()
        receiver.wait_for(1, limit=60)


def test_a_predict_worker_started_before_its_registry_serves_later(
    begin: Begin, redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    mlflow_store.register("champion")
    mlflow_store.break_down()
    worker = begin("predict.shades", redis_url=redis_server.url, registry_url=mlflow_store.url, registry_poll="1")
    worker.wait_until_said("registry_unreachable")
    assert worker.health() == (1, "it does not consume yet")
    mlflow_store.come_back()
    until(lambda: redis_client.zcard(keys.workers("shades")), worker)  # type: ignore[arg-type]
    worker.wait_until_healthy()


def test_one_models_failure_delays_no_other_model(
    begin: Begin, redis_server: RedisServer, redis_client: redis.Redis, mlflow_store: MlflowStore
) -> None:
    """Of three models one is there, one is missing until later, and one has a version that does not load."""
    odd = ModelName("it's, odd")
    mlflow_store.register("champion")
    mlflow_store.register("champion", model=ModelName("broken"))
    shutil.rmtree(mlflow_store.files(2))
    queues = ",".join(keys.predict_queue(model) for model in (odd, ModelName("broken"), MODEL))
    worker = begin(queues, redis_url=redis_server.url, registry_url=mlflow_store.url, registry_poll="1")
    until(lambda: redis_client.zcard(keys.workers(MODEL)), worker)
    worker.wait_until_healthy()
    assert not redis_client.exists(keys.workers(odd))
    until(lambda: takes_bells(redis_client, MODEL), worker)
    mlflow_store.register("champion", model=odd)
    until(lambda: redis_client.zcard(keys.workers(odd)), worker)
    until(lambda: takes_bells(redis_client, odd), worker)
    assert sorted(model_routes.names(redis_client)) == sorted(("broken", odd, MODEL))
    assert worker.lives


@pytest.mark.parametrize(
    ("queues", "broken"),
    [
        ("webhooks", {"webhooks_timeout": "soon"}),
        ("webhooks", {"database_url": "nonsense"}),
        ("record,upkeep", {"recording_max_rows": "-1"}),
        ("record,upkeep", {"log_predictions": "/nowhere/at/all"}),
        ("predict.shades", {"predict_device": "abacus"}),
        ("webhooks", {"log_level": "LOUD"}),
        ("webhooks", {"redis_url": "nonsense://here"}),
        ("webhooks", {"redis_timeout": "long"}),
    ],
)
def test_a_worker_that_cannot_start_ends_with_the_reason(
    queues: str,
    broken: dict[str, str],
    begin: Begin,
    redis_server: RedisServer,
    database_url: str,
    mlflow_store: MlflowStore,
) -> None:
    sound = {"redis_url": redis_server.url, "database_url": database_url, "registry_url": mlflow_store.url}
    worker = begin(queues, **sound | broken)
    assert worker.wait_for_end() > 0, worker.text
    said = [line for line in worker.text.splitlines() if line.strip()]
    [name] = broken
    settled = f"DARKROOM_{name.upper()}"
    assert [line for line in said if settled in line] or [line["reason"] for line in worker.said("worker_not_started")]
    assert len(worker.said("worker_not_started")) <= 1
